"""The rooms of the package: imports point downwards only, and what others use needs little."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import whereabouts
from whereabouts import layers

ROOT = Path(whereabouts.__file__).parent
# from the roof down; no room imports from its own floor's other rooms, or from above
FLOORS = [
    {"sweep"},
    {"run", "predict"},
    {"chapters"},
    {"evaluation"},
    {"training"},
    {"inference", "reporting", "phantoms"},
    {"data", "metrics", "methods"},
    {"pipeline", "losses", "models"},
    {"formats", "files", "layers"},
    {"paths"},
    {"errors"},
]
FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor}


def room(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imported(path: Path) -> set[str]:
    """What a file imports from the package, anywhere in it: modules, and names in them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found |= {name for name in names if name.startswith("whereabouts.")}
    return found


FILES = sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT or path.stem != "__init__")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_downwards(path):
    here = room(path)
    others = {name.split(".")[1] for name in imported(path)} - {here}
    wrong = {other for other in others if FLOOR[other] <= FLOOR[here]}
    assert not wrong, f"{here} is below, or beside, {wrong}"


def test_no_files_of_a_room_import_each_other_in_a_circle():
    modules = {".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path for path in FILES}
    graph = {
        module: {name if name in modules else name.rpartition(".")[0] for name in imported(path)}
        for module, path in modules.items()
    }
    assert sum(map(len, graph.values())) > 300
    TopologicalSorter(graph).prepare()  # raises at a circle


def test_no_file_repeats_the_name_of_its_folder():
    assert not [path for path in FILES if path.parent.name.rstrip("s") in path.stem.rstrip("s").split("_")]


def test_every_room_has_a_floor_and_tests_mirror_the_rooms():
    assert {room(path) for path in FILES} == set(FLOOR)
    tests = Path(__file__).parent
    folders = {path.name for path in tests.iterdir() if path.is_dir() and any(path.rglob("test_*.py"))}
    assert folders <= {path.name for path in ROOT.iterdir() if path.is_dir()}


def test_what_the_package_says_of_itself():
    assert whereabouts.__version__.count(".") == 2 and (ROOT / "py.typed").exists()
    mechanisms = {"INSIDE", "FiLM", "GuidingBlock", "Position", "WithPosition", "AttentionGate", "MultiAttentionGate"}
    assert mechanisms <= set(layers.__all__)
