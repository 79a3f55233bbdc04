"""When the runner submits itself to Slurm, and what it asks for; without Slurm."""

import os
import subprocess
import sys

import nbformat
import pytest

from lib import paths, slurm
from lib.errors import InputError


@pytest.fixture
def resources(tmp_path, monkeypatch):
    def ask(text, notebook):
        (tmp_path / "cluster.yaml").write_text(text)
        monkeypatch.setenv(slurm.FILE, str(tmp_path / "cluster.yaml"))
        return slurm.resources(notebook)

    return ask


def test_later_patterns_win(resources):
    text = '"*": {time: "01:00:00", mem: 8G}\n"*train*": {time: "12:00:00", gpus: 1}\n"*/x.ipynb": {gpus: null}\n'
    assert resources(text, "notebooks/a/b.ipynb") == ["--time=01:00:00", "--mem=8G"]
    assert resources(text, "notebooks/a/01_train.ipynb") == ["--time=12:00:00", "--mem=8G", "--gpus=1"]
    assert resources(text, "train/x.ipynb") == ["--time=12:00:00", "--mem=8G"]


def test_every_training_of_the_compendium_gets_a_gpu_and_nothing_else_does(monkeypatch):
    monkeypatch.delenv(slurm.FILE, raising=False)
    notebooks = {path.relative_to(paths.ROOT).as_posix(): path for path in (paths.ROOT / "notebooks").rglob("*.ipynb")}
    with_gpu = {name for name in notebooks if "--gpus=1" in slurm.resources(f"build/{name}")}
    assert with_gpu == {name for name, path in notebooks.items() if "Checkpoints()" in path.read_text()}
    assert len(with_gpu) == 9
    assert all("--time=01:00:00" in slurm.resources(name) for name in notebooks.keys() - with_gpu)


def test_resources_that_are_none(resources):
    with pytest.raises(InputError, match=r"cluster\.yaml: \*: not options of sbatch"):
        resources('"*": 8G\n', "a")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"WHEREABOUTS_RUN_ON": "here"}, False),
        ({"WHEREABOUTS_RUN_ON": "slurm"}, True),
        ({"WHEREABOUTS_RUN_ON": "slurm", "SLURM_JOB_ID": "7"}, False),
    ],
)
def test_in_a_job_it_runs_in_place(environment, expected, monkeypatch):
    for name in ("WHEREABOUTS_RUN_ON", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert slurm.wanted() is expected


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("sulrm", "error: WHEREABOUTS_RUN_ON=sulrm: unknown; choose one of here, slurm"),
        ("slurm", "error: WHEREABOUTS_RUN_ON=slurm: no sbatch here; run on a host of the cluster, or unset it"),
    ],
)
def test_a_wrong_switch_and_no_slurm_are_one_line(place, said, tmp_path):
    cell = nbformat.v4.new_code_cell("n = 1", metadata={"tags": ["parameters"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "in.ipynb")
    done = subprocess.run(
        [sys.executable, "-m", "lib.run", str(tmp_path / "in.ipynb"), str(tmp_path / "out.ipynb")],
        cwd=paths.ROOT,
        env=os.environ | {"WHEREABOUTS_RUN_ON": place, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stderr.splitlines() == [said]
    assert not (tmp_path / "out.ipynb").exists()
