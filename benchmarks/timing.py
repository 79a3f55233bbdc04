"""Timing by turns, so that a machine that slows down slows all contestants alike."""

import time
from collections.abc import Callable
from statistics import median


def seconds(*contestants: Callable[[], object], rounds: int = 7) -> list[float]:
    """Median seconds of each contestant, run in turn for `rounds` rounds after one round to warm up."""
    times: list[list[float]] = [[] for _ in contestants]
    for number in range(rounds + 1):
        for contestant, own in zip(contestants, times, strict=True):
            start = time.perf_counter()
            contestant()
            if number:
                own.append(time.perf_counter() - start)
    return [median(own) for own in times]
