"""A full disk and a read-only one: one clear line, and what was there stays. On small disks of memory; needs root."""

import subprocess
import sys

import nbformat
import pytest
import torch

from whereabouts import files
from whereabouts.errors import InputError
from whereabouts.paths import ROOT
from whereabouts.training import weights
from whereabouts.training.checkpoints import Checkpoint

BIG = b"x" * 2_000_000


@pytest.fixture
def disk(tmp_path):
    """A disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disks can be mounted here: that needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def remount_read_only(folder):
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)


def test_a_file_that_does_not_fit_leaves_the_old_one(disk):
    files.write_bytes(disk / "table.csv", b"old")
    with pytest.raises(InputError) as caught:
        files.write_bytes(disk / "table.csv", BIG)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{disk}/table.csv: cannot be written (No space left on device); ")
    assert (disk / "table.csv").read_bytes() == b"old"
    assert [path.name for path in disk.iterdir()] == ["table.csv"]


def test_a_read_only_disk(disk):
    files.write_bytes(disk / "table.csv", b"old")
    remount_read_only(disk)
    for path in (disk / "table.csv", disk / "new" / "table.csv"):
        with pytest.raises(InputError, match=r"cannot be written \(Read-only file system\)"):
            files.write_bytes(path, b"new")
    assert (disk / "table.csv").read_bytes() == b"old"


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(disk):
    checkpoint = Checkpoint(disk / "run.pt")
    checkpoint.save({"step": 1})
    with pytest.raises(InputError, match="No space left on device"):
        checkpoint.save({"step": 2, "weights": torch.zeros(1_000_000)})
    assert checkpoint.load() == {"step": 1}


def test_a_checkpoint_on_a_read_only_disk(disk):
    checkpoint = Checkpoint(disk / "run.pt")
    for step in (1, 2):
        checkpoint.save({"step": step})
    remount_read_only(disk)
    with pytest.raises(InputError, match=r"run\.pt: cannot be written \(Read-only file system\)"):
        checkpoint.save({"step": 3})
    assert checkpoint.load() == {"step": 2}


def test_weights_that_do_not_fit_leave_the_old_ones(disk):
    small, large = torch.nn.Linear(2, 2), torch.nn.Linear(1000, 1000)
    weights.write(disk / "w.safetensors", small, {"in_features": 2, "out_features": 2})
    with pytest.raises(InputError, match="No space left on device"):
        weights.write(disk / "w.safetensors", large, {})
    again, _ = weights.read(disk / "w.safetensors", torch.nn.Linear)
    assert torch.equal(again.weight, small.weight)


@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_a_notebook_whose_output_cannot_be_written(fault, disk, tmp_path):
    cells = [
        nbformat.v4.new_code_cell("n = 1", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("print('x' * 2_000_000)"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "in.ipynb")
    (disk / "out.ipynb").write_text("old", encoding="utf-8")
    if fault == "read-only":
        remount_read_only(disk)
    command = [sys.executable, "-m", "whereabouts.run", str(tmp_path / "in.ipynb"), str(disk / "out.ipynb")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 1 and line.startswith(f"error: {disk}/out.ipynb: cannot be written (")
    assert (disk / "out.ipynb").read_text(encoding="utf-8") == "old"
    assert [path.name for path in disk.iterdir()] == ["out.ipynb"]
