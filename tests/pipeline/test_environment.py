"""The lock files, and what is made from them: by `make`, by conda, in containers and in CI."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from whereabouts.paths import ROOT
from whereabouts.pipeline import system

PIN = re.compile(r"([\w.-]+)==([\w.+]+)((?: --hash=sha256:[0-9a-f]{64})+)")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# stands for Python: makes environments of nothing but itself, and says for which lock files it was called
PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; fi
for word; do case $word in requirements*) echo "$word" ;; esac; done
"""


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def lines(name: str) -> list[str]:
    """What a file says, without comments, each command on one line."""
    joined = re.sub(r"\s*\\\n\s*", " ", text(name))
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def locked(name: str) -> dict[str, str]:
    """The version of each package, by its normal name; every line must be one with a sha256."""
    found = [PIN.fullmatch(line) for line in lines(name)]
    assert found and all(found)
    return {canonicalize_name(pin[1]): pin[2] for pin in found}


COMMON, CPU, CUDA = (locked(f"requirements{name}.lock") for name in ("", "-cpu", "-cuda"))


def test_both_locks_have_one_pytorch_and_nothing_is_locked_twice():
    assert len(CPU) == 1 and CPU["torch"] == CUDA["torch"] + "+cpu"
    assert not COMMON.keys() & (CPU.keys() | CUDA.keys())


def test_what_the_project_needs_is_locked_and_so_is_all_that_this_needs():
    """By what the installed packages say of themselves."""
    lock = COMMON | (CPU if metadata.version("torch").endswith("+cpu") else CUDA)
    left = [*map(Requirement, chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()))]
    seen = set()
    while left:
        needed = left.pop()
        name = canonicalize_name(needed.name)
        assert name in lock, f"no lock has {needed}"
        assert needed.specifier.contains(lock[name], prereleases=True), f"{needed}, but {lock[name]} is locked"
        assert metadata.version(name) == lock[name], f"{name}: this environment is not that of the lock files"
        for extra in {"", *needed.extras} - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            for line in metadata.requires(name) or ():
                further = Requirement(line)
                if further.marker is None or further.marker.evaluate({"extra": extra}):
                    left.append(further)
    if sys.version_info[:2] == system.OLDEST:  # newer ones need less
        assert {name for name, _ in seen} == set(lock)


def test_conda_takes_the_same_files():
    conda = yaml.safe_load(text("environment.yml"))["dependencies"]
    assert f"python{PROJECT['requires-python']}" in conda
    assert {"pip": ["-r requirements-cpu.lock", "-r requirements.lock"]} in conda


@pytest.fixture
def make(tmp_path):
    """A function that runs `make ready` and returns the lock files that were installed, and what was said."""
    for path in (ROOT / "Makefile", ROOT / "pyproject.toml", *ROOT.glob("requirements*.lock")):
        shutil.copy(path, tmp_path)
    (tmp_path / "python3").write_text(PYTHON, encoding="utf-8")
    (tmp_path / "python3").chmod(0o755)

    def run(*words):
        environment = {"PATH": f"{tmp_path}:{os.defpath}"}
        done = subprocess.run(["make", "ready", *words], cwd=tmp_path, env=environment, capture_output=True, text=True)
        return done.stdout.split(), done.stderr

    return run


def test_make_installs_the_pytorch_that_is_asked_for_and_keeps_it(make):
    cpu, cuda = (([f"requirements-{name}.lock", "requirements.lock"], "") for name in ("cpu", "cuda"))
    assert make() == (cuda if Path("/proc/driver/nvidia/version").exists() else cpu)
    assert make("TORCH=cuda") in (cuda, ([], ""))
    assert make("TORCH=cuda") == make() == ([], "")
    assert make("TORCH=cpu") == cpu and make() == ([], "")


def test_make_installs_again_when_a_lock_says_something_else_and_not_when_it_is_only_younger(make, tmp_path):
    first = make()[0]
    lock = tmp_path / "requirements.lock"
    os.utime(lock, (2**33, 2**33))
    assert make()[0] == []
    lock.write_text(lock.read_text(encoding="utf-8") + "another==1\n", encoding="utf-8")
    assert make()[0] == first


@pytest.mark.parametrize("word", ["rocm", "../cpu", "cpu; touch pwned", "$(touch pwned)", "*"])
def test_another_pytorch_is_refused_in_one_line(word, make, tmp_path):
    installed, said = make(f"TORCH={word}")
    assert not installed and not (tmp_path / "pwned").exists()
    assert said.splitlines()[0] == f"error: TORCH={word}: no such PyTorch; use cpu or cuda"


def docker_files() -> dict[str, str]:
    """Where the Dockerfile puts what, up to the step that installs."""
    steps = lines("Dockerfile")
    copies = [step.split()[1:] for step in steps[: steps.index('RUN make ready TORCH="$TORCH"')] if step[:5] == "COPY "]
    return {source: Path(words[-1], Path(source).name).as_posix() for words in copies for source in words[:-1]}


def apptainer_files() -> dict[str, str]:
    section = re.search(r"^%files\n((?: .*\n)+)", text("whereabouts.def"), re.MULTILINE)[1]
    pairs = [line.split() for line in section.splitlines()]
    return {source: Path(place).relative_to("/whereabouts").as_posix() for source, place in pairs}


@pytest.mark.parametrize("files", [docker_files, apptainer_files])
def test_the_files_of_an_image_are_enough_to_install(files, tmp_path):
    for source, place in files().items():
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / source, tmp_path / place)
    assert {"Makefile", *(path.name for path in ROOT.glob("requirements*.lock"))} <= set(os.listdir(tmp_path))
    build = "from setuptools import build_meta; build_meta.prepare_metadata_for_build_editable('.')"
    for words in (["lib/whereabouts/pipeline/system.py"], ["-W", "error", "-c", build]):
        done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_both_images_are_made_alike():
    docker, apptainer = lines("Dockerfile"), lines("whereabouts.def")
    (base,) = (step.split()[1] for step in docker if step.startswith("FROM "))
    assert f"From: {base}" in apptainer
    major, minor = map(int, re.match(r"python:(\d+)\.(\d+)-", base).groups())
    assert system.OLDEST <= (major, minor) <= system.NEWEST
    assert "ARG TORCH=cpu" in docker and apptainer[apptainer.index("%arguments") + 1] == "TORCH=cpu"
    assert "PIP_NO_CACHE_DIR=1 make ready VENV=/opt/whereabouts TORCH={{ TORCH }}" in apptainer
    for steps in (docker, apptainer):
        assert any("VENV=/opt/whereabouts PATH=/opt/whereabouts/bin:$PATH" in step for step in steps)


def test_an_image_has_nothing_that_git_ignores():
    ignored = lines(".gitignore")
    anchored = ["!" * (line[0] == "!") + line.strip("!/") for line in ignored if line.lstrip("!")[0] == "/"]
    anywhere = ["**/" + line.strip("/") for line in ignored if line.lstrip("!")[0] != "/"]
    assert {*anchored, *anywhere, ".git", ".dvc/config.local"} <= set(lines(".dockerignore"))


def test_ci_runs_what_the_pages_say_on_every_python():
    said = text("README.md") + text("docs/environment.md")
    jobs = yaml.safe_load(text(".github/workflows/tests.yml"))["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert {"make test", "make repro SCALE=smoke"} <= set(commands)
    assert all(re.search(rf"(^|`|\n){re.escape(command)}(`|\s)", said) for command in commands)
    (major, oldest), (_, newest) = system.OLDEST, system.NEWEST
    pythons = [f"{major}.{minor}" for minor in range(oldest, newest + 1)]
    assert jobs["tests"]["strategy"]["matrix"]["python"] == pythons
    assert all(job["timeout-minutes"] for job in jobs.values())
