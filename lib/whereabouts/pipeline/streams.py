"""Standard streams that nobody may be there for: a terminal that was closed, a pipe whose reader ended, `2>&-`.

What a command says is lost then; the command itself goes on, and ends with its own exit code.
"""

import io
import os
import sys


class _Descriptor(io.FileIO):
    """A descriptor on which what cannot be written is dropped."""

    def write(self, content) -> int:
        try:
            return super().write(content)
        except OSError:  # of a terminal that is gone EIO, of a pipe EPIPE
            return len(content)


def outlast() -> None:
    """Make standard output and error outlast their readers; for a command, before it opens anything.

    Descriptors 0 to 2 that are closed become the null device, lest what is opened next take their numbers and receive
    what is written to them.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: this one
    for number, name in ((1, "stdout"), (2, "stderr")):
        old, raw = getattr(sys, name), _Descriptor(number, "w", closefd=False)
        form = {"encoding": old.encoding, "errors": old.errors} if old else {"encoding": "utf-8"}
        setattr(sys, name, io.TextIOWrapper(io.BufferedWriter(raw), line_buffering=number == 2 or raw.isatty(), **form))
