"""Prepared data sets: compact arrays with a table of what each image is, written once and read by every stage."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd

from lib import files, paths
from lib.errors import InputError


def write(folder: Path, arrays: dict[str, np.ndarray], table: pd.DataFrame, facts: dict, label: str) -> None:
    """Write `arrays` as .npy files, `table` as table.csv, `facts` and the data's `label` as facts.json."""
    folder = paths.at(folder)
    for name, array in arrays.items():
        buffer = io.BytesIO()
        np.save(buffer, array)
        files.write_bytes(folder / f"{name}.npy", buffer.getvalue())
    files.write_text(folder / "table.csv", table.to_csv(index=False))
    files.write_json(folder / "facts.json", facts | {"label": label})


def facts(folder: Path) -> dict:
    """What `write` was given as facts, and the data's label; InputError where the folder is not prepared."""
    path = paths.at(folder) / "facts.json"
    if not path.exists():
        raise InputError(f"{paths.shown(path)}: no such file; run `dvc repro` to prepare the data")
    return json.loads(path.read_text())


def table(folder: Path) -> pd.DataFrame:
    """One row an image."""
    return pd.read_csv(paths.at(folder) / "table.csv")


def array(folder: Path, name: str) -> np.ndarray:
    """One of the arrays, mapped from disk."""
    return np.load(paths.at(folder) / f"{name}.npy", mmap_mode="r", allow_pickle=False)
