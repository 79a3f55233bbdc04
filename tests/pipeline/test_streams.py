"""A command outlasts whoever reads what it says."""

import subprocess
import sys

import pytest

from whereabouts.paths import ROOT

SAYS = """import os, sys
from whereabouts.pipeline import streams
streams.outlast()
file = open(os.devnull)
print("out")
print("err é", file=sys.stderr)
sys.exit(7 if file.fileno() > 2 else 8)"""


@pytest.mark.parametrize(
    ("redirected", "out", "err"),
    [
        ("", "out\n", "err é\n"),
        ("2>&-", "out\n", ""),
        (">&-", "", "err é\n"),
        ("<&- >&- 2>&-", "", ""),
        (">/dev/full", "", "err é\n"),
        ("2>/dev/full", "out\n", ""),
        ("> >(exit) 2>&1", "", ""),
    ],
)
def test_what_cannot_be_said_is_lost_and_nothing_else(redirected, out, err):
    """The exit code is the command's own, and no file takes the number of a stream that is closed."""
    command = ["bash", "-c", f'"$0" -X utf8 -c "$1" {redirected}', sys.executable, SAYS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stdout, done.stderr) == (7, out, err)
