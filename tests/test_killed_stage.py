"""A stage that is killed and started again, as `dvc repro` would, ends in the same bytes."""

import hashlib
import os
import signal
import subprocess
import sys
import time

import pytest

from lib import paths

pytestmark = pytest.mark.slow
TRAIN = ["method=all", "seed=[1]", "filters=4", "steps=60", "batch=4", "validate_every=5"]


def command(notebook, folder, *words):
    return [sys.executable, "-m", "lib.run", f"notebooks/{notebook}.ipynb", str(folder / "notebook.ipynb"), *words]


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def prepared():
    """A small prepared data set below build/, as the pipeline makes it."""
    folder = paths.at("build/test/killed")
    raw = f"raw={folder}/source/manifest.json"
    for notebook, words in (
        ("data/01_clevr_seg_source", ["images=24", "side=32", "samples=2", f"out={folder}/source"]),
        ("data/02_clevr_seg_prepare", ["side=32", "train=12", "validation=6", "test=6", raw, f"out={folder}/prepared"]),
    ):
        subprocess.run(command(notebook, folder, *words), cwd=paths.ROOT, check=True)
    return folder


def test_killed_at_several_moments_and_run_again(prepared, tmp_path):
    def train(out):
        words = [*TRAIN, f"prepared={prepared}/prepared", f"out={out}"]
        return command("inside/01_train_clevr_seg", tmp_path, *words)

    subprocess.run(train(tmp_path / "whole"), cwd=paths.ROOT, check=True)
    expected = digests(tmp_path / "whole")
    assert len(expected) == 14 and {name.split(".")[1] for name in expected} == {"safetensors", "tsv"}

    for seconds in (3, 4, 5):
        process = subprocess.Popen(train(tmp_path / "killed"), cwd=paths.ROOT, start_new_session=True)
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(train(tmp_path / "killed"), cwd=paths.ROOT, check=True)
    assert digests(tmp_path / "killed") == expected
