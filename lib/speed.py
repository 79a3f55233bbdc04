"""How long a network takes, on the device that is there."""

import time
from collections.abc import Callable

import numpy as np
import torch

from lib.training import device


def seconds(call: Callable[[], object], runs: int, warm_up: int = 3) -> float:
    """Mean time of `call`, with the device's work done; NaN if `runs` is 0, which measures nothing."""
    if not runs:
        return float("nan")
    times = []
    for _ in range(warm_up + runs):
        started = time.perf_counter()
        call()
        if device().type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return float(np.mean(times[warm_up:]))
