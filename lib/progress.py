"""Progress that is seen in the terminal and never written into a notebook."""

import os
import sys
from collections.abc import Iterable

from tqdm import tqdm

CHANNEL = "WHEREABOUTS_PROGRESS"  # the runner names a pipe here; it copies what arrives to its own terminal


def bar(iterable: Iterable | None = None, **options) -> tqdm:
    """A tqdm bar on the runner's terminal where there is a runner, else on this process's standard error.

    Args:
        iterable: what to count, or None for a bar that is advanced by hand.
        options: passed to tqdm (`desc`, `total`, `unit`).
    """
    channel = os.environ.get(CHANNEL)
    file = open(channel, "w", encoding="utf-8", buffering=1) if channel else sys.stderr  # noqa: SIM115, lives as long as the bar
    return tqdm(iterable, file=file, dynamic_ncols=not channel, mininterval=0.5, leave=False, **options)
