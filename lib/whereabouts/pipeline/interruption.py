"""A wish that work be put away soon, passed from the runner to the notebook that it runs: a file that appears.

The runner makes the file when its job is to end (SIGTERM, or SIGUSR1 before a time limit);
`whereabouts.training.loop.run` looks for it after every step.
"""

import ctypes
import os
import signal
from collections.abc import Callable

CHANNEL = "WHEREABOUTS_INTERRUPT"  # the runner names the file here


AGAIN = "run it again to go on"
PR_SET_PDEATHSIG = 1  # of prctl(2)
also_asked: Callable[[], bool] = bool  # in a process that a notebook has forked: whether the notebook wants it to end


class Interrupted(Exception):
    """Work was put away because it was asked for; run it again and it goes on.

    Args:
        done: how far it came, in words.
    """

    def __init__(self, done: str):
        super().__init__(done)

    def __str__(self) -> str:
        return f"put away {self.args[0]}; {AGAIN}"


def asked() -> bool:
    """Whether the runner of this notebook, if it has one, wants it to end, or the notebook this process of its."""
    path = os.environ.get(CHANNEL)
    return also_asked() or (path is not None and os.path.exists(path))


def end_with(parent: int) -> None:
    """Have this process killed when its parent ends, or at once if it has: one that is killed cannot see to it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
