"""A wish that work be put away soon, passed from the runner to the notebook that it runs: a file that appears.

The runner makes the file when its job is to end (SIGTERM, or SIGUSR1 before a time limit);
`whereabouts.training.loop.run` looks for it after every step.
"""

import os

CHANNEL = "WHEREABOUTS_INTERRUPT"  # the runner names the file here


AGAIN = "run it again to go on"


class Interrupted(Exception):
    """Work was put away because it was asked for; run it again and it goes on.

    Args:
        done: how far it came, in words.
    """

    def __init__(self, done: str):
        super().__init__(f"put away {done}; {AGAIN}")


def asked() -> bool:
    """Whether the runner of this notebook, if it has one, wants it to end."""
    path = os.environ.get(CHANNEL)
    return path is not None and os.path.exists(path)
