"""Which run this is: the runner tells the notebook, whose unfinished work is taken up by the same run only."""

import hashlib
import json
import os

CHANNEL = "WHEREABOUTS_RUN"  # the runner names the run here


def of(notebook: str, values: dict) -> str:
    """sha256 of what stands for a notebook's code (`notebooks.code_text`), and of its parameters."""
    return hashlib.sha256(json.dumps([notebook, values], sort_keys=True).encode()).hexdigest()


def this() -> str:
    """The run that this process belongs to; empty for a notebook that is run by hand."""
    return os.environ.get(CHANNEL, "")
