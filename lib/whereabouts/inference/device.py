"""Where networks run, in what precision, and how memory is kept there."""

import ctypes
from contextlib import suppress
from functools import cache

import torch

from whereabouts.pipeline import precision

# what PyTorch on a CPU leaves to oneMKL's vector mathematics
_VECTORISED = ("acos", "asin", "atan", "cos", "erf", "erfc", "erfinv", "exp", "expm1", "log", "log1p", "log10", "log2")
_VECTORISED += ("sin", "sinh", "cosh", "sqrt", "tan", "tanh")


def device() -> torch.device:
    """The accelerator where there is one, else the CPU; chosen when asked, never at import."""
    settle_kernels()
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(word: str) -> torch.autocast:
    """A block in which a network computes: convolutions and products in bfloat16 if `word` is "bfloat16", else float32.

    One for each forward pass, left before an optimiser steps: within a block every weight is rounded only once. What
    is rounded too much by 8 bits (coordinates, hypernetworks) leaves it by itself; losses are taken outside.

    Args:
        word: see `whereabouts.pipeline.precision`.
    """
    return torch.autocast(device().type, torch.bfloat16, enabled=word == "bfloat16")


def arithmetic(word: str) -> str:
    """In what a training here computes, for tables: "bfloat16 on AMX", "float32 on AVX512", "portable float32 on AVX2".

    Args:
        word: see `whereabouts.pipeline.precision`.
    """
    half = word == "bfloat16"
    if device().type == "cuda":
        return f"{'bfloat16' if half else 'float32'} on {torch.cuda.get_device_name()}"
    capability = torch.backends.cpu.get_cpu_capability()
    where = "AMX" if half and precision.resolved("auto") == "bfloat16" else capability
    return f"{'portable ' * precision.pinned()}{'bfloat16' if half else 'float32'} on {where}"


@cache
def keep_freed_memory() -> None:
    """Tell glibc to keep large freed blocks: every step asks for the same ones again, and new pages cost up to 30 %."""
    with suppress(AttributeError, OSError):  # other systems, other C libraries
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD: take blocks up to 1 GiB from the heap
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: and do not give the heap back


@cache
def settle_kernels() -> None:
    """Call each vectorised function once, on one number: of threads that call it first together, some get it wrong.

    oneMKL 2024.2, in the wheels of PyTorch 2.13, chooses a kernel at the first call, and a second thread may meanwhile
    run the least accurate one (to 1e-4): one training of a hundred was another (pytorch/pytorch#188792).
    """
    for kind in (torch.float32, torch.float64):
        for name in _VECTORISED:
            getattr(torch, name)(torch.full((1,), 0.5, dtype=kind))
