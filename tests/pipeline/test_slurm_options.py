"""How a Slurm job is submitted, found and awaited; without Slurm."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import nbformat
import pytest

from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.pipeline import cluster, job, slurm

PREPARED = """for word; do case $word in --output=*) log=${word#*=};; --job-name=*) name=${word#*=};; esac; done
left=${log%.log}.exit
facts() { echo JobId=7 JobName=$name JobState=COMPLETED Reason=None StdOut=$log > facts; }
facts
"""


@pytest.fixture
def submitted(tmp_path, monkeypatch):
    """A function that starts the runner beside these in place of Slurm's commands; `sbatch` knows $log and $left."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv(cluster.SWITCH, "slurm")
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
    ("said", "expected"),
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
def test_the_job_is_found_whatever_sbatch_says(said, expected, number):
    assert number(said) == expected


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


@pytest.mark.parametrize("left", ["", "echo 1 > $left"], ids=["the runner killed", "its kernel killed"])
@pytest.mark.parametrize("state", ["OUT_OF_MEMORY", "TIMEOUT"])
def test_after_a_limit_the_second_try_asks_for_more_and_is_the_last(state, left, submitted, tmp_path, monkeypatch):
    (tmp_path / "cluster.yaml").write_text('"*": {mem: 1G, again: {mem: 3G}}\n', encoding="utf-8")
    monkeypatch.setenv(cluster.FILE, str(tmp_path / "cluster.yaml"))
    runner = submitted(sbatch=f"echo $* >> asked; sed -i s/COMPLETED/{state}/ facts; echo 7; {left}")
    _, errors = runner.communicate(timeout=60)
    assert runner.returncode == 1
    asked = (tmp_path / "asked").read_text(encoding="utf-8")
    assert [word for word in asked.split() if word.startswith("--mem")] == ["--mem=1G", "--mem=3G"]
    first, second = errors.splitlines()
    assert f"/in.ipynb: job 7 ended as {state}; its log is " in first and first.endswith("; once more, with --mem=3G")
    assert second.startswith("error: ") and f"/in.ipynb: job 7 ended as {state}; its log is build/jobs/" in second


def test_a_job_that_failed_by_itself_is_not_tried_again(submitted, tmp_path):
    runner = submitted(sbatch="echo >> asked; sed -i s/COMPLETED/FAILED/ facts; echo 7; echo 3 > $left")
    _, errors = runner.communicate(timeout=60)
    assert runner.returncode == 3 and " job 7 failed; " in errors
    assert (tmp_path / "asked").read_text(encoding="utf-8") == "\n"


def test_what_sites_and_allocations_set_makes_no_other_job(monkeypatch):
    for name in ("SBATCH_ARRAY_INX", "SBATCH_GET_USER_ENV", "SLURM_JOB_ID", "SLURM_MEM_PER_CPU", "SCANCEL_INTERACTIVE"):
        monkeypatch.setenv(name, "1")
    for name in ("CUDA_VISIBLE_DEVICES", "TMPDIR"):
        monkeypatch.setenv(name, "1")
    kept = {"SLURM_CONF": "/etc/slurm.conf", "SBATCH_ACCOUNT": "heart", "OMP_NUM_THREADS": "2"}
    for name, value in kept.items():
        monkeypatch.setenv(name, value)
    found = slurm._environment()
    assert kept.items() <= found.items()
    assert {name for name in found if name.startswith(("SLURM_", "SCANCEL_"))} == {"SLURM_CONF"}
    assert not {"SBATCH_ARRAY_INX", "SBATCH_GET_USER_ENV", "CUDA_VISIBLE_DEVICES", "TMPDIR"} & found.keys()
    monkeypatch.delenv("SLURM_JOB_ID")
    assert {"CUDA_VISIBLE_DEVICES", "TMPDIR"} <= slurm._environment().keys()  # where it is no allocation's


def test_an_exit_code_that_cannot_be_left_is_one_line(submitted, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv(job.EXIT, str(tmp_path / "in.ipynb" / "left.exit"))
    runner = submitted()
    _, errors = runner.communicate(timeout=60)
    (line,) = errors.splitlines()
    assert runner.returncode == 1
    assert line.startswith(f"error: {tmp_path}/in.ipynb/left.exit: cannot be written (")
