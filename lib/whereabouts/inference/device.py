"""Where networks run, and how memory is kept there."""

import ctypes
from contextlib import suppress
from functools import cache

import torch


def device() -> torch.device:
    """The accelerator where there is one, else the CPU; chosen when asked, never at import."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@cache
def keep_freed_memory() -> None:
    """Tell glibc to keep large freed blocks: every step asks for the same ones again, and new pages cost up to 30 %."""
    with suppress(AttributeError, OSError):  # other systems, other C libraries
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD: take blocks up to 1 GiB from the heap
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: and do not give the heap back
