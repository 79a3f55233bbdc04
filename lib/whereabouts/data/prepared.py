"""Prepared data sets: compact arrays with a table of what each image is, written once and read by every stage."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from whereabouts import files, paths
from whereabouts.errors import InputError
from whereabouts.formats.csv_tables import read_table


def write(folder: Path, arrays: dict[str, np.ndarray], table: pd.DataFrame, facts: dict, label: str) -> None:
    """Write `arrays`, which memory holds, with their table and facts; see `Pieces`."""
    with writing(folder) as pieces:
        pieces.add(**arrays)
        pieces.finish(table, facts, label)


@contextmanager
def writing(folder: Path) -> Iterator["Pieces"]:
    """What takes the arrays of a prepared data set a piece at a time, so that memory holds one, however many follow.

    Pieces go to a hidden folder within `folder`, which is removed at the end, or by the next to write there after a
    process was killed. What was there is replaced by `Pieces.finish`; a block that fails, or ends without it, leaves
    that as it was.

    Raises:
        InputError: the disk is full, the folder is read-only, or whatever else the system says.
    """
    folder = paths.at(folder)
    with _writable(folder):
        hidden = files.unfinished(folder)
    try:
        yield Pieces(folder, hidden)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


class Pieces:
    """Arrays that grow along their first axis in .npy files below `hidden`, until they are put into `folder`."""

    def __init__(self, folder: Path, hidden: Path):
        self._folder, self._hidden = folder, hidden
        self._empty: dict[str, np.ndarray] = {}  # of each array: no items, but their shape and type
        self._counts: dict[str, int] = {}

    def add(self, **arrays: np.ndarray) -> None:
        """Append to the array of each name: (n, ...), all but n as in the pieces before.

        Raises:
            ValueError: another shape or type, or objects.
        """
        for name, array in arrays.items():
            piece = np.ascontiguousarray(array)
            empty, path = self._empty.setdefault(name, piece[:0]), self._hidden / f"{name}.npy"
            if (piece.dtype, piece.shape[1:]) != (empty.dtype, empty.shape[1:]):
                raise ValueError(f"{name}: {piece.dtype} {piece.shape[1:]} after {empty.dtype} {empty.shape[1:]}")
            with _writable(self._folder), open(path, "ab") as file:
                if name not in self._counts:
                    np.save(file, empty, allow_pickle=False)  # the header, which has room for any number
                file.write(piece.data)
            self._counts[name] = self._counts.get(name, 0) + len(piece)

    def finish(self, table: pd.DataFrame, facts: dict, label: str) -> None:
        """Put all in place: arrays as .npy files, `table` as table.csv, `facts` and the data's `label` as facts.json.

        facts.json comes last and has the sha256 of all others and of itself, so that it stands for a folder that is
        whole.
        """
        digests, rows = {}, table.to_csv(index=False).encode()
        with _writable(self._folder):
            for name, empty in self._empty.items():
                about = np.lib.format.header_data_from_array_1_0(empty)
                with open(self._hidden / f"{name}.npy", "r+b") as file:
                    shape = (self._counts[name], *empty.shape[1:])
                    np.lib.format.write_array_header_1_0(file, about | {"shape": shape})
                    file.flush()
                    os.fsync(file.fileno())
                digests[f"{name}.npy"] = files.sha256(self._hidden / f"{name}.npy")
            for name in digests:
                if (self._folder / name).is_file():  # what takes its place is as open to others
                    shutil.copymode(self._folder / name, self._hidden / name)
                os.replace(self._hidden / name, self._folder / name)
        files.write_bytes(self._folder / "table.csv", rows)
        about = {"facts": facts | {"label": label}, "files": digests | {"table.csv": hashlib.sha256(rows).hexdigest()}}
        files.write_json(self._folder / "facts.json", about | {"sha256": _digest(about)})


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise files.unwritable(folder, error) from None


def _digest(about: dict) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def facts(folder: Path) -> dict:
    """What `write` was given as facts, the data's label, and the sha256 that stands for all of it.

    Raises:
        InputError: the folder is not prepared, or facts.json is damaged.
    """
    about = _about(folder)
    return about["facts"] | {"sha256": about["sha256"]}


def table(folder: Path) -> pd.DataFrame:
    """One row an image."""
    return read_table(_whole(folder, "table.csv"))


def array(folder: Path, name: str) -> np.ndarray:
    """One of the arrays, mapped from disk."""
    return np.load(_whole(folder, f"{name}.npy"), mmap_mode="r", allow_pickle=False)


def _about(folder: Path) -> dict:
    path = paths.at(folder) / "facts.json"
    try:
        about = json.loads(path.read_bytes())
        if about["sha256"] == _digest({name: dict(about[name]) for name in ("facts", "files")}):
            return about
    except FileNotFoundError:
        raise InputError(
            f"{paths.shown(path)}: no such file; run `make repro` at its scale to prepare the data"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise InputError(f"{paths.shown(path)}: damaged; delete its folder and run `dvc repro` to prepare the data again")


def _whole(folder: Path, name: str) -> Path:
    """The path of a file of a prepared folder, once its sha256 is found to be the one that was written."""
    path, expected = paths.at(folder) / name, _about(folder)["files"]
    if name in expected and path.exists() and files.sha256(path) == expected[name]:
        return path
    state = "damaged, its sha256 is another" if path.exists() else "no such file"
    raise InputError(f"{paths.shown(path)}: {state}; delete its folder and run `dvc repro` to prepare the data again")
