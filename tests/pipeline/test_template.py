"""Schedulers that are a line of params/cluster.yaml, on a stub that behaves like `qsub -sync y`.

It waits for its job and passes on its exit code; the job has a log and an environment of its own.
"""

import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

import stored
from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.pipeline import cluster, job, template

QSUB = """#!/bin/sh
cd {folder}
echo "$*" >> asked
while [ $# -gt 1 ]; do case $1 in -o) log=$2;; esac; shift; done
echo 'Your job 7 has been submitted'
{before}
env -i PATH="$PATH" HOME="$HOME" sh "$1" > "$log" 2>&1 &
echo $! > job
wait $!
"""
CLUSTER = """
submit: {folder}/qsub -sync y -N {{name}} -o {{log}} -l h_rt={{time}} -l h_vmem={{mem}} -l gpu={{gpus}} {{script}}
"*": {{time: "01:00:00", mem: 1G, gpus: false, again: {{mem: 3G}}}}
"""
TRAINS = """
import os, time
from whereabouts.pipeline import interruption
if not os.path.exists(state):
    open(state, "w").close()
    while not interruption.asked():
        time.sleep(0.05)
    raise interruption.Interrupted("halfway")
print("goes on")
"""


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """A function that starts the runner on a notebook of one cell; lines of the stub and of the file may be added."""
    monkeypatch.setenv(cluster.SWITCH, "cluster")
    monkeypatch.setenv(cluster.FILE, str(tmp_path / "cluster.yaml"))

    def start(cell="print(state)", before="", more="", text=CLUSTER):
        first = nbformat.v4.new_code_cell(f"state = {str(tmp_path / 'state')!r}", metadata={"tags": ["parameters"]})
        cells = [first, nbformat.v4.new_code_cell(cell)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "01_in.ipynb")
        (tmp_path / "qsub").write_text(QSUB.format(folder=tmp_path, before=before), encoding="utf-8")
        (tmp_path / "qsub").chmod(0o755)
        (tmp_path / "cluster.yaml").write_text(text.format(folder=tmp_path) + more, encoding="utf-8")
        words = ["whereabouts.run", str(tmp_path / "01_in.ipynb"), str(tmp_path / "out.ipynb")]
        heeds = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # wherever the tests run
        command = [sys.executable, "-m", *words]
        return subprocess.Popen(command, cwd=paths.ROOT, stderr=subprocess.PIPE, text=True, **heeds)

    return start


def asked(folder):
    """The words of each call of the stub."""
    return [line.split() for line in (folder / "asked").read_text(encoding="utf-8").splitlines()]


def test_a_job_asks_for_what_the_line_names_and_its_log_is_copied(runner, tmp_path):
    one = runner(more="setup: echo said by the job\n")
    _, errors = one.communicate(timeout=120)
    assert one.returncode == 0, errors
    assert errors == "Your job 7 has been submitted\nsaid by the job\n"
    (words,) = asked(tmp_path)
    name, log, script = words[3], words[5], words[12]
    assert words[:2] == ["-sync", "y"] and words[6:12] == ["-l", "h_rt=01:00:00", "-l", "h_vmem=1G", "-l", "gpu=0"]
    assert name.startswith("in-") and len(name) <= 15
    assert log.endswith(".log") and script == log.removesuffix(".log") + ".sh"
    assert (tmp_path / "out.ipynb").exists()
    assert [path.suffix for path in paths.at(job.LOGS).glob(f"{Path(log).stem}*")] == [".log"]


def test_a_failing_cell(runner, tmp_path):
    one = runner("from whereabouts.errors import InputError\nraise InputError('scan.nii: truncated; get it again')")
    _, errors = one.communicate(timeout=120)
    assert one.returncode == 1 and len(asked(tmp_path)) == 1
    assert "error: scan.nii: truncated; get it again\n" in errors
    assert "01_in.ipynb: the job failed; its log is build/jobs/01_in-" in errors and "Traceback" not in errors


def test_a_job_that_is_killed_is_tried_once_more_with_more(runner, tmp_path):
    one = runner(more=f'setup: "test -e {tmp_path}/once || {{ touch {tmp_path}/once; kill -9 $$; }}"\n')
    _, errors = one.communicate(timeout=120)
    assert one.returncode == 0, errors
    assert [word for words in asked(tmp_path) for word in words if "h_vmem" in word] == ["h_vmem=1G", "h_vmem=3G"]
    assert "the job left no exit code, and its submitter 137; its log is build/jobs/" in errors
    assert "; once more, with --mem=3G\n" in errors


def test_what_the_scheduler_refuses_is_said_and_not_tried_again(runner, tmp_path):
    one = runner(before="echo 'qsub: unknown queue' >&2; exit 2")
    _, errors = one.communicate(timeout=120)
    assert one.returncode == 2 and len(asked(tmp_path)) == 1
    assert "/01_in.ipynb: no job began, and `submit:` ended with 2; mend it; its log is build/jobs/" in errors
    assert paths.at(errors.split()[-1]).read_text(encoding="utf-8").endswith("qsub: unknown queue\n")


def test_a_submitter_that_does_not_wait_submits_no_second_job(tmp_path, monkeypatch):
    monkeypatch.setattr(template, "LATE", 0)
    one, request = job.Job("a", tmp_path / "a.log", "exit 0\n"), cluster.Request({}, {}, submit="true {script}")
    end = template.run(one, {}, request)
    assert (end.code, end.why) == (1, "") and end.how.endswith("ended with 0; it has to wait until the job has ended")


def test_training_that_is_put_away_is_submitted_again(runner, tmp_path):
    one = runner(TRAINS)
    while not (tmp_path / "state").exists():
        assert one.poll() is None
        time.sleep(0.05)
    subprocess.run(["kill", "-TERM", (tmp_path / "job").read_text(encoding="utf-8").strip()], check=True)
    _, errors = one.communicate(timeout=120)
    assert one.returncode == 0, errors
    assert "put away halfway" in errors and "submitted again, 2 of at most 50 times\n" in errors
    assert "goes on" in (tmp_path / "out.ipynb").read_text(encoding="utf-8")
    assert [word for words in asked(tmp_path) for word in words if "h_vmem" in word] == ["h_vmem=1G", "h_vmem=1G"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_cancels_the_job_and_waits_for_it(number, runner, tmp_path):
    one = runner(TRAINS, more=f"cancel: echo {{name}} > {tmp_path}/cancelled; kill $(cat {tmp_path}/job)\n")
    while not (tmp_path / "state").exists():
        assert one.poll() is None
        time.sleep(0.05)
    one.send_signal(number)
    _, errors = one.communicate(timeout=120)
    assert one.returncode == 75, errors
    assert (tmp_path / "cancelled").read_text(encoding="utf-8").startswith("in-")
    assert len(asked(tmp_path)) == 1 and errors.endswith("out.ipynb: stopped; run it again to go on\n")


def test_without_a_line_that_cancels_its_submitter_is_ended_and_says_so(runner, tmp_path):
    one = runner(before="touch begun; exec sleep 600")
    while not (tmp_path / "begun").exists():
        assert one.poll() is None
        time.sleep(0.05)
    one.terminate()
    _, errors = one.communicate(timeout=120)
    assert one.returncode == 75
    assert f"({tmp_path}/cluster.yaml has no cancel: line); see the queue\n" in errors


def test_set_up_lines_and_what_runs_python(runner, tmp_path):
    """As `module load` and `apptainer exec image.sif python` do; here, with no scheduler at all."""
    python = f"env WRAPPED=1 {shlex.quote(sys.executable)}"
    more = f'setup: ["SET_UP=1", "export SET_UP"]\npython: {python}\n'
    cell = "import os\nassert os.environ['SET_UP'] == os.environ['WRAPPED'] == '1'"
    one = runner(cell, more=more, text='submit: sh {{script}}\n"*": {{again: false}}\n')
    _, errors = one.communicate(timeout=120)
    assert one.returncode == 0, errors
    one = runner(cell, more="setup: module_load cuda\n", text='submit: sh {{script}}\n"*": {{mem: 1G}}\n')
    _, errors = one.communicate(timeout=120)
    assert one.returncode == 127 and "module_load" in errors and errors.count("the job failed") == 1


def test_a_name_that_nothing_has_is_one_line(runner):
    one = runner(more="cancel: qdel {job}\n")
    _, errors = one.communicate(timeout=120)
    (line,) = errors.splitlines()
    assert one.returncode == 1
    known = "cpus-per-task, gpus, log, mem, name, script, time"
    assert line.endswith(f"cluster.yaml: cancel: {{job}}: nothing is asked for under that name; write one of {known}")


@pytest.mark.parametrize(
    ("line", "values", "filled"),
    [
        ("a {x}b", {"x": "3G"}, "a 3Gb"),
        ("a {x}", {"x": "two words; rm"}, "a 'two words; rm'"),
        ("a ${x} {y}", {"y": ["p", 2]}, "a ${x} p,2"),
        ("awk '{print $1}' {y} {z}", {"y": False, "z": True}, "awk '{print $1}' 0 1"),
    ],
)
def test_values_are_quoted_and_the_shells_own_are_left(line, values, filled):
    assert template.fill(line, "submit", values) == filled


EXAMPLES = re.findall(r"```yaml\n(.*?)```", paths.at("docs/cluster.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_examples_of_the_docs_are_taken(text, tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setenv(cluster.FILE, str(tmp_path / "mine.yaml"))
    for notebook in stored.listed():
        where = "cluster" if "submit:" in text else "slurm"
        asked = cluster.request(f"build/{paths.relative(notebook)}", where)
        given = asked.options | dict.fromkeys(cluster.OF_SUBMIT, "x")
        assert "{" not in template.fill(asked.submit, "submit", given) + template.fill(asked.cancel, "cancel", given)


def test_all_unknown_names_are_said():
    with pytest.raises(InputError) as caught:
        template.fill("{a} {b} {c}", "submit", {"a": 1, "b": None})
    assert [problem.split(": ")[2] for problem in caught.value.problems] == ["{b}", "{c}"]


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("01_train_clevr_seg-0a1b2c3d", "train_-0a1b2c3d"),
        ("42-0a1b2c3d", "w-0a1b2c3d"),
        ("bär und-0a1b2c3d", "brund-0a1b2c3d"),
    ],
)
def test_a_job_has_a_name_that_every_scheduler_takes(name, short):
    assert template._short(name) == short
