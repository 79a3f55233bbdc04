"""Runs of another choice leave params.yaml and dvc.lock as they were, however they end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml

from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.paths import ROOT
from whereabouts.pipeline import choice, params

RUN = (
    "import sys; from pathlib import Path; from whereabouts import paths; paths.ROOT = Path.cwd(); "
    "from whereabouts.pipeline import choice, system; system.command(choice.main, sys.argv[1:])"
)
TRAIN = [
    "echo ${scale.name} >> ran",
    "mkdir -p build/${scale.name} paper_figures/${scale.name}",
    "echo ${scale.name} > build/${scale.name}/weights",
    "touch paper_figures/${scale.name}/fig",
]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A function that makes a pipeline of one stage with these commands, runs it once, and returns the folder."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "lib"))
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    for switch in params.SWITCHES:
        text = params.turn(text, switch, "")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    shutil.copytree(ROOT / "params", tmp_path / "params")

    def make(*commands):
        outs = ["build/${scale.name}/weights", {"paper_figures/${scale.name}/fig": {"cache": False}}]
        stage = {"cmd": " && ".join([*TRAIN, *commands]), "params": ["scale.name"], "outs": outs}
        (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"train": stage}}), encoding="utf-8")
        subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=tmp_path, check=True)
        (tmp_path / "go").touch()
        assert run(tmp_path)[0] == 0
        (tmp_path / "go").unlink()
        (tmp_path / "begun").unlink(missing_ok=True)
        return tmp_path

    return make


def start(folder, *words):
    command = [sys.executable, "-c", RUN, *words, "--", "dvc", "repro"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    heeds = {
        "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    }  # as in a shell, wherever the tests run
    return subprocess.Popen(command, cwd=folder, start_new_session=True, **heeds, **pipes)


def run(folder, *words):
    process = start(folder, *words)
    out, err = process.communicate()
    return process.returncode, out, err


def until(there):
    while not there():
        time.sleep(0.02)


def state(folder):
    return [(folder / name).read_bytes() for name in ("params.yaml", "dvc.lock")]


WAITS = "touch begun && while test ! -e go; do sleep .05; done"


def test_another_choice_leaves_both_files_and_the_cache_of_the_first_and_is_incremental(project):
    folder = project()
    before, cache = state(folder), {path for path in (folder / ".dvc/cache/files").rglob("*") if path.is_file()}
    code, out, err = run(folder, "scale=smoke", "acdc=")
    assert code == 0 and out.startswith("scale smoke; data synthetic;"), err
    assert state(folder) == before
    assert run(folder, "scale=smoke")[0] == 0 and run(folder)[0] == 0
    assert (folder / "ran").read_text(encoding="utf-8") == "demo\nsmoke\n"
    subprocess.run([sys.executable, "-m", "dvc", "gc", "-w", "-f", "-q"], cwd=folder, check=True)
    assert cache <= set((folder / ".dvc/cache/files").rglob("*"))
    status = subprocess.run([sys.executable, "-m", "dvc", "status"], cwd=folder, capture_output=True, text=True)
    assert "up to date" in status.stdout


def test_a_word_that_is_none_changes_nothing(project):
    folder = project()
    before = state(folder)
    code, _, err = run(folder, "scale=smoke", "acdc=mars")
    assert code == 1 and err == "error: acdc=mars: unknown; choose one of synthetic, real\n" and state(folder) == before


def test_a_failure_is_passed_on_and_an_edit_during_the_run_stays(project):
    folder = project(WAITS, "test ! -e fail")
    (folder / "fail").touch()
    before = state(folder)
    process = start(folder, "scale=smoke")
    until((folder / "begun").exists)
    assert not yaml.safe_load((folder / "dvc.lock").read_text(encoding="utf-8"))[
        "stages"
    ]  # the demo's command is another
    params_yaml = folder / "params.yaml"
    params_yaml.write_text(params_yaml.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    (folder / "go").touch()
    process.communicate()
    assert process.returncode == 255 and state(folder) == [before[0] + b"# mine\n", before[1]]


@pytest.mark.parametrize(("number", "group"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_told_to_end_it_puts_back(project, number, group):
    folder = project(WAITS)
    before = state(folder)
    process = start(folder, "scale=smoke")
    until((folder / "begun").exists)
    assert state(folder)[0] != before[0]
    (os.killpg if group else os.kill)(process.pid, number)
    assert process.wait() > 0 and state(folder) == before
    (folder / "go").touch()  # for the stage, which outlives a DVC that is told to end
    process.communicate()


def killed(folder):
    """What a run leaves that is killed with all that it started."""
    process = start(folder, "scale=smoke")
    until((folder / "begun").exists)
    os.killpg(process.pid, signal.SIGKILL)
    (folder / "go").touch()
    process.communicate()  # once the stage has ended, which is left


def test_killed_it_is_put_back_at_the_next_call(project):
    folder = project(WAITS)
    before = state(folder)
    killed(folder)
    assert state(folder)[0] != before[0]
    code, out, err = run(folder)
    assert code == 0 and state(folder) == before, err
    first, second = out.splitlines()[:2]
    assert first == "params.yaml, dvc.lock: put back as they were before the run of smoke that was stopped"
    assert second.startswith("scale demo; ")


def test_killed_and_turned_back_by_hand_the_work_since_then_stays(project):
    folder = project(WAITS)
    before = state(folder)
    killed(folder)
    (folder / "params.yaml").write_bytes(before[0])
    (folder / "dvc.lock").write_bytes(before[1] + b"# mine\n")
    code, out, _ = run(folder)
    assert code == 0 and out.startswith("dvc.lock: left as it is; as it was before the run that was")
    assert (folder / "build/locks/before.lock").read_bytes() == before[1]
    assert (folder / "params.yaml").read_bytes() == before[0]


def test_a_second_run_is_refused_in_one_line_even_where_the_first_was_killed_and_dvc_goes_on(project):
    folder = project(WAITS)
    before = state(folder)
    process = start(folder, "scale=smoke")
    until((folder / "begun").exists)
    for words in ((), ("acdc=real",)):
        code, out, err = run(folder, *words)
        assert code == 1 and not out and err.count("\n") == 1 and "runs the pipeline in this checkout; wait" in err
    process.kill()
    assert "runs the pipeline in this checkout" in run(folder)[2]
    (folder / "go").touch()
    process.communicate()  # once DVC has ended, which has its streams too
    assert run(folder)[0] == 0 and state(folder) == before


def test_nothing_is_turned_while_dvc_is_at_work(project):
    folder = project()
    before = state(folder)
    info = {"pid": os.getpid(), "cmd": "dvc repro"}
    lock = {"write": {}, "read": {str(folder / "in"): [info]}}
    (folder / ".dvc/tmp/rwlock").write_text(json.dumps(lock), encoding="utf-8")
    with pytest.raises(InputError, match=r"`dvc repro`: process \d+ is at work in this checkout; wait until"):
        choice.begin({"scale": "smoke"})
    assert state(folder) == before


def test_half_a_lock_is_not_taken_up(project):
    folder = project()
    before = state(folder)
    (folder / "build/locks/smoke.lock").write_text("stages: [", encoding="utf-8")
    assert run(folder, "scale=smoke")[0] == 0 and state(folder) == before
