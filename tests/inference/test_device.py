"""What a process does before it computes with several threads."""

import subprocess
import sys

import pytest

from whereabouts import paths

TRIALS = """
import os, sys, threading
import torch
from whereabouts.inference import device

given, logarithm = torch.linspace(-3, 3, 4096), torch.log

def wrong():
    if sys.argv[1] == "settled":  # else the fault shows, now and then
        device.device()
    x, found, start = given.abs() + 0.1, [None, None], threading.Barrier(2)
    def first(one):
        start.wait()
        found[one] = logarithm(x)
    threads = [threading.Thread(target=first, args=(one,)) for one in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return any(not torch.equal(one, logarithm(x)) for one in found)

count = 0
for _ in range(int(sys.argv[2])):  # each in a process in which nothing was computed yet
    child = os.fork()
    if not child:
        os._exit(wrong())
    count += os.waitpid(child, 0)[1] != 0
print(count)
"""


@pytest.mark.slow
def test_threads_that_begin_together_compute_the_same():
    """Without `device()` one process of a few hundred gets a logarithm that is right to 1e-4 only."""
    words = [sys.executable, "-c", TRIALS, "settled", "1000"]
    done = subprocess.run(words, cwd=paths.ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
