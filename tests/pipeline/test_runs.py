"""A run is called by its scale and data, and notebooks find its places and numbers by that name."""

import re

import pytest

from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.pipeline import params
from whereabouts.pipeline.plain_yaml import load
from whereabouts.pipeline.runs import Run, same_scale


def test_places():
    here = Run.of("smoke-real-jsrt")
    assert here.scale == "smoke"
    assert here.source("acdc") == "real" and here.source("chest") == "jsrt" and here.source("volumes") == "synthetic"
    assert here.folder("acdc", "inside/acdc") == "build/smoke-real/inside/acdc"
    assert here.folder("chest acdc", "x") == "build/smoke-jsrt-real/x" and here.folder("", "x") == "build/smoke/x"
    assert Run.of("demo").folders("acdc chest", "a", "b/c") == ["build/demo/a", "build/demo/b/c"]
    assert Run.of("build/mine/").folder("acdc", "inside") == "build/mine/inside"


def test_unknown_names():
    with pytest.raises(InputError) as error:
        Run.of("huge-real-fake")
    first, second = error.value.problems
    assert first.startswith("run=huge-real-fake: no scale huge; known: smoke, demo")
    assert second.startswith("run=huge-real-fake: no source fake; known: real, ")


def test_two_sources_of_one_data_set():
    with pytest.raises(InputError, match=r"^run=smoke-jsrt-radiographs: chest: jsrt and radiographs; name one source$"):
        Run.of("smoke-jsrt-radiographs")


@pytest.fixture
def turned(tmp_path, monkeypatch):
    text = params.turn(paths.at("params.yaml").read_text(encoding="utf-8"), "scale", "smoke")
    (tmp_path / "params.yaml").write_text(params.turn(text, "mmwhs", "mmwhs"), encoding="utf-8")
    (tmp_path / "params").symlink_to(paths.at("params"))
    monkeypatch.setattr(paths, "ROOT", tmp_path)


def test_without_a_name_what_params_yaml_says(turned):
    here = Run.of()
    assert here == Run("smoke", {"mmwhs": "mmwhs"}) == Run.of("smoke-mmwhs")


def test_numbers_of_the_scale(turned):
    """Those that are None, from both files; what was given stays, and what is no parameter, such as another cell's."""
    cells = "steps: int = None\nbatch: int = 3\nseed: list = None\nout: str = 'here'\nlater = gamma = None"
    exec(cells, given := {})
    Run.of().fill(given, "inside_train_clevr_seg", "repeats")
    numbers = load(paths.at("params/smoke.yaml"))["inside_train_clevr_seg"]
    names = ("steps", "batch", "seed", "out", "later", "gamma")
    assert [given[name] for name in names] == [numbers["steps"], 3, [1], "here", None, None]


def test_a_number_that_there_is_not(turned):
    for name in ("smoke", "build/mine"):
        with pytest.raises(InputError, match=rf"^depth: None, and {re.escape(name)} has no number for it; give one$"):
            Run.of(name).fill({"depth": None, "__annotations__": {"depth": int}}, "inside_train_clevr_seg")


def test_one_scale_only():
    assert same_scale("demo", "demo") == "demo"
    with pytest.raises(InputError, match="made at demo and smoke scale; read what one run made"):
        same_scale("smoke", "demo", "smoke")
