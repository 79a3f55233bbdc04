"""How well one does without looking: Dice of the averaged mask of a network's labelled subjects, on SDNet's data."""

from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F

from whereabouts.data.folds import labelled
from whereabouts.data.subjects import subject_examples
from whereabouts.metrics.scores import score
from whereabouts.models.averaged_mask import averaged_mask

SURE = 100.0  # logit of the label that is answered


def blind(folder: Path, data: dict, fold: int, chosen: list[str]) -> pd.DataFrame:
    """Scores of the averaged mask on the test subjects of a fold.

    Args:
        folder: of the prepared data set.
        data: its facts.
        fold: whose test subjects.
        chosen: subjects whose labels are averaged.

    Returns:
        As of `whereabouts.metrics.scores.score`, and fold.
    """
    structures = data["structures"]
    mask = averaged_mask(subject_examples(folder, chosen)[0].labels.numpy(), len(structures) + 1)
    logits = SURE * F.one_hot(torch.from_numpy(mask).long(), len(structures) + 1).permute(2, 0, 1).float()
    test, rows = subject_examples(folder, data["folds"][fold]["test"])
    return score(logits.expand(len(rows), *logits.shape), test.labels, rows, structures).assign(fold=fold)


def by_share(folder: Path, data: dict, scores: pd.DataFrame) -> pd.DataFrame:
    """The same for each share of labelled subjects and each fold of `scores`, with percent and subjects as there."""
    asked = scores[["percent", "fold", "subjects"]].drop_duplicates().itertuples(index=False)
    return pd.concat(
        blind(folder, data, fold, labelled(data["folds"][fold]["train"], percent)).assign(
            arm="averaged_mask", percent=percent, subjects=subjects, seed=0
        )
        for percent, fold, subjects in asked
    )
