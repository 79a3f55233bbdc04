"""When the runner submits itself to Slurm, and what it asks for; without Slurm."""

import os
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from lib import paths, slurm
from lib.errors import InputError


@pytest.fixture
def resources(tmp_path, monkeypatch):
    def ask(text, notebook):
        (tmp_path / "cluster.yaml").write_text(text, encoding="utf-8")
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
    assert with_gpu == {name for name, path in notebooks.items() if "Checkpoints()" in path.read_text(encoding="utf-8")}
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


@pytest.fixture
def submitted(tmp_path, monkeypatch):
    """A function that starts the runner beside these in place of Slurm's commands."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv(slurm.SWITCH, "slurm")
    cell = nbformat.v4.new_code_cell("n = 1", metadata={"tags": ["parameters"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "in.ipynb")

    def start(**commands):
        for name, script in commands.items():
            (tmp_path / name).write_text(f"#!/bin/sh\ncd {tmp_path}\n{script}\n", encoding="utf-8")
            (tmp_path / name).chmod(0o755)
        words = [sys.executable, "-m", "lib.run", str(tmp_path / "in.ipynb"), str(tmp_path / "out.ipynb")]
        return subprocess.Popen(words, cwd=paths.ROOT, stderr=subprocess.PIPE, text=True)

    return start


def test_the_exit_code_of_a_completed_job_may_be_seen_late(submitted):
    """As over NFS. The job's log, whose last lines are as late, is copied to its end."""
    runner = submitted(
        sbatch="""echo 7
log=${WHEREABOUTS_EXIT%.exit}.log
(sleep 3; echo last line > $log; echo 0 > $WHEREABOUTS_EXIT) > /dev/null 2>&1 &""",
        scontrol="echo JobId=7 JobState=COMPLETED Reason=None",
    )
    _, errors = runner.communicate(timeout=60)
    assert (runner.returncode, errors) == (0, "last line\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_submitter_told_to_end_cancels_its_job(number, submitted, tmp_path):
    log = "${WHEREABOUTS_EXIT%.exit}.log"
    runner = submitted(sbatch=f"echo begun > {log}; echo 7; exec sleep 60", scancel="echo $* >> cancelled")
    assert runner.stderr.readline() == "begun\n"
    runner.send_signal(number)
    _, errors = runner.communicate(timeout=30)
    assert (tmp_path / "cancelled").read_text(encoding="utf-8") == "7\n"
    assert (runner.returncode, errors) == (75, f"{tmp_path}/out.ipynb: stopped; run it again to go on\n")


def test_a_submitter_told_to_end_before_it_knows_its_job_cancels_it_too(submitted, tmp_path):
    runner = submitted(sbatch="touch begun; sleep 1; echo 7; exec sleep 60", scancel="echo $* >> cancelled")
    while not (tmp_path / "begun").exists():
        time.sleep(0.05)
    runner.terminate()
    runner.communicate(timeout=30)
    assert runner.returncode == 75 and (tmp_path / "cancelled").read_text(encoding="utf-8") == "7\n"


def test_an_exit_code_that_cannot_be_left_is_one_line(submitted, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv(slurm.EXIT, str(tmp_path / "in.ipynb" / "left.exit"))
    runner = submitted(scancel="")
    _, errors = runner.communicate(timeout=60)
    (line,) = errors.splitlines()
    assert runner.returncode == 1
    assert line.startswith(f"error: {tmp_path}/in.ipynb/left.exit: cannot be written (")
