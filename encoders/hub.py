"""Weights from a model hub: what is in its cache, whether it answers, one file from it with the progress shown.

The cache is huggingface_hub's own (`HF_HOME`, `HF_HUB_CACHE`); its bar shows on standard error. With
`HF_HUB_OFFLINE=1` or `TRANSFORMERS_OFFLINE=1` nothing is asked of the network: what is not in the cache is missing.
"""

from __future__ import annotations

import hashlib
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MissingError

if TYPE_CHECKING:
    import torch

ENDPOINT = "https://huggingface.co"
PATIENCE_S = 3.0
"""How long a hub is waited for when something is to be decided."""
INSTALL = "pip install 'mneme[clip]'"
TRUE = frozenset({"1", "ON", "YES", "TRUE"})
"""What huggingface_hub takes for yes."""


def offline(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the user forbade asking the hub."""
    return any(environ.get(name, "").upper() in TRUE for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))


def answers(patience_s: float = PATIENCE_S, endpoint: str | None = None) -> bool:
    """Whether the hub (`HF_ENDPOINT`, or the public one) answers within `patience_s`; False when offline."""
    if offline():
        return False
    address = endpoint or os.environ.get("HF_ENDPOINT") or ENDPOINT
    came = threading.Event()

    def knock() -> None:
        try:
            request = urllib.request.Request(address, method="HEAD")
            with urllib.request.urlopen(request, timeout=patience_s):
                came.set()
        except urllib.error.HTTPError as error:
            if error.code < 500:  # it is there, though it will not show this page
                came.set()
        except (OSError, ValueError):
            return

    # A thread of its own: looking up a name has no time limit.
    knocking = threading.Thread(target=knock, name="hub", daemon=True)
    knocking.start()
    knocking.join(patience_s)
    return came.is_set()


def library(module: str, distribution: str) -> Any:
    """An optional library (or a module of it), imported now; `MissingError` where it is not installed.

    By name, so that who checks the types of this package need not read the whole of those.
    """
    if find_spec(module.partition(".")[0]) is None:
        raise MissingError(f"{distribution} is not installed", INSTALL)
    return import_module(module)


def cached(repo: str, *names: str) -> Path | None:
    """The first of the files `names` of `repo` that is in the cache; None where none is."""
    client = library("huggingface_hub", "huggingface_hub")
    errors = library("huggingface_hub.errors", "huggingface_hub")
    for name in names:
        try:
            path = client.try_to_load_from_cache(repo, name)
        except errors.HFValidationError:
            return None
        if isinstance(path, str):
            return Path(path)
    return None


def fetch(repo: str, *names: str) -> Path:
    """The first of the files `names` that `repo` has, from the cache or else downloaded, with a bar.

    Errors: `MissingError` where it has none of them, cannot be reached, or may not be asked.
    """
    found = cached(repo, *names) or _downloaded(repo, *names)
    if found is None:
        raise MissingError(f"{repo} has no {' or '.join(names)}", "name another model")
    return found


def fetch_if_there(repo: str, *names: str) -> None:
    """Each of `names` that `repo` has, into the cache. Errors: `MissingError` where it cannot be asked."""
    for name in names:
        if cached(repo, name) is None:
            _downloaded(repo, name)


def _downloaded(repo: str, *names: str) -> Path | None:
    wanted = " or ".join(names)
    if offline():
        raise MissingError(
            f"{wanted} of {repo} is not in the cache, and the hub is switched off (HF_HUB_OFFLINE)",
            "unset it once, name a local checkpoint, or use --profile embedded",
        )
    if not answers():  # the hub's own client would try for half a minute, a warning a time
        raise MissingError(
            f"{wanted} of {repo} is not in the cache, and the hub did not answer within {PATIENCE_S:g} s",
            "check the network, name a local checkpoint, or use --profile embedded",
        )
    client = library("huggingface_hub", "huggingface_hub")
    errors = library("huggingface_hub.errors", "huggingface_hub")
    for name in names:
        try:
            return Path(client.hf_hub_download(repo, name))
        except errors.LocalEntryNotFoundError as error:  # a kind of EntryNotFoundError that says: no network
            raise _unreached(repo, error) from error
        except errors.EntryNotFoundError:
            continue
        except Exception as error:  # what the hub's client raises has no common class
            raise _unreached(repo, error) from error
    return None


def weights_digest(module: torch.nn.Module, *more: str) -> str:
    """16 hexadecimal digits of the weights and of `more` (what else makes the vectors): equal of any file format.

    A second for each gigabyte or so.
    """
    import torch

    state = module.state_dict()
    digest = hashlib.blake2b(digest_size=8)
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(memoryview(tensor.reshape(-1).view(torch.uint8).numpy()))
    for part in more:
        digest.update(part.encode())
    return digest.hexdigest()


def _unreached(repo: str, error: Exception) -> MissingError:
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return MissingError(
        f"{repo} cannot be downloaded: {reason}",
        "check the name and the network, name a local checkpoint, or use --profile embedded",
    )
