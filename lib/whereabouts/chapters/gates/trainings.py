"""What the chapter's trainings left: a folder <group>-<seed> each, with weights, learning curves and results."""

from pathlib import Path

import pandas as pd

from whereabouts import paths
from whereabouts.errors import InputError, raise_all
from whereabouts.formats.csv_tables import read_table

NETWORK = ("arm", "method", "width", "seed")  # the columns that tell networks apart in their results


def read(trained: str, name: str, seeds: list[int]) -> pd.DataFrame:
    """The tables called `name`, such as scores.csv, of all trainings with these seeds, one after another.

    Raises:
        InputError: a seed has none, or two folders have the same network.
    """
    found = [path for seed in seeds for path in paths.made(trained, f"*-{seed}/{name}")]
    tables = {path: table for path in found if len(table := read_table(path))}
    if not tables:
        return read_table(found[0])  # no network could be trained
    rows = pd.concat(tables, names=["path", "row"]).reset_index("path").reset_index(drop=True)
    key = [column for column in NETWORK if column in rows]
    folders = rows[["path", *key]].drop_duplicates().groupby(key).path.agg(list)
    raise_all([_twice(of, network) for network, of in folders.items() if len(of) > 1])
    return rows.drop(columns="path")


def file(trained: str, name: str, seed: int) -> Path:
    """Where the weights called `name` are, such as attention-1; InputError if they are nowhere, or in two folders."""
    found = paths.made(trained, f"*-{seed}/{name}.safetensors")
    if len(found) > 1:
        raise InputError(_twice(found, (name,)))
    return found[0]


def _twice(files: list[Path], network: tuple) -> str:
    folders = " and ".join(paths.shown(path.parent) for path in files)
    return f"{folders}: both have {' '.join(map(str, network))}; delete the one that another choice of groups made"
