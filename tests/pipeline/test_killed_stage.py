"""A stage that is killed and started again, as `dvc repro` would, goes on and ends in the same bytes.

The demo's networks and schedule, on small images. MOMENTS=30 in the environment kills it at thirty moments; by default
at a few.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import psutil
import pytest

from equality import hashes
from whereabouts import paths
from whereabouts.training.checkpoints import Checkpoint

pytestmark = pytest.mark.slow
MOMENTS = int(os.environ.get("MOMENTS", "3"))
CHECKPOINTS = paths.at("build/checkpoints")
TRAIN = ["-f", "params/demo.yaml:inside_train_clevr_seg", "method=inside", "seed=[1, 2]"]


@pytest.fixture(autouse=True)
def left(tmp_path, monkeypatch):
    """What a run that is killed leaves among the temporary files goes with the test's own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def command(notebook, folder, *words):
    return [
        sys.executable,
        "-m",
        "whereabouts.run",
        f"notebooks/{notebook}.ipynb",
        str(folder / "notebook.ipynb"),
        *words,
    ]


@pytest.fixture(scope="module")
def prepared():
    """A small prepared data set below build/, as the pipeline makes it."""
    folder = paths.at("build/test/killed")
    sizes = ["side=32", "train=12", "validation=6", "test=6", f"out={folder}/clevr_seg/prepared"]
    for notebook, words in (
        ("data/01_clevr_seg_source", ["images=24", "side=32", "samples=2", f"out={folder}/clevr_seg"]),
        ("data/02_clevr_seg_prepare", sizes),
    ):
        subprocess.run(command(notebook, folder, f"run={folder}", "seed=1", *words), cwd=paths.ROOT, check=True)
    return folder


@pytest.fixture(scope="module")
def train(prepared, tmp_path_factory):
    """What trains into a folder; with the digests of a run that nothing disturbed, and how long that took."""
    folder = tmp_path_factory.mktemp("killed")

    def words(out):
        return command("inside/01_train_clevr_seg", folder, *TRAIN, f"run={prepared}", f"out={out}")

    start = time.monotonic()
    subprocess.run(words(folder / "whole"), cwd=paths.ROOT, check=True)
    expected = hashes(folder / "whole")
    assert len(expected) == 4 and {name.split(".")[1] for name in expected} == {"safetensors", "tsv"}
    return words, expected, time.monotonic() - start


def kill(process):
    """The runner and its kernel, at once and without a word."""
    for one in [*psutil.Process(process.pid).children(recursive=True), process]:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            one.send_signal(signal.SIGKILL)
    process.wait()


def checkpoints():
    return {path: path.stat().st_mtime_ns for path in CHECKPOINTS.glob("*.pt")}


def killed(words, moment, seconds):
    """Start, and kill at a random moment after a first checkpoint, every third time while one is half-written.

    Returns:
        The checkpoints that it left.
    """
    before = checkpoints()
    process = subprocess.Popen(words, cwd=paths.ROOT, start_new_session=True)
    while not (left := dict(checkpoints().items() - before.items())):
        assert process.poll() is None, "it ended before it wrote a checkpoint"
        time.sleep(0.002)
    end = time.monotonic() + np.random.default_rng(moment).uniform(0, 0.6) * seconds
    while process.poll() is None and time.monotonic() < end and not (moment % 3 == 2 and any(CHECKPOINTS.glob(".*"))):
        time.sleep(0.001)
    if process.poll() is None:
        kill(process)
    return list(left)


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_killed_and_run_again(moment, train, tmp_path):
    words, expected, seconds = train
    left = killed(words(tmp_path / "killed"), moment, seconds)
    subprocess.run(words(tmp_path / "killed"), cwd=paths.ROOT, check=True)
    assert hashes(tmp_path / "killed") == expected
    assert not any(path.exists() for path in left)


def test_without_the_state_of_what_is_random_it_is_another_run(train, tmp_path):
    """Batch t comes from (seed, t): t is all the state that randomness has. Without it the bytes are others."""
    words, expected, _ = train
    for path in killed(words(tmp_path / "killed"), 0, 0):
        checkpoint = Checkpoint(path)
        state = checkpoint.load()
        assert state["step"] > 0
        checkpoint.save(state | {"step": 0})
    subprocess.run(words(tmp_path / "killed"), cwd=paths.ROOT, check=True)
    assert hashes(tmp_path / "killed") != expected


def test_told_to_end_again_and_again(train, tmp_path):
    """Each time it says that it is to be run again, and at last it ends as if nothing had been."""
    words, expected, seconds = train
    codes = []
    for _ in range(20):
        process = subprocess.Popen(words(tmp_path / "told"), cwd=paths.ROOT, start_new_session=True)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds * 0.6)
        process.terminate()
        codes.append(process.wait())
        if codes[-1] == 0:
            break
    assert codes[0] == 75 and codes[-1] == 0 and set(codes) == {0, 75}
    assert hashes(tmp_path / "told") == expected
