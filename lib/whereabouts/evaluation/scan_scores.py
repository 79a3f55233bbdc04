"""How well structures are found in scans: Dice, precision, recall and surface distance (Schlemper 2019, Table 1)."""

import numpy as np
import pandas as pd
import torch
from torch import nn

from whereabouts.data.scan import Scan
from whereabouts.inference.scans import masks
from whereabouts.metrics import overlap
from whereabouts.metrics.surface import slice_contour_distance, surface_distance
from whereabouts.pipeline.progress import bar


def agreement(found: np.ndarray, there: np.ndarray, spacing: tuple[float, float, float]) -> dict[str, float]:
    """Of one structure: dice, precision, recall, and surface and contour, distances in mm.

    Args:
        found, there: (X, Y, Z), bool.
        spacing: (3,) mm.

    Returns:
        The conventions for structures that are absent are those of `whereabouts.metrics.overlap` and
        `whereabouts.metrics.surface`. "contour" is the released code's distance, in the plane and slice by slice.
    """
    pair = [torch.from_numpy(np.ascontiguousarray(mask))[None].byte() for mask in (found, there)]
    precision, recall = overlap.precision_and_recall(*pair, 2)
    return {
        "dice": overlap.dice(*pair, 2).item(),
        "precision": precision.item(),
        "recall": recall.item(),
        "surface": surface_distance(found, there, spacing),
        "contour": slice_contour_distance(found, there, spacing[0]),
    }


def score(
    model: nn.Module, scans: list[Scan], truths: list[Scan], structures: list[str], title: str = "", **how
) -> pd.DataFrame:
    """One row a case and structure, with the columns case, structure and those of `agreement`.

    Args:
        model: 3D network.
        scans: as prepared, what the network sees.
        truths: labels of the same cases on the grid on which is scored: the scans' own, to which answers are brought
            back, or (as in the released code) that of `scans`.
        structures: names of labels 1 and up.
        title: of the network, shown beside the progress bar.
        how: window, only, asked, see `whereabouts.inference.scans.masks`; with `only`, just those structures are
            scored.
    """
    rows = []
    values = [v for v in range(1, len(structures) + 1) if not how.get("only") or v in how["only"]]
    for scan, truth in zip(bar(scans, desc=f"score {title}".strip(), unit="scan"), truths, strict=True):
        found = masks(model, scan, len(structures), shape=truth.labels.shape, **how).numpy()
        for value in values:
            result = agreement(found[value - 1], truth.labels == value, truth.spacing)
            rows.append({"case": scan.name, "structure": structures[value - 1], **result})
    return pd.DataFrame(rows)
