"""Dice of a test set in both ways: per slice, as SDNet's released code has it, and per volume."""

from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.formats.csv_tables import read_table
from whereabouts.metrics import overlap

AVERAGE = "average"


def score(logits: Tensor, labels: Tensor, rows: pd.DataFrame, structures: list[str]) -> pd.DataFrame:
    """One row a unit, subject, modality and structure.

    Per slice (unit "slice"): Dice of each slice, 1 where a structure is absent from both, the mean over a subject's
    slices. Its average is not that of the structures: it is soft and pools them (`metrics.pooled_soft_dice`).
    Per volume (unit "volume"): Dice of each volume, the mean over a subject's volumes (end-diastole and end-systole);
    its average is that of the structures.

    Args:
        logits: (N, C, H, W), background first.
        labels: (N, H, W).
        rows: N rows with columns subject, modality and volume.
        structures: names of labels 1 to C - 1.

    Returns:
        Columns unit, subject, modality, structure (or "average") and dice in [0, 1].
    """
    classes = len(structures) + 1
    volume, volumes = pd.factorize(rows.volume)
    predicted = logits.argmax(1).byte()
    slices = pd.DataFrame(overlap.dice(predicted, labels, classes).numpy(), columns=structures)
    slices[AVERAGE] = overlap.pooled_soft_dice(logits, labels).numpy()
    whole = overlap.dice(predicted, labels, classes, torch.from_numpy(volume)).numpy()
    whole = pd.DataFrame(whole, columns=structures).assign(**{AVERAGE: whole.mean(1)})
    of_volume = rows.drop_duplicates("volume").set_index("volume").loc[volumes].reset_index()
    parts = []
    for unit, dice, of in (("slice", slices, rows), ("volume", whole, of_volume)):
        keys = [of.subject.to_numpy(), of.modality.to_numpy()]
        long = dice.groupby(keys, sort=False).mean().rename_axis(["subject", "modality"])
        parts.append(long.rename_axis("structure", axis=1).stack().rename("dice").reset_index().assign(unit=unit))
    return pd.concat(parts, ignore_index=True)[["unit", "subject", "modality", "structure", "dice"]]


def read(folder: Path) -> pd.DataFrame:
    """All `scores.csv` of the trainings below `folder`, one after another in the order of their names.

    Raises:
        InputError: there are none, or two say something of the same network, one of which no stage makes any longer.
    """
    found = {path: read_table(path) for path in paths.made(folder, "*/scores.csv")}
    scores = pd.concat(found, names=["path"]).reset_index("path")
    twice = scores.duplicated(scores.columns.difference(["path", "dice"]).tolist(), keep=False)
    if twice.any():
        places = ", ".join(paths.shown(path.parent) for path in scores.path[twice].unique())
        raise InputError(f"{places}: scores of the same network; delete what is left of an earlier choice")
    return scores.drop(columns="path").reset_index(drop=True)
