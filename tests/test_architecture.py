"""Which room may import which, and how large rooms and files may be; read from the code."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "napari_baryir"
WIDGETS = f"{PACKAGE}.widgets"
FOLDERS = {
    ROOT / "src" / PACKAGE: PACKAGE,
    ROOT / "training": f"{PACKAGE}.training",
    ROOT / "sample_data": f"{PACKAGE}.sample_data",
}
"""Where the code is, and the name that it is imported by."""

FLOORS = (
    {"errors", "domains", "steps", "atomic", "forks"},
    {"network", "imaging", "devices", "version"},
    {"weights", "files"},
    {"restoration", "exports"},
    {"degradation"},
    {"training", "batch"},
    {"sample_data"},
    {"widgets"},
    {"commands"},
    {"cli"},
    {"__main__"},
)
"""The rooms of the package. A room imports only what lies on floors below its own."""

WIDGET_FLOORS = (
    {"viewer"},
    {"dock"},
    {"estimate"},
    {"restore"},
    {"finetune"},
    {"demo", "samples"},
)
"""The rooms of the plugin, by the same rule."""

BACKWARD: set[tuple[str, str]] = set()
"""Arrows that still run back; to become fewer."""

MOST_FILES, MOST_LINES = 20, 320

GUI = {"napari", "qtpy", "magicgui", "superqt", "npe2", "vispy", "PyQt6", "PySide6"}


@cache
def modules() -> dict[str, Path]:
    """Return every module of the package with its file."""
    found = {}
    for folder, name in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join([name, *parts])] = path
    return found


@cache
def imports(module: str) -> frozenset[str]:
    """Return all that a module imports, in functions and for type checkers too."""
    return frozenset(_imports(ast.parse(modules()[module].read_text(encoding="utf-8"))))


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            for each in node.names:
                name = f"{node.module}.{each.name}"
                yield name if name in modules() else str(node.module)
        else:
            yield from _imports(node)


def arrows(inside: str) -> dict[tuple[str, str], set[str]]:
    """Return which room in a package imports which, with the modules that do."""
    found = defaultdict(set)
    for module in modules():
        for imported in imports(module):
            rooms = (_room(module, inside), _room(imported, inside))
            if all(rooms) and rooms[0] != rooms[1]:
                found[rooms].add(module)
    return found


def _room(module: str, inside: str) -> str:
    """Return the room of a module; empty outside of the package."""
    if not module.startswith(f"{inside}."):
        return ""
    return module.removeprefix(f"{inside}.").split(".")[0]


@pytest.mark.parametrize(("inside", "floors"), [(PACKAGE, FLOORS), (WIDGETS, WIDGET_FLOORS)])
def test_arrows_run_down_only(inside: str, floors: tuple[set[str], ...]) -> None:
    floor_of = {room: floor for floor, rooms in enumerate(floors) for room in rooms}
    drawn = arrows(inside)
    assert len(drawn) >= 8
    unknown = {room for arrow in drawn for room in arrow} - set(floor_of)
    assert not unknown, "say on which floor these are"
    backward = {
        f"{a} -> {b}: {', '.join(sorted(by))}"
        for (a, b), by in drawn.items()
        if floor_of[b] >= floor_of[a] and (a, b) not in BACKWARD
    }
    assert not backward


def outside(module: str) -> set[str]:
    """Return the packages that a module imports from elsewhere."""
    found = {imported.split(".")[0] for imported in imports(module)}
    return found - set(sys.stdlib_module_names) - {PACKAGE}


def test_imaging_knows_numpy_and_dask_only() -> None:
    known = set().union(*(outside(m) for m in modules() if _room(m, PACKAGE) == "imaging"))
    assert known == {"numpy", "dask"}


def test_only_widgets_imports_napari_or_qt() -> None:
    users = {module for module in modules() if outside(module) & GUI}
    assert {_room(module, PACKAGE) for module in users} == {"widgets"}


def test_no_file_is_long_and_no_folder_full() -> None:
    lengths = {m: len(path.read_text("utf-8").splitlines()) for m, path in modules().items()}
    assert {m: n for m, n in lengths.items() if n > MOST_LINES} == {}
    folders = {path.parent for path in modules().values()}
    files = {folder: len(list(folder.glob("*.py"))) for folder in folders}
    assert {folder: n for folder, n in files.items() if n > MOST_FILES} == {}
