"""What several test files share."""

import gc
import os
import sys

import psutil
import pytest
import torch

from whereabouts.training.checkpoints import Checkpoint

if sys.__stderr__ is None:  # closed; pytest's fault handler wants one
    sys.__stderr__ = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def pytest_collection_finish():
    """Libraries are here to stay: garbage is looked for among what tests make, which takes milliseconds."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left_behind():
    """A process or an open file that a test leaves is an error of its own file, not a warning in an innocent one."""
    yield
    gc.collect()
    _, left = psutil.wait_procs(psutil.Process().children(recursive=True), timeout=60)  # some are about to end
    for process in left:
        process.kill()
    assert not left


@pytest.fixture(autouse=True)
def seeded():
    """What a test draws from torch's global generator does not depend on the tests before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def on_the_cpu():
    """One thread of the CPU, where equal bits are promised, and an error from whatever torch cannot repeat exactly."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


@pytest.fixture
def checkpoint(tmp_path):
    return Checkpoint(tmp_path / "run.pt")
