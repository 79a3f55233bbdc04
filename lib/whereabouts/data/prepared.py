"""Prepared data sets: compact arrays with a table of what each image is, written once and read by every stage."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd

from whereabouts import files, paths
from whereabouts.errors import InputError
from whereabouts.formats.csv_tables import read_table


def write(folder: Path, arrays: dict[str, np.ndarray], table: pd.DataFrame, facts: dict, label: str) -> None:
    """Write `arrays` as .npy files, `table` as table.csv, `facts` and the data's `label` as facts.json.

    facts.json comes last and has the sha256 of all others and of itself, so that it stands for a folder that is whole.
    """
    folder, contents = paths.at(folder), {}
    for name, array in arrays.items():
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        contents[f"{name}.npy"] = buffer.getvalue()
    contents["table.csv"] = table.to_csv(index=False).encode()
    for name, content in contents.items():
        files.write_bytes(folder / name, content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    about = {"facts": facts | {"label": label}, "files": digests}
    files.write_json(folder / "facts.json", about | {"sha256": _digest(about)})


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
