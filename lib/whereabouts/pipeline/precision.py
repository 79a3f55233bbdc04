"""In what precision networks are trained: the word `precision` of params/<scale>.yaml, and what it asks of a kernel.

- float32: everything.
- bfloat16: convolutions and matrix products, whose operands are rounded to 8 significant bits. Weights, optimiser,
  coordinates, hypernetworks, losses and the statistics of normalisation stay float32, as does all prediction.
- portable: float32 by the instructions that every x86-64 processor with AVX2 has, in one thread, so that all of them
  come to the same bits.
- auto: bfloat16 where the GPU has it or, without a GPU, the processor multiplies matrices of it (AMX); else float32.

`auto` depends on the machine. It is resolved once, in the stage that checks the parameters, and the trainings depend on
the word and on the file in which that stage says what `auto` is. The file stays until it is removed: what one machine
began, or pulled from another, is not made anew nor continued in another precision.
"""

import json
import os
from pathlib import Path

from whereabouts import files, paths
from whereabouts.errors import InputError
from whereabouts.pipeline.plain_yaml import load

WORDS = ("auto", "float32", "bfloat16", "portable")
FILE = "build/index/precision.json"
DRIVER = Path("/proc/driver/nvidia/version")
# each library chooses its kernels by itself, when it is loaded: PyTorch, oneDNN, MKL, OpenBLAS, NumPy
PINNED = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OMP_NUM_THREADS": "1",
}


def problem(word: object, name: str) -> list[str]:
    """What is wrong with a precision that the file `name` asks for: one line or none."""
    return [] if word in WORDS else [f"{name}: precision is {word!r}; write one of {', '.join(WORDS)}"]


def resolved(word: str) -> str:
    """`word`, or what `auto` is on this machine."""
    if word != "auto":
        return word
    if DRIVER.exists():
        import torch  # takes seconds

        if torch.cuda.is_available():
            return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if "amx_bf16" in _flags() else "float32"


def _flags() -> list[str]:
    """What the processor can do, in Linux's words; empty where it does not say."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split() for line in lines if line.startswith("flags")), [])


def write() -> None:
    """Say in `FILE` what `auto` is: what it was there before, or else what it is here.

    Raises:
        InputError: the file is damaged.
    """
    files.write_json(paths.at(FILE), {"auto": _auto()})


def _auto() -> str:
    if not (there := paths.at(FILE)).exists():
        return resolved("auto")
    try:
        if (said := json.loads(there.read_text(encoding="utf-8"))) in ({"auto": "float32"}, {"auto": "bfloat16"}):
            return said["auto"]
    except ValueError:
        pass
    raise InputError(f"{FILE}: damaged; remove it and run `dvc repro index`")


def of(scale: str) -> str:
    """The precision of a scale as params/<scale>.yaml has it, `auto` as `write` left it; of no scale, what auto is."""
    word = load(paths.at(f"params/{scale}.yaml"))["precision"] if scale else "auto"
    return _auto() if scale and word == "auto" else resolved(word)


def environment(word: str) -> dict[str, str]:
    """Variables that a kernel must be started with."""
    return PINNED if word == "portable" else {}


def pinned() -> bool:
    """Whether this process was started for portable results."""
    return all(os.environ.get(name) == value for name, value in PINNED.items())
