"""How long things take, on the device that is there."""

import time
from collections.abc import Callable
from statistics import median

import torch

from whereabouts.inference.device import device


def seconds(*calls: Callable[[], object], runs: int = 7, warm_up: int = 1) -> list[float]:
    """Median time of each call, with the device's work done; NaN if `runs` is 0, which measures nothing.

    They take turns, so that a machine that slows down for a while slows all of them alike.
    """
    times: list[list[float]] = [[] for _ in calls]
    for number in range(warm_up + runs if runs else 0):
        for call, own in zip(calls, times, strict=True):
            started = time.perf_counter()
            call()
            if device().type == "cuda":
                torch.cuda.synchronize()
            if number >= warm_up:
                own.append(time.perf_counter() - started)
    return [median(own) if own else float("nan") for own in times]
