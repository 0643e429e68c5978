"""The house of DESIGN: imports point down, files stay small, the face is complete."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mneme

ROOT = Path(mneme.__file__).parent
FLOORS = {"deploy": 4, "ui": 4, "pipeline": 3, "memory": 2, "encoders": 2, "operators": 1}
GROUND = {"records", "config", "errors"}
"""Floor 0."""
MODULES = [path for folder in FLOORS for path in sorted((ROOT / folder).rglob("*.py")) if "client" not in path.parts]


def imported(path: Path) -> set[str]:
    """The rooms (folders, or modules of floor 0) of the package that a module imports, by name."""
    rooms = set()
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            rooms |= {(*base, *name.split("."))[0] for name in names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "mneme":
            raise AssertionError(f"{path} imports mneme by name: inside the package imports are relative")
        elif isinstance(node, ast.Import):
            assert not any(alias.name.split(".")[0] == "mneme" for alias in node.names), path
    return rooms


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down_the_floors(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    for other in imported(path) - {room}:
        if (path.name, other) == ("cli.py", "deploy"):
            continue  # the one exception of DESIGN: a command that starts a server
        assert other in GROUND or FLOORS[other] < FLOORS[room], f"{path.name} ({room}) imports {other}"


@pytest.mark.parametrize("path", [*MODULES, *sorted(ROOT.glob("*.py"))], ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_is_above_five_hundred_lines_or_prints(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 500
    calls = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    assert not [c.lineno for c in calls if c.func.id == "print"]  # type: ignore[attr-defined]
    assert not {"pickle", "shelve", "marshal"} & {
        a.name for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Import) for a in n.names
    }


def test_the_face_is_complete_and_sorted() -> None:
    assert mneme.__all__ == sorted(mneme.__all__)
    for name in mneme.__all__:
        assert getattr(mneme, name) is not None


def test_importing_mneme_and_asking_for_help_load_no_heavy_library() -> None:
    code = (
        "import sys, mneme, mneme.ui.cli;"
        "heavy = {'torch', 'lancedb', 'cv2', 'av', 'onnxruntime', 'transformers', 'gradio', 'ray'} & set(sys.modules);"
        "sys.exit(', '.join(sorted(heavy)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_asking_loads_neither_torch_nor_media_libraries() -> None:
    code = (
        "import sys, mneme.pipeline.mneme, mneme.memory.store, mneme.encoders.text;"
        "heavy = {'torch', 'av', 'decord', 'transformers', 'rapidocr', 'pocketsphinx'} & set(sys.modules);"
        "sys.exit(', '.join(sorted(heavy)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
