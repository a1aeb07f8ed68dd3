"""The plan of the house: which module may import which, read from the source."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "deepfake_audio"

ROWS = (
    ("version", "places", "settings", "errors"),
    ("text", "files", "early", "console", "interrupts", "work", "templates"),
    ("sound",),
    ("features",),
    ("corpus",),
    ("model",),
    ("examples",),
    ("judging",),
    ("training",),
    ("evaluation",),
    ("answers",),
    ("__init__", "api"),
    ("options", "typed"),
    ("commands",),
)
"""From the ground up: an import points to a row further up in this list, or to the same one."""

ROW_OF = {room: number for number, row in enumerate(ROWS) for room in row}

HEAVY = {"tensorflow", "keras", "librosa", "sklearn", "matplotlib", "scipy"}


def _module(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


MODULES = {_module(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def _imports(module: str) -> set[str]:
    """Return the modules of the package that a module imports anywhere, in its functions and for its types, too."""
    path = MODULES[module]
    here = ["deepfake_audio", *path.relative_to(PACKAGE).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            base = [*base, *(node.module.split(".") if node.module else [])]
            names = [[*base, alias.name] for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        else:
            continue
        for name in names:
            if name[0] == "deepfake_audio":
                inner = [".".join(name[1:end]) for end in range(len(name), 1, -1)]
                found.add(next((candidate for candidate in inner if candidate in MODULES), "__init__"))
    return found


ARROWS = {(module, target) for module in MODULES for target in _imports(module)}


def _row(module: str) -> int:
    return ROW_OF[module.partition(".")[0]]


def test_every_module_has_a_room():
    assert {module.partition(".")[0] for module in MODULES} <= ROW_OF.keys()


def test_imports_point_up():
    wrong = sorted(arrow for arrow in ARROWS if _row(arrow[1]) > _row(arrow[0]))
    assert not wrong, f"these import what stands further down in ROWS: {wrong}"


def test_no_circle():
    imports = {module: {target for source, target in ARROWS if source == module} for module in MODULES}
    circle = []
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        circle = error.args[1]
    assert not circle, f"these import each other: {circle}"


@pytest.mark.parametrize("room", sorted(module for module, path in MODULES.items() if path.name == "__init__.py"))
def test_a_room_opens_without_anything_heavy(room):
    tree = ast.parse(MODULES[room].read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    modules = [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
    modules += [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
    assert not HEAVY & {name.partition(".")[0] for name in modules}
    assert room == "__init__" or not modules
