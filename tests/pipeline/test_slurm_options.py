"""When the runner submits itself to Slurm, and what it asks for; without Slurm."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import nbformat
import pytest

import stored
from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.pipeline import slurm


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
    found = {path.relative_to(paths.ROOT).as_posix(): path for path in stored.listed()}
    with_gpu = {name for name in found if "--gpus=1" in slurm.resources(f"build/{name}")}
    assert with_gpu == {name for name, path in found.items() if "Checkpoints()" in path.read_text(encoding="utf-8")}
    assert len(with_gpu) == 9
    assert all("--time=01:00:00" in slurm.resources(name) for name in found.keys() - with_gpu)


def test_resources_that_are_none(resources):
    with pytest.raises(InputError, match=r"cluster\.yaml: \*: not options of sbatch"):
        resources('"*": 8G\n', "a")


@pytest.mark.parametrize(
    ("written", "options"),
    [
        ("exclusive: true", ["--exclusive"]),
        ("exclusive: false", []),
        ("exclusive:", []),
        ("exclusive: user", ["--exclusive=user"]),
        ("time: 12:00:00", ["--time=12:00:00"]),
        ("account: '0123'", ["--account=0123"]),
        ("mem: 1000", ["--mem=1000"]),
    ],
)
def test_an_option_is_what_was_written(written, options, resources):
    assert resources(f'"*":\n  {written}\n', "a") == options


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("exclusive: yes", "exclusive: 'yes' is a word to YAML; write true or false"),
        ("requeue: Off", "requeue: 'Off' is a word to YAML"),
        ("account: 0123", "0123 would lose the 0 that it begins with; put it between quotes"),
        ("begin: 2026-01-01", "would be read as a date; put it between quotes"),
        ("gres: [gpu]", "gres: ['gpu'] is no text as sbatch takes it"),
        ("mem: 1.5", "mem: 1.5 is no text as sbatch takes it"),
        ("--mem: 8G", "no option of sbatch; write its long name without dashes"),
        ("1: 8G", "no option of sbatch"),
        ("array: 1-3", "the runner itself sets array; remove it"),
        ("account: 2024_05", "2024_05 would lose its _"),
        ("arr: 1-3", "the runner itself sets array; remove it"),
        ("output: x", "the runner itself sets output; remove it"),
    ],
)
def test_an_option_that_would_be_another_is_refused(written, said, resources):
    with pytest.raises(InputError) as caught:
        resources(f'"*": {{mem: 8G}}\n"nothing":\n  {written}\n', "a")
    assert any(said in problem for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"WHEREABOUTS_RUN_ON": "here"}, False),
        ({"WHEREABOUTS_RUN_ON": "slurm"}, True),
        ({"WHEREABOUTS_RUN_ON": "slurm", "SLURM_JOB_ID": "7"}, True),  # an allocation that somebody works in
        ({"WHEREABOUTS_RUN_ON": "slurm", "SLURM_JOB_ID": "7", "WHEREABOUTS_EXIT": "x"}, False),
    ],
)
def test_in_a_job_of_its_own_it_runs_in_place(environment, expected, monkeypatch):
    for name in ("WHEREABOUTS_RUN_ON", "SLURM_JOB_ID", "WHEREABOUTS_EXIT"):
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
        [sys.executable, "-m", "whereabouts.run", str(tmp_path / "in.ipynb"), str(tmp_path / "out.ipynb")],
        cwd=paths.ROOT,
        env=os.environ | {"WHEREABOUTS_RUN_ON": place, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stderr.splitlines() == [said]
    assert not (tmp_path / "out.ipynb").exists()


PREPARED = """for word; do case $word in --output=*) log=${word#*=};; --job-name=*) name=${word#*=};; esac; done
left=${log%.log}.exit
facts() { echo JobId=7 JobName=$name JobState=COMPLETED Reason=None StdOut=$log > facts; }
facts
"""


@pytest.fixture
def submitted(tmp_path, monkeypatch):
    """A function that starts the runner beside these in place of Slurm's commands; `sbatch` knows $log and $left."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv(slurm.SWITCH, "slurm")
    cell = nbformat.v4.new_code_cell("n = 1", metadata={"tags": ["parameters"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "in.ipynb")
    known = {
        "scontrol": 'case "$*" in *job*7) cat facts;; *) exit 1;; esac',
        "squeue": "echo 42; echo 7",
        "scancel": "echo $* >> cancelled",
    }

    def start(sbatch="exit 1", interrupt=signal.SIG_DFL, **commands):
        for name, script in {"sbatch": PREPARED + sbatch, **known, **commands}.items():
            (tmp_path / name).write_text(f"#!/bin/sh\ncd {tmp_path}\n{script}\n", encoding="utf-8")
            (tmp_path / name).chmod(0o755)
        words = [sys.executable, "-m", "whereabouts.run", str(tmp_path / "in.ipynb"), str(tmp_path / "out.ipynb")]
        return subprocess.Popen(
            words,
            cwd=paths.ROOT,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, interrupt),
        )

    return start


def test_the_exit_code_of_a_completed_job_may_be_seen_late(submitted):
    """As over NFS. The job's log, whose last lines are as late, is copied to its end."""
    late = "(sleep 1; echo last line > $log; echo 0 > $left) > /dev/null 2>&1 &"
    runner = submitted(sbatch=f"echo 7\n{late}")
    _, errors = runner.communicate(timeout=60)
    assert (runner.returncode, errors) == (0, "last line\n")


@pytest.fixture
def number(tmp_path, monkeypatch):
    """A function that looks for a job in what sbatch, which has ended, said; Slurm knows job 7, ours, and 42."""
    log = tmp_path / "in.log"
    known = {"7": f"JobId=7 JobName=in 1 StdOut={log} Power=", "42": "JobId=42 JobName=other StdOut=/other"}

    def find(text, listed="42 7"):
        def client(command, *words):
            return SimpleNamespace(stdout=listed if command == "squeue" else known.get(words[-1], ""))

        monkeypatch.setattr(slurm, "_client", client)
        (tmp_path / "said").write_text(text, encoding="utf-8")
        return slurm._number(SimpleNamespace(poll=lambda: 1, returncode=1), tmp_path / "said", "in 1", log)

    return find


@pytest.mark.parametrize(
    ("said", "job"),
    [
        ("7\n", ["7"]),
        ("7;north\n", ["--clusters=north", "7"]),
        ("Submitted batch job 7\n", ["7"]),
        ("Checking your quota and allocation... OK\n7\ngood luck\n", ["7"]),
        ("42\n7\n", ["7"]),  # 42 files are left, say
        ("42\n", ["7"]),  # Slurm is asked
        ("job 7 it is, of 9\n", ["7"]),
        ("", ["7"]),
    ],
)
def test_the_job_is_found_whatever_sbatch_says(said, job, number):
    assert number(said) == job


def test_no_job_at_all_is_one_line_with_all_that_was_said(number):
    with pytest.raises(InputError) as caught:
        number("42\n\nno such partition\n", listed="42")
    assert caught.value.problems == ["sbatch refused the job (42; no such partition); mend params/cluster.yaml"]


@pytest.mark.parametrize("interrupt", [signal.SIG_DFL, signal.SIG_IGN], ids=["", "SIGINT ignored"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_submitter_told_to_end_cancels_its_job(number, interrupt, submitted, tmp_path):
    runner = submitted(sbatch="echo begun > $log; echo 7; exec sleep 60", interrupt=interrupt)
    assert runner.stderr.readline() == "begun\n"
    runner.send_signal(number)
    if number == signal.SIGINT and interrupt == signal.SIG_IGN:  # of a terminal in whose background it is
        runner.send_signal(signal.SIGTERM)
    _, errors = runner.communicate(timeout=30)
    assert (tmp_path / "cancelled").read_text(encoding="utf-8") == "7\n"
    assert (runner.returncode, errors) == (75, f"{tmp_path}/out.ipynb: stopped; run it again to go on\n")


@pytest.mark.parametrize(
    ("sbatch", "cancelled"),
    [("sleep 1; echo 7; exec sleep 60", "7\n"), ("exec sleep 60", "--me --name=in-")],
    ids=["known later", "never known"],
)
def test_a_submitter_told_to_end_before_it_knows_its_job_cancels_it_too(sbatch, cancelled, submitted, tmp_path):
    runner = submitted(sbatch=f"touch begun; {sbatch}", squeue="")
    while not (tmp_path / "begun").exists():
        time.sleep(0.05)
    runner.terminate()
    runner.communicate(timeout=60)
    assert runner.returncode == 75
    assert (tmp_path / "cancelled").read_text(encoding="utf-8").startswith(cancelled)


def test_a_submitter_outlives_its_terminal_and_nobody_reads_what_it_says(submitted, tmp_path):
    go = "while ! test -e go; do sleep .05; done; echo more > $log; echo 0 > $left"
    runner = submitted(sbatch=f"echo begun > $log; echo 7; {go}")
    assert runner.stderr.readline() == "begun\n"
    runner.stderr.close()
    runner.send_signal(signal.SIGHUP)
    (tmp_path / "go").touch()
    assert runner.wait(timeout=60) == 0 and not (tmp_path / "cancelled").exists()


def test_what_sites_and_allocations_set_makes_no_other_job(monkeypatch):
    for name in ("SBATCH_ARRAY_INX", "SBATCH_GET_USER_ENV", "SLURM_JOB_ID", "SLURM_MEM_PER_CPU", "SCANCEL_INTERACTIVE"):
        monkeypatch.setenv(name, "1")
    kept = {"SLURM_CONF": "/etc/slurm.conf", "SBATCH_ACCOUNT": "heart", "OMP_NUM_THREADS": "2"}
    for name, value in kept.items():
        monkeypatch.setenv(name, value)
    found = slurm._environment()
    assert kept.items() <= found.items()
    assert {name for name in found if name.startswith(("SLURM_", "SCANCEL_"))} == {"SLURM_CONF"}
    assert "SBATCH_ARRAY_INX" not in found and "SBATCH_GET_USER_ENV" not in found


def test_an_exit_code_that_cannot_be_left_is_one_line(submitted, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv(slurm.EXIT, str(tmp_path / "in.ipynb" / "left.exit"))
    runner = submitted()
    _, errors = runner.communicate(timeout=60)
    (line,) = errors.splitlines()
    assert runner.returncode == 1
    assert line.startswith(f"error: {tmp_path}/in.ipynb/left.exit: cannot be written (")
