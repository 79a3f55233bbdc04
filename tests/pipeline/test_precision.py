"""Which precision a scale has, where it is said, and what a kernel is started with."""

import json
import os
import subprocess
import sys

import pytest

from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.pipeline import execution, params, precision


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
    assert json.loads((project / precision.FILE).read_text()) == {
        "smoke": "portable",
        "demo": "bfloat16",
        "paper": "bfloat16",
    }
    assert precision.of("demo") == "bfloat16"
    (project / precision.FILE).unlink()
    assert precision.of("demo") == precision.of("") == "float32" and precision.of("smoke") == "portable"


def test_a_damaged_file_is_one_line(project):
    (project / precision.FILE).parent.mkdir(parents=True)
    (project / precision.FILE).write_text("{")
    with pytest.raises(InputError, match=r"^build/index/precision.json: damaged; remove it and run `dvc repro index`$"):
        precision.of("demo")


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
        ({"run": "build/mine"}, ""),
        ({"run": ""}, ""),
        ({}, ""),
    ],
)
def test_the_runner_finds_the_precision_of_a_notebook(values, word, project):
    assert execution._precision(values) == word


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
