"""Where things are, from the root of the repository, whatever the working directory."""

import os
from pathlib import Path

from whereabouts.errors import InputError, printable

ROOT = Path(__file__).resolve().parents[2]
RAW = ROOT / "data" / "raw"


def at(path: str | Path) -> Path:
    """`path` from the root of the repository; absolute paths stay as they are."""
    return ROOT / path


def made(folder: str | Path, pattern: str) -> list[Path]:
    """What stages have left below `folder` under a name that fits `pattern`, sorted.

    Raises:
        InputError: nothing is there yet.
    """
    if found := sorted(at(folder).glob(pattern)):
        return found
    raise InputError(f"{shown(at(folder) / pattern)}: not there yet; run `make repro` at its scale to make it")


def relative(path: str | Path) -> str:
    """`path` from the root where it lies below it, so that no output names a machine."""
    path = Path(path)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.as_posix()


def shown(path: str | Path) -> str:
    """`path` as it is printed, in one line."""
    return printable(relative(path))


def is_raw(path: str | Path) -> bool:
    """Whether `path`, its links followed, lies below data/raw or a folder linked there, where nothing is written."""
    real = Path(os.path.realpath(path))
    linked = RAW.iterdir() if RAW.is_dir() else ()
    return any(real.is_relative_to(os.path.realpath(one)) for one in (RAW, *linked))
