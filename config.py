"""Loading of settings: a TOML file and the environment into the frozen settings classes that each floor owns.

[watch]            # section "watch" of mneme.toml, or of the file that MNEME_CONFIG names
fps = 5.0          # overridden by MNEME_WATCH_FPS=5.0
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from .errors import SettingsError

T = TypeVar("T")


def read_file(path: Path | None, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The settings file as a table of sections; empty where there is none.

    `path` wins over `MNEME_CONFIG`, which wins over `mneme.toml` in the working folder. A file that was named and is
    not there is an error.
    """
    named = path or (Path(environ["MNEME_CONFIG"]) if environ.get("MNEME_CONFIG") else None)
    found = named or Path("mneme.toml")
    if named is None and not found.is_file():
        return {}
    try:
        return tomllib.loads(found.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read the settings file {found}", "give the path of a TOML file") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{found} is not TOML: {error}", "mend that line") from error


def load(
    section: str, settings: type[T], file: Mapping[str, Any] | None = None, environ: Mapping[str, str] = os.environ
) -> T:
    """One frozen settings dataclass from its section of `file` and from `MNEME_<SECTION>_<FIELD>`.

    Values are checked against the field's types (pydantic); an unknown key or a wrong type is a `SettingsError`.
    """
    from pydantic import TypeAdapter, ValidationError

    if not is_dataclass(settings):
        raise TypeError(f"{settings!r} is not a dataclass")
    table = dict((file or {}).get(section, {}))
    known = {f.name for f in fields(settings)}
    for key in table:
        if key not in known:
            raise SettingsError(f"[{section}] has no setting {key!r}", f"it knows {', '.join(sorted(known))}")
    for name in known:
        value = environ.get(f"MNEME_{section}_{name}".upper())
        if value is not None:
            table[name] = value
    try:
        return TypeAdapter(settings).validate_python(table)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"[{section}] {where}: {first['msg']}", f"got {first['input']!r}") from error
