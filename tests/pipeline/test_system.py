"""What the project runs on, and which Python the stages of the pipeline run with."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from whereabouts.paths import ROOT
from whereabouts.pipeline import system

STARTS = "import subprocess, sys; sys.exit(subprocess.run(['sh', 'lib/python', *sys.argv[1:]]).returncode)"


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 10, 9), (3, 14, 0)])
def test_another_python_is_refused_in_one_line(version, monkeypatch):
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit, match=rf"^error: Python {version[0]}\.{version[1]}: from 3\.11 to 3\.13 is needed"):
        system.check()


@pytest.mark.parametrize(("module", "name"), [(signal, "sigtimedwait"), (os, "sched_getaffinity")])
def test_another_system_is_refused_in_one_line(module, name, monkeypatch):
    system.check()
    monkeypatch.delattr(module, name)
    with pytest.raises(SystemExit, match=rf"^error: \w+ has no {name}: this runs on Linux only; .*$"):
        system.check()


def test_a_command_runs_the_code_of_the_checkout_in_which_it_is_called(tmp_path):
    """Also with the environment of another checkout."""
    here = tmp_path / "a checkout"
    for name in ("__init__.py", "pipeline/__init__.py", "pipeline/system.py"):
        (here / "lib/whereabouts" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "lib/whereabouts" / name, here / "lib/whereabouts" / name)
    (here / "data").mkdir()
    code = "from whereabouts.pipeline import system; system.check(); print(system.__file__)"
    for place, own in ((here / "data", here), (here, here), (ROOT / "docs", ROOT), (tmp_path, ROOT)):
        environment = os.environ | {"PYTHONPATH": str(ROOT / "lib")}
        command = [sys.executable, "-W", "error", "-c", code]
        said = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
        assert said.stdout == f"{own}/lib/whereabouts/pipeline/system.py\n", said.stderr


def stage(python, path, *words, **environment):
    """What a stage's command says that some Python starts with nothing but `path` to look for programs in."""
    command = [str(python), "-c", STARTS, *words]
    return subprocess.run(command, cwd=ROOT, env={"PATH": path, **environment}, capture_output=True, text=True)


@pytest.fixture
def plain(tmp_path):
    """A folder of the programs that any system has, and no Python."""
    for name in ("sh", "sed", "tr"):
        (tmp_path / name).symlink_to(shutil.which(name))
    return tmp_path


def test_a_stage_runs_with_the_python_that_started_it_whatever_is_on_the_path(plain):
    for _ in range(2):
        done = stage(sys.executable, str(plain), "-c", "import sys; print(sys.prefix)")
        assert done.stdout == f"{sys.prefix}\n", done.stderr
        (plain / "python").write_text("#!/bin/sh\necho another", encoding="utf-8")
        (plain / "python").chmod(0o755)


def test_a_stage_knows_the_dvc_that_runs_it(plain):
    code = "import os; print(os.environ.get('WHEREABOUTS_DVC') == str(os.getppid()))"
    for environment, said in (({"DVC_STAGE": "strip"}, "True\n"), ({}, "False\n")):
        assert stage(sys.executable, str(plain), "-c", code, **environment).stdout == said


def test_packages_may_be_elsewhere_than_their_python(plain):
    """As after `pip install --user`, where no program of papermill's is beside Python."""
    alone = plain / "alone" / "python3"
    alone.parent.mkdir()
    alone.symlink_to(Path(sys.executable).resolve())
    packages = os.pathsep.join(filter(None, sys.path))
    done = stage(alone, str(plain), "-c", "import sys; print(sys.executable)", PYTHONPATH=packages)
    assert done.stdout == f"{alone}\n", done.stderr


def test_under_a_dvc_of_its_own_it_is_the_python_of_the_activated_environment(plain):
    """That DVC's Python has none of what the project needs."""
    alone = plain / "alone" / "bin" / "python3"
    alone.parent.mkdir(parents=True)
    alone.symlink_to(Path(sys.executable).resolve())
    (plain / "python").write_text('#!/bin/sh\necho "activated: $*"', encoding="utf-8")
    (plain / "python").chmod(0o755)
    done = stage(alone, str(plain), "-m", "whereabouts.pipeline.params")
    assert done.stdout == "activated: -m whereabouts.pipeline.params\n", done.stderr
    (plain / "python").unlink()
    done = stage(alone, str(plain), "-m", "whereabouts.pipeline.params")
    assert done.returncode == 1 and done.stderr.startswith("error: no Python here with what requirements.lock lists; ")
