"""Data sets under DVC, by its own commands: added, pushed and pulled one by one; git sees those only."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml

from whereabouts import paths
from whereabouts.data import push
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError
from whereabouts.paths import ROOT
from whereabouts.phantoms import acdc

FILES = (
    ".gitignore",
    ".gitattributes",
    ".dvcignore",
    ".dvc/config",
    ".dvc/.gitignore",
    ".state/repo/.gitignore",
    "data.dvc",
    "data/raw/.gitkeep",
)
GIT = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org"]


def git(folder, *words):
    return subprocess.run([*GIT, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def dvc(folder, *words, code=0):
    done = subprocess.run([sys.executable, "-m", "dvc", *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def lab(tmp_path):
    """A checkout with what the project says of data, and a folder as DVC's remote."""
    lab = tmp_path / "lab"
    for name in FILES:
        (lab / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, lab / name)
    git(tmp_path, "init", "-q", str(lab))
    dvc(lab, "remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    git(lab, "add", "-A")
    git(lab, "commit", "-qm", "project")
    return lab


def test_data_sets_are_added_pushed_and_pulled_and_git_sees_one_file_each(lab, tmp_path):
    raw = lab / "data/raw"
    acdc.write(raw / "acdc", 1, 2, np.random.default_rng(1))
    (raw / "radiographs/images").mkdir(parents=True)
    (raw / "radiographs/images/a.png").write_bytes(b"a")
    (raw / "decathlon/Task04_Hippocampus").mkdir(parents=True)
    (raw / "decathlon/Task04_Hippocampus/dataset.json").write_text("{}", encoding="utf-8")
    (raw / "jsrt").symlink_to(tmp_path)
    assert git(lab, "status", "--porcelain") == ""  # placed or linked
    sets = ["data/raw/acdc", "data/raw/radiographs", "data/raw/decathlon/Task04_Hippocampus"]
    dvc(lab, "add", *sets)
    listed = git(lab, "status", "--porcelain", "-uall").splitlines()
    assert listed == sorted(f"?? {one}.dvc" for one in sets)
    git(lab, "add", "-A")
    git(lab, "commit", "-qm", "data")
    dvc(lab, "push")

    (raw / "radiographs/images/b.png").write_bytes(b"b")
    dvc(lab, "add", "data/raw/radiographs")
    assert git(lab, "status", "--porcelain") == " M data/raw/radiographs.dvc\n"

    git(tmp_path, "clone", "-q", str(lab), "there")
    dvc(tmp_path / "there", "pull", "data/raw/acdc.dvc")
    here, there = (Manifest.of("ACDC", "real", place / "data/raw/acdc") for place in (lab, tmp_path / "there"))
    assert here.files == there.files and here.files
    assert not (tmp_path / "there/data/raw/radiographs").exists()
    assert git(tmp_path / "there", "status", "--porcelain") == ""
    dvc(tmp_path / "there", "pull")  # the rest
    assert sorted(path.name for path in (tmp_path / "there/data/raw").glob("*/*")) == [
        *("Task04_Hippocampus", "Task04_Hippocampus.dvc", "images", "training")
    ]


def test_all_of_them_as_one_are_refused_and_so_is_a_link(lab, tmp_path):
    assert "overlapping with other DVC tracked output" in dvc(lab, "add", "data/raw", code=1)
    (lab / "data/raw/acdc").symlink_to(tmp_path)
    assert "symlinked" in dvc(lab, "add", "data/raw/acdc", code=1)
    assert git(lab, "status", "--porcelain") == ""


def test_licences_are_said_before_a_push(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "RAW", tmp_path / "data/raw")
    (paths.RAW / "decathlon").mkdir(parents=True)
    pushed = []
    monkeypatch.setattr(push.os, "execv", lambda *words: pushed.append(words[1][1:]))

    def say(**sources):
        data = {switch: {"name": word} for switch, word in sources.items()}
        (tmp_path / "params.yaml").write_text(yaml.safe_dump({"data": data}), encoding="utf-8")

    say(acdc="synthetic", chest="synthetic")
    push.push("")
    assert pushed.pop() == ["-m", "dvc", "push"]
    say(acdc="real", chest="jsrt")
    for name in ("acdc", "decathlon/Task04_Hippocampus", "ours"):
        (paths.RAW / f"{name}.dvc").touch()
    with pytest.raises(InputError, match="LICENCE=: not `read`; read these"):
        push.push("")
    assert not pushed
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" (")[0] for line in lines] == [
        "data/raw/acdc.dvc: ACDC: Bernard et al. 2018, CC BY-NC-SA 4.0",
        "data/raw/decathlon/Task04_Hippocampus.dvc: Decathlon: Antonelli et al. 2022, CC BY-SA 4.0",
        "data/raw/ours.dvc: none that data/README.md lists; licence not known",
        "params.yaml: acdc: arrays, weights and notebooks made of it: ACDC: Bernard et al. 2018, CC BY-NC-SA 4.0",
        "params.yaml: chest: arrays, weights and notebooks made of it: JSRT: Shiraishi et al. 2000; "
        "masks: van Ginneken et al. 2006",
    ]
    push.push("read")
    assert pushed
