"""Where the trained networks of the SDNet chapter are, and how they got there."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.formats.csv_tables import read_table


def weights_of(trained: str | Path, arm: str, percent: float, fold: int, seed: int) -> Path:
    """The weights of one network of `01_train.ipynb`: a job trains all arms of a share, one, or all "others".

    Args:
        trained: the folder of the trainings on one data set; its folders are called arm-percent-fold-seed.
        arm: of `whereabouts.methods.sdnet.SDNET_ARMS`.

    Raises:
        InputError: two jobs have trained it, of which one is left over from other choices.
    """
    jobs = [paths.at(trained) / f"{job}-{percent:g}-{fold}-{seed}" for job in ("all", arm, "others")]
    found = [file for job in jobs if (file := job / f"{arm}-{seed}.safetensors").exists()]
    if len(found) > 1:
        first, second = (paths.shown(file.parent) for file in found)
        raise InputError(f"{first}: has {arm} at {percent:g} %, and so has {second}; delete the one that is left over")
    return found[0] if found else jobs[0] / f"{arm}-{seed}.safetensors"  # whoever reads that says that it is missing


def mixture_of(trained: str | Path, mixture: str, fold: int, seed: int) -> Path:
    """The weights of one network of `02_train_mixtures.ipynb`."""
    return paths.at(trained) / f"{fold}-{seed}" / f"{mixture}-{seed}.safetensors"


def curves(runs: pd.DataFrame, weights: Callable[..., Path]) -> pd.DataFrame:
    """The validation curves of trained networks.

    Args:
        runs: what tells networks apart, in columns that `weights` takes; a network may have several rows.
        weights: gives the file of its weights, beside which is its curve.

    Returns:
        One row a validation: these columns, step, loss, and dice in [0, 1].
    """
    networks = runs.drop_duplicates().to_dict("records")
    parts = [read_table(weights(**one).with_suffix(".tsv")).assign(**one) for one in networks]
    return pd.concat(parts, ignore_index=True)
