"""A notebook that is run by hand has the numbers, and reads the places, that the pipeline gives it at that scale."""

import ast
import re
import shlex
from functools import reduce
from itertools import pairwise, product

import pytest
import yaml

import stored
from whereabouts import paths, run
from whereabouts.pipeline import notebooks, params
from whereabouts.pipeline.choices import SCALES, SOURCES
from whereabouts.pipeline.runs import Run

STAGES = yaml.safe_load(paths.at("dvc.yaml").read_text(encoding="utf-8"))["stages"]
STAGES = {name: stage for name, stage in STAGES.items() if "whereabouts.run " in stage["cmd"]}


def value_of(name: str, values: dict) -> object:
    """What `${name}` stands for in dvc.yaml."""
    return reduce(lambda part, key: part[key], name.strip("${}").split("."), values)


def resolved(text: str, values: dict) -> str:
    return re.sub(r"\$\{[\w.]+\}", lambda name: str(value_of(name[0], values)), text)


def chosen(scale: str, last: bool, root) -> dict:
    """params.yaml with that scale, on synthetic data or the last other source of each; root: where it is written."""
    text = paths.at("params.yaml").read_text(encoding="utf-8")
    for switch, (_, words) in params.SWITCHES.items():
        text = params.turn(text, switch, scale if switch == "scale" else words[-1 if last else 0])
    (root / "params.yaml").write_text(text, encoding="utf-8")
    return yaml.safe_load(text)


def given(words: list[str]) -> dict:
    sources = [word for before, word in pairwise(words) if before == "-f"]
    return run.collect([word for word in words if re.match(r"\w+=", word)], sources)


def by_hand(stage_notebook: str, parameters: dict) -> dict:
    """What the notebook's lines about `here` make of its parameters, None where they are so by default."""
    path = stored.ROOT / stage_notebook.removeprefix("build/")
    cells = [cell for cell in stored.read(path).cells if cell.cell_type == "code"]
    names = {"Run": Run}
    for cell in cells:
        if "parameters" in cell.metadata.get("tags", []):
            exec(cell.source, names)
            names |= parameters
            continue
        for line in ast.parse(cell.source).body:
            if isinstance(line, ast.ImportFrom) and re.match(r"whereabouts\.methods\.(?!networks)", line.module):
                exec(ast.unparse(line), names)  # functions that find a folder
            used = [node for node in ast.walk(line) if isinstance(node, ast.Name)]
            known = {*names, "globals", *(node.id for node in used if isinstance(node.ctx, ast.Store))}
            if isinstance(line, (ast.Assign, ast.Expr)) and "here" in {node.id for node in used} <= known:
                exec(ast.unparse(line), names)
    return {name: value for name, value in names.items() if name != "__builtins__"}


@pytest.mark.parametrize("other_data", [False, True], ids=["synthetic", "other"])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", sorted(set(STAGES) - {"predict"}))
def test_a_notebook_by_hand_is_the_stage(name, scale, other_data, tmp_path, monkeypatch):
    stage, values = STAGES[name], chosen(scale, other_data, tmp_path)
    (tmp_path / "params").symlink_to(paths.at("params"))
    choices = {key: value_of(lists, values) for key, lists in stage.get("matrix", {}).items()}
    items = [values | {"item": dict(zip(choices, item, strict=True))} for item in product(*choices.values())]
    for item in items[:: max(1, len(items) - 1)]:  # the first and the last
        words = shlex.split(resolved(stage["cmd"], item))
        notebook = words[words.index("whereabouts.run") + 1]
        with monkeypatch.context() as patch:
            patch.setattr(paths, "ROOT", tmp_path)
            passed = given(words)
            numbers = {key for before, word in pairwise(words) if before == "-f" for key in run.collect([], [word])}
            numbers -= set(given([word for word in words if "=" in word]))  # these win
            found = by_hand(notebook, {key: value for key, value in passed.items() if key not in numbers})
        assert {key: found[key] for key in passed} == passed
        needed = {resolved(dep, item) for dep in stage["deps"]}
        read = {one for one in found.values() if isinstance(one, str) and re.match(rf"build/{scale}\b", one)}
        written = {passed[key] for key in ("out", "results") if key in passed}
        assert read - written <= needed
        assert {dep for dep in needed if dep.startswith(f"build/{scale}") and not dep.endswith("/raw")} <= read
        assert not any(value is None for value in found.values())


@pytest.mark.parametrize("path", stored.listed(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_notebook_by_hand_writes_where_nothing_reads(path):
    known = notebooks.parameters(stored.read(path), path.name)
    assert all(known[name].startswith("build/scratch/") for name in ("out", "results") if name in known)


EVALUATED = [path for path in stored.listed() if "_train" not in path.stem]


@pytest.mark.parametrize("path", EVALUATED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_notebook_runs_again_in_the_same_kernel(path):
    cells = [cell for cell in stored.read(path).cells if cell.cell_type == "code"]
    lines = [node for cell in cells for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Assign)]
    either = [line for line in lines if isinstance(line.value, ast.IfExp)]
    none = [ast.unparse(line) for line in either if getattr(line.value.orelse, "value", 0) is None]
    assert not none  # a name that is left None is asked for by `here.fill`


def test_sources_are_those_of_the_switches():
    offered = yaml.safe_load(paths.at("params.yaml").read_text(encoding="utf-8"))["sources"]
    assert {name: one["suffix"] for name, one in offered.items()} == {"synthetic": ""} | {
        word: f"-{word}" for words in SOURCES.values() for word in words
    }
