"""Which precision a scale has, where it is said, and what a kernel is started with."""

import json
import os
import subprocess
import sys

import nbformat
import pytest

from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.pipeline import execution, params, precision

PARAMS = paths.at("params.yaml").read_text(encoding="utf-8")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The parameters of the project where nothing was resolved yet, and no GPU."""
    (tmp_path / "params").symlink_to(paths.at("params"))
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(precision, "DRIVER", tmp_path / "none")
    return tmp_path


@pytest.mark.parametrize(
    ("flags", "found"), [(["avx2", "amx_bf16"], "bfloat16"), (["avx2"], "float32"), ([], "float32")]
)
def test_auto_is_what_the_processor_does_well(flags, found, project, monkeypatch):
    monkeypatch.setattr(precision, "_flags", lambda: flags)
    assert precision.resolved("auto") == found
    assert [precision.resolved(word) for word in precision.WORDS[1:]] == list(precision.WORDS[1:])


def test_what_one_machine_resolved_the_others_keep(project, monkeypatch):
    monkeypatch.setattr(precision, "_flags", lambda: ["amx_bf16"])
    precision.write()
    monkeypatch.setattr(precision, "_flags", list)
    precision.write()  # on a machine that pulled it
    assert json.loads((project / precision.FILE).read_text()) == {"auto": "bfloat16"}
    assert [precision.of(scale) for scale in ("smoke", "demo", "paper")] == ["portable", "bfloat16", "bfloat16"]
    assert precision.of("") == "float32"  # of no scale: what it is here
    (project / precision.FILE).unlink()
    assert precision.of("demo") == "float32"


def test_a_word_that_is_asked_for_is_not_what_auto_was(project, monkeypatch):
    """For one run in float32, and then as before."""
    monkeypatch.setattr(precision, "_flags", lambda: ["amx_bf16"])
    precision.write()
    path = project / "params"
    there = {one.name: one.read_text(encoding="utf-8") for one in path.iterdir()}
    path.unlink()
    path.mkdir()
    for word, found in (("float32", "float32"), ("auto", "bfloat16"), ("portable", "portable"), ("auto", "bfloat16")):
        for name, text in there.items():
            text = text.replace("precision: auto", f"precision: {word}")
            (path / name).write_text(text, encoding="utf-8")
        assert precision.of("demo") == found
        precision.write()
        assert precision.of("demo") == found


@pytest.mark.parametrize("text", ["{", "[]", '{"auto": "auto"}', '{"auto": 1}'])
@pytest.mark.parametrize("ask", [precision.write, lambda: precision.of("demo")], ids=["write", "of"])
def test_a_damaged_file_is_one_line(text, ask, project):
    (project / precision.FILE).parent.mkdir(parents=True)
    (project / precision.FILE).write_text(text)
    with pytest.raises(InputError, match=r"^build/index/precision.json: damaged; remove it and run `dvc repro index`$"):
        ask()


def test_another_word_is_one_line(tmp_path):
    (tmp_path / "params").mkdir()
    for path in paths.at("params").glob("*.yaml"):
        text = path.read_text(encoding="utf-8").replace("precision: auto", "precision: half")
        (tmp_path / "params" / path.name).write_text(text, encoding="utf-8")
    (tmp_path / "params.yaml").write_bytes(paths.at("params.yaml").read_bytes())
    with pytest.raises(InputError) as caught:
        params.check(tmp_path)
    expected = "params/demo.yaml: precision is 'half'; write one of auto, float32, bfloat16, portable"
    assert caught.value.problems == [expected]


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"run": "smoke"}, "portable"),
        ({"run": "smoke-real", "precision": "float32"}, "float32"),
        ({"precision": "portable"}, "portable"),
        ({"run": "build/mine"}, "float32"),
        ({"run": ""}, "portable"),
        ({}, "portable"),
    ],
)
def test_the_runner_finds_the_precision_of_a_notebook(values, word, project, monkeypatch):
    """Of the run that it names, or that params.yaml chooses; one that reads no run has none."""
    monkeypatch.setattr(precision, "_flags", list)
    text = params.turn(PARAMS, "scale", "smoke")
    (project / "params.yaml").write_text(text, encoding="utf-8")
    source = 'run: str = ""  # which\nprecision: str = None  # in what'
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), project / "train.ipynb")
    assert execution._precision(project / "train.ipynb", values) == word
    cell.source = "size: int = 3  # how large"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), project / "other.ipynb")
    assert execution._precision(project / "other.ipynb", {}) == ""


def test_portable_processes_have_the_instructions_that_all_have():
    """Of each library, asked in a process of its own."""
    asked = "import torch, numpy; from numpy._core._multiarray_umath import __cpu_features__ as has"
    asked += "; from whereabouts.pipeline import precision"
    asked += "; print(torch.backends.cpu.get_cpu_capability(), torch.get_num_threads(), precision.pinned())"
    other = {"ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "2"}
    environment = os.environ | other | precision.environment("portable")
    found = subprocess.run([sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["AVX2", "1", "True"]
    assert precision.environment("float32") == precision.environment("bfloat16") == precision.environment("") == {}
