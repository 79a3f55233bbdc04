"""Prepared images of SDNet's chapter: by subject, with or without labels, in [-1, 1] (Chartsias 2019, section 4.1).

Its data sets are prepared with columns subject, modality, volume and labelled, and the fact "folds".
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from whereabouts.data.examples import Examples
from whereabouts.data.folds import labelled
from whereabouts.data.prepared import array, table
from whereabouts.errors import InputError

WORDS = {  # where unlabelled images come from, as tables say it
    "frames": "the other frames of all training subjects",
    "others": "the labelled frames of the other subjects, without their labels",
    "same": "the labelled images, without their labels",
}


def subject_examples(folder: Path, subjects: list[str], labelled: bool = True) -> tuple[Examples, pd.DataFrame]:
    """The images of `subjects` and their rows of the table.

    Args:
        folder: of the prepared data set.
        subjects: names.
        labelled: those with labels, or those without.
    """
    rows = table(folder)
    return _examples(folder, rows[rows.subject.isin(subjects) & (rows.labelled == labelled)])


def _examples(folder: Path, rows: pd.DataFrame) -> tuple[Examples, pd.DataFrame]:
    """The images of some rows of the table, and no others, in memory; and the rows, numbered anew."""
    images = torch.from_numpy(array(folder, "images")[rows.index]).mul_(2).sub_(1)
    labels, rows = array(folder, "labels")[rows.index], rows.reset_index(drop=True)
    return Examples.of(images.numpy(), labels, np.zeros((len(rows), 1)), volumes(rows)), rows


def volumes(rows: pd.DataFrame) -> np.ndarray:
    """The volume of each row as a number, from 0 in order of appearance; (S,)."""
    return pd.factorize(rows.volume)[0]


def share(train: list[str], percents: dict[str, float], modality: dict[str, str]) -> list[str]:
    """The first `percents[m]` of the training subjects of each modality m, in their shuffled order; 0 takes none.

    Args:
        train: subjects, in the order of `whereabouts.data.folds.folds`.
        percents: modality -> above 0, at most 100, or 0.
        modality: subject -> modality.

    Raises:
        InputError: nothing is left.
    """
    chosen = []
    for name, percent in percents.items():
        if percent:
            chosen += labelled([subject for subject in train if modality[subject] == name], percent)
    if not chosen:
        raise InputError(f"percents: {percents} leave no training subject; give one of them more than 0")
    return chosen


def unlabelled(
    folder: Path, train: list[str], with_labels: list[str], number: int, rng: np.random.Generator, origin: str = ""
) -> tuple[Examples, str]:
    """At most `number` images to learn from without labels, drawn from the training subjects (section 5.1).

    Args:
        folder: of the prepared data set.
        train: the training subjects.
        with_labels: those whose labels are used.
        number: 1200 in the paper. (Its code takes 18 of each of 70 patients, 1260.)
        rng: draws.
        origin: one of `WORDS`. By default, frames without labels where there are any (the paper); else the images of
            the other subjects; else, where all subjects are labelled, the same images.

    Returns:
        The examples, whose labels are 0, and the origin.

    Raises:
        InputError: that leaves no subject or no image.
    """
    others, rows = [subject for subject in train if subject not in with_labels], table(folder)
    if not origin:
        frames = (~rows.labelled & rows.subject.isin(train)).any()
        origin = "frames" if frames else "others" if others else "same"
    subjects = {"frames": train, "others": others, "same": with_labels}[origin]
    pool = rows[rows.subject.isin(subjects) & (rows.labelled == (origin != "frames"))]
    if not len(pool) or number < 1:
        remedy = "label fewer subjects, add frames without labels, or choose another origin"
        raise InputError(f"unlabelled: {number} of {len(pool)} images of {len(subjects)} subjects ({origin}); {remedy}")
    drawn, _ = _examples(folder, pool.iloc[np.sort(rng.permutation(len(pool))[:number])])
    return replace(drawn, labels=torch.zeros_like(drawn.labels)), origin
