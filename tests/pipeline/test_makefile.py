"""`make`: its switches are words, whatever is in them, and it works where it is."""

import os
import shutil
import subprocess

import pytest

from whereabouts.paths import ROOT

PYTHON = """#!/bin/sh
# stands for Python: says with what it was called, a line each, and by whom; makes environments of nothing but itself
if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; fi
for word; do printf '%s\\n' "$word" >>"$CALLS"; done
echo "called by $(cat "/proc/$PPID/comm") with $SHELL"
"""
HOSTILE = [
    "smoke; touch pwned",
    "$(touch pwned)",
    "$(shell touch pwned)",
    "`touch pwned`",
    "' \"x\" '",
    "a b",
    "#",
    "$$HOME",
]
SWITCHES = ["scale", "acdc", "clevr_seg", "chest", "mmwhs", "volumes", "pancreas", "ultrasound"]


@pytest.fixture
def make(tmp_path):
    """A function that runs make in a checkout below a folder with a space, and returns what Python was called with."""
    checkout = tmp_path / "my work" / "main"
    checkout.mkdir(parents=True)
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, checkout)
    (tmp_path / "python3").write_text(PYTHON, encoding="utf-8")
    (tmp_path / "python3").chmod(0o755)

    def run(*words, **environment):
        path = f"{tmp_path}:{os.defpath}"
        done = subprocess.run(
            ["make", *words],
            cwd=checkout,
            env={"PATH": path, "CALLS": str(tmp_path / "said"), "HOME": str(tmp_path), **environment},
            capture_output=True,
            text=True,
        )
        assert not list(tmp_path.rglob("pwned"))
        assert sorted(path.name for path in tmp_path.iterdir() if path.name != "said") == ["my work", "python3"]
        said = tmp_path / "said"
        lines = said.read_text(encoding="utf-8").splitlines() if said.exists() else []
        said.unlink(missing_ok=True)
        return lines, done

    return run


def called(lines, module):
    """The words that a module was given, up to the next call."""
    words = lines[lines.index(module) + 1 :]
    return words[: words.index("-m")] if "-m" in words else words


def test_the_environment_is_made_where_the_checkout_is_and_once(make):
    lines, done = make("repro")
    assert (
        done.returncode == 0
        and lines[0] == "lib/whereabouts/pipeline/system.py"
        and lines[3].endswith("/my work/main/.venv")
    )
    lines, _ = make("repro")
    assert "venv" not in lines and "pip" not in lines


def test_without_a_switch_none_is_turned(make):
    lines, _ = make("repro")
    assert called(lines, "dvc") == ["config", "--local", "core.no_scm", "true"]
    said = [f"{name}=" for name in SWITCHES]
    assert called(lines, "whereabouts.pipeline.choice") == [*said, "--", "dvc", "repro"]


@pytest.mark.parametrize("word", HOSTILE)
def test_a_switch_is_a_word_whatever_is_in_it_and_wherever_it_is_said(word, make):
    lines, _ = make("repro", f"SCALE={word}")
    assert called(lines, "whereabouts.pipeline.choice")[0] == f"scale={word}"
    lines, done = make("repro", SCALE=word)
    assert not lines and done.returncode and "SCALE: in the environment" in done.stderr
    for lines, _ in (
        make("fan-out", f"JOBS={word}", f"ON={word}", f"THEN={word}"),
        make("fan-out", JOBS=word, ON=word, THEN=word),
    ):
        assert lines[-7:] == ["whereabouts.pipeline.fan_out", "--jobs", word, "--on", word, "--then", word]
    lines, _ = make("push", f"LICENCE={word}")
    assert lines[-3:] == ["--", "whereabouts.data.push", word]


@pytest.mark.parametrize("word", ["$(shell touch pwned)/x", "a b", "$x"])
def test_so_are_the_places_of_python_and_of_its_environment(word, make):
    lines, _ = make("repro", f"VENV=here {word}")
    assert lines[3] == f"here {word}"
    lines, done = make("repro", "VENV=other", PYTHON=f"{word}; touch pwned")
    assert not lines and done.returncode


def test_what_is_left_in_the_environment_is_no_choice(make):
    left = {"ACDC": "real", "VOLUMES": "decathlon", "LICENCE": "read"}
    lines, done = make("fan-out", "CHEST=jsrt", SCALE="", CHEST="radiographs", **left)
    assert not lines and done.returncode and "ACDC VOLUMES LICENCE: in the environment, where it would" in done.stderr


@pytest.mark.parametrize(
    "goal", ["repro", "fan-out", "push", "test", "test-slow", "verify", "bench", "lab", "cluster-demo"]
)
def test_what_runs_is_makes_own_child_and_ends_with_it(goal, make):
    _, done = make(goal)
    assert done.stdout.splitlines()[-1].startswith("called by make with ")


def test_stages_are_given_to_a_shell_that_is_one(make):
    _, done = make("fan-out", SHELL="/usr/sbin/nologin")
    assert done.stdout.endswith("called by make with /bin/sh\n")


def test_fan_out_takes_the_same_switches(make):
    lines, _ = make("fan-out", "SCALE=smoke")
    assert called(lines, "whereabouts.pipeline.choice")[0] == "scale=smoke"
    assert lines[-7:] == ["whereabouts.pipeline.fan_out", "--jobs", "0", "--on", "here", "--then", ""]


def test_a_switch_that_is_none_is_refused(make):
    lines, done = make("repro", "SCLAE=smoke")
    assert done.returncode and not lines and "SCLAE: no such switch; known: SCALE ACDC" in done.stderr
