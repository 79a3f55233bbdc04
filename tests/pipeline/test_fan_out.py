"""Stale stages side by side, in small pipelines of their own."""

import subprocess
import sys
import textwrap
import threading

import pytest
import torch
import yaml
import zc.lockfile

from whereabouts import paths
from whereabouts.pipeline import cluster, fan_out

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")  # DVC's, of a library that it uses
WAIT = (
    "touch {me}; for i in $(seq 600); do test -e {other} && break; sleep .05; done; test -e {other} && echo > {me}.out"
)


@pytest.fixture
def pipeline(tmp_path, monkeypatch):
    """A function that makes a repository with these stages, beside those that run in every one."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(fan_out, "devices", lambda jobs: [{}] * (jobs or 2))

    def make(**stages):
        (tmp_path / "in").write_text("1", encoding="utf-8")
        always = {"index": {"cmd": "true", "always_changed": True}, "strip": {"cmd": "true", "deps": ["in"]}}
        outs = [out for one in stages.values() if "matrix" not in one for out in one["outs"]]
        always["results"] = {"cmd": "echo >> results", "always_changed": True, "deps": outs}
        (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": always | stages}), encoding="utf-8")
        subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=tmp_path, check=True)
        return tmp_path

    return make


def stage(command, *needs, out=None):
    return {"cmd": command, "deps": [f"{need}.out" for need in needs] or ["in"], "outs": [f"{out}.out"]}


def chain():
    """a -> b -> c, and d on its own."""
    commands = {name: f"echo {name} >> log && date +%N > {name}.out" for name in "abcd"}
    needs = {"a": [], "b": ["a"], "c": ["b"], "d": []}
    return {name: stage(commands[name], *needs[name], out=name) for name in "abcd"}


def ran(folder):
    return (folder / "log").read_text(encoding="utf-8").split()


def test_all_are_run_in_order_and_then_none(pipeline, capfd):
    folder = pipeline(**chain())
    assert fan_out.main([]) == 0
    assert sorted(ran(folder)) == list("abcd")
    assert [name for name in ran(folder) if name != "d"] == list("abc")
    assert (folder / "results").read_text(encoding="utf-8") == "\n"  # once, at the end
    assert fan_out.stale() == {}
    assert fan_out.main([]) == 0
    assert len(ran(folder)) == 4
    said = capfd.readouterr()
    assert "c (" in said.err and "nothing is stale" in said.out


def test_what_comes_after_a_change_is_stale(pipeline):
    folder = pipeline(**chain())
    fan_out.main([])
    content = yaml.safe_load((folder / "dvc.yaml").read_text(encoding="utf-8"))
    content["stages"]["b"]["cmd"] += " && true"
    (folder / "dvc.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    assert fan_out.stale() == {"b": [], "c": ["b"]}


def test_two_run_at_once(pipeline):
    """Each waits for the other."""
    names = {"a": "b", "b": "a"}
    pipeline(**{me: stage(WAIT.format(me=me, other=other), out=me) for me, other in names.items()})
    assert fan_out.main(["--jobs", "2"]) == 0


def test_a_failure_stops_only_what_depends_on_it_and_is_named(pipeline, capfd):
    stages = chain()
    stages["a"]["cmd"] = "echo it broke >&2; exit 3"
    folder = pipeline(**stages)
    assert fan_out.main(["--jobs", "1"]) == 1
    assert ran(folder) == ["d"]
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error:")]
    assert errors == ["error: a failed; see build/fan_out/a.log"]
    assert "it broke" in (folder / "build/fan_out/a.log").read_text(encoding="utf-8")
    assert fan_out.stale() == {"a": [], "b": ["a"], "c": ["b"]}
    stages["a"]["cmd"] = "echo a >> log && echo > a.out"
    pipelined = yaml.safe_load((folder / "dvc.yaml").read_text(encoding="utf-8"))
    pipelined["stages"]["a"] = stages["a"]
    (folder / "dvc.yaml").write_text(yaml.safe_dump(pipelined), encoding="utf-8")
    assert fan_out.main([]) == 0
    assert ran(folder) == list("dabc")


def test_the_notebook_of_a_failed_stage_is_named(pipeline, capfd):
    failing = stage("echo > a.ipynb; exit 1", out="a")
    failing["outs"].append("a.ipynb")
    pipeline(a=failing)
    assert fan_out.main([]) == 1
    assert "error: a failed; see build/fan_out/a.log and a.ipynb\n" in capfd.readouterr().err


def test_a_stage_of_a_matrix(pipeline):
    each = stage("echo ${item.k} >> log && echo > ${item.k}.out", out="${item.k}")
    last = stage("echo z >> log && echo > z.out", "x", "y", out="z")
    folder = pipeline(t={"matrix": {"k": ["x", "y"]}, **each}, z=last)
    assert fan_out.main([]) == 0
    assert ran(folder)[2] == "z" and sorted(ran(folder)) == list("xyz")


def asking(folder, shared='"*": {mem: 8G}\n'):
    (folder / "params").mkdir()
    (folder / cluster.SHARED).write_text(shared, encoding="utf-8")


@pytest.mark.parametrize(
    ("place", "text"), [("here", ""), ("slurm", '"*": {}\n'), ("cluster", "submit: qsub {script}\n")]
)
def test_a_cluster_is_asked_for_by_the_environment_alone(place, text, pipeline, monkeypatch):
    monkeypatch.setenv(cluster.SWITCH, "slurm")  # what is said in the command wins
    folder = pipeline(a=stage("echo $WHEREABOUTS_RUN_ON > a.out", out="a"))
    asking(folder, text)
    assert fan_out.main(["--on", place, "--jobs", "3"]) == 0
    assert (folder / "a.out").read_text(encoding="utf-8") == f"{place}\n"


def test_what_is_wrong_with_what_jobs_ask_for_is_said_before_anything_runs(pipeline, capfd):
    folder = pipeline(**chain())
    asking(folder, '"*": {mem: 1.5, output: x}\n')
    assert fan_out.main(["--on", "slurm"]) == 1
    errors = capfd.readouterr().err.splitlines()
    assert len(errors) == 2 and all(line.startswith("error: params/cluster.yaml: *: ") for line in errors)
    assert not (folder / "log").exists()


def summary(folder):
    """State -> its stages, as the summary has them; and the lines."""
    header, *lines = (folder / fan_out.SUMMARY).read_text(encoding="utf-8").splitlines()
    assert header == "state\tseconds\tstage\tlog"
    rows = [line.split("\t") for line in lines]
    return {state: [row[2] for row in rows if row[0] == state] for state, *_ in rows}, rows


def test_the_summary_says_how_every_stage_stands_and_goes_where_it_is_sent(pipeline):
    stages = chain()
    stages["b"]["cmd"] = "exit 3"
    folder = pipeline(**stages)
    then = "cp $WHEREABOUTS_SUMMARY mail; echo $WHEREABOUTS_CODE >> mail; exit 4"
    assert fan_out.main(["--then", then]) == 1
    states, rows = summary(folder)
    assert {state: sorted(found) for state, found in states.items()} == {
        "failed": ["b"],
        "not run": ["c"],
        "done": ["a", "d"],
    }
    assert rows[0][0] == "failed" and rows[0][1].isdigit() and rows[0][3] == "build/fan_out/b.log"
    assert [row for row in rows if row[2] == "c"] == [["not run", "", "c", ""]]
    sent = (folder / "mail").read_text(encoding="utf-8")
    assert sent == (folder / fan_out.SUMMARY).read_text(encoding="utf-8") + "1\n"


def test_a_command_that_fails_at_the_end_is_said_and_changes_nothing(pipeline, capfd):
    folder = pipeline(a=stage("echo > a.out", out="a"))
    assert fan_out.main(["--then", "exit 4"]) == 0
    assert "error: exit 4: ended with 4; mend it" in capfd.readouterr().err
    assert fan_out.main(["--then", "echo $WHEREABOUTS_CODE > code"]) == 0
    assert (folder / "code").read_text(encoding="utf-8") == "0\n"
    assert summary(folder) == ({}, [])  # nothing was stale


def test_it_is_also_run_when_nothing_could_begin(pipeline):
    folder = pipeline(**chain())
    (folder / "dvc.yaml").write_text("stages: [", encoding="utf-8")
    assert fan_out.main(["--then", "cat $WHEREABOUTS_SUMMARY > mail; echo $WHEREABOUTS_CODE >> mail"]) == 255
    assert (folder / "mail").read_text(encoding="utf-8") == fan_out.HEADER + "255\n"


@pytest.mark.parametrize(
    ("gpus", "jobs", "expected"),
    [(2, 0, ["0", "1"]), (2, 3, ["0", "1", "0"]), (1, 2, ["0", "0"])],
)
def test_each_job_has_a_gpu_in_turn(gpus, jobs, expected, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert fan_out.devices(jobs) == [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in expected]


def test_what_dvc_itself_refuses_is_said(pipeline, capfd):
    folder = pipeline(**chain())
    (folder / "dvc.yaml").write_text("stages: [", encoding="utf-8")
    assert fan_out.main([]) == 255
    assert "dvc.yaml' is invalid" in capfd.readouterr().err


@pytest.mark.parametrize("given", ["2,5", "GPU-3fb61,GPU-9c04e"])
def test_each_job_has_one_of_the_gpus_that_were_given(given, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [place["CUDA_VISIBLE_DEVICES"] for place in fan_out.devices(3)] == [*given.split(","), given.split(",")[0]]


@pytest.mark.parametrize(
    ("cores", "jobs", "expected"),
    [({0, 3, 5}, 0, "0 3 5"), ({0, 1, 2, 3}, 2, "0,2 1,3"), ({4}, 2, "4 4"), ({0, 1}, 3, "0 1 0")],
)
def test_each_job_has_cores_of_its_own(cores, jobs, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(fan_out.os, "sched_getaffinity", lambda _: cores)
    found = fan_out.devices(jobs)
    assert [place[fan_out.CORES] for place in found] == expected.split()
    assert [place["OMP_NUM_THREADS"] for place in found] == [str(len(s.split(","))) for s in expected.split()]


def test_a_job_is_bound_to_its_cores(pipeline, monkeypatch):
    monkeypatch.setattr(fan_out, "devices", lambda jobs: [{fan_out.CORES: "0"}])
    code = textwrap.dedent("import os; print(sorted(os.sched_getaffinity(0)))")
    folder = pipeline(a=stage(f"{sys.executable} -c '{code}' > a.out", out="a"))
    assert fan_out.main([]) == 0
    assert (folder / "a.out").read_text(encoding="utf-8") == "[0]\n"


def test_another_dvc_at_work_is_waited_for(pipeline):
    """DVC itself gives up after three seconds."""
    folder = pipeline(**chain())
    lock = zc.lockfile.LockFile(str(folder / ".dvc" / "tmp" / "lock"))
    threading.Timer(5, lock.close).start()
    assert fan_out.stale().keys() >= set("abcd")


def test_logs_that_cannot_be_written_are_one_line(pipeline, capfd):
    folder = pipeline(**chain())
    (folder / "build").write_text("no folder", encoding="utf-8")
    assert fan_out.main(["--jobs", "1"]) == 1
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith(("error:", "Traceback"))]
    (line,) = errors
    assert line.startswith("error: build/fan_out: cannot be written (Not a directory); ")


class Interrupts:
    """In place of what is shown: Ctrl-C, once a file is there."""

    def __init__(self, file):
        self.file, self.console = file, None

    def update(self, _):
        if self.file.exists():
            raise KeyboardInterrupt


def test_told_to_end_it_waits_until_what_runs_has_put_itself_away(tmp_path, monkeypatch):
    """Whoever runs it again meets nobody; and what had not begun does not."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    script = (
        "(trap 'sleep .3; touch away; exit' TERM; touch begun; while :; do sleep .05; done) & trap exit TERM; wait # "
    )
    work = fan_out.FanOut({"a": [], "b": []}, [{}], ["sh", "-c", script])
    with pytest.raises(KeyboardInterrupt):
        work.run(Interrupts(tmp_path / "begun"))
    assert (tmp_path / "away").exists()
    assert not (tmp_path / "build/fan_out/b.log").exists() and work._run("b") == 1
    states, _ = summary(tmp_path)
    assert states == {"stopped": ["a"], "waits": ["b"]}
