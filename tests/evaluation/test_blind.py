"""The averaged mask on SDNet's data, against scores counted by hand."""

import numpy as np
import pandas as pd
import pytest

from whereabouts.data import prepared
from whereabouts.evaluation.blind import blind, by_share

DATA = {"structures": ["heart"], "folds": [{"train": ["s1", "s2"], "validation": [], "test": ["s3", "s4"]}]}
ROW = np.array([1, 1, 0, 0])  # labels of a slice of 1 x 4 pixels
LABELS = {"s1": ROW, "s2": 1 - ROW, "s3": ROW, "s4": np.array([1, 0, 0, 0])}


@pytest.fixture
def folder(tmp_path):
    """One slice of each subject, three of the first, which decides."""
    names = ["s1", "s1", "s1", "s2", "s3", "s4"]
    table = pd.DataFrame({"subject": names, "modality": "MR", "volume": names, "labelled": True})
    labels = np.stack([LABELS[name] for name in names]).astype(np.uint8)[:, None]
    prepared.write(
        tmp_path, {"images": np.zeros(labels.shape, np.float32), "labels": labels}, table, {"folds": []}, "synthetic"
    )
    return tmp_path


def test_scores_are_those_of_the_commonest_label_and_of_no_image(folder):
    found = blind(folder, DATA, 0, ["s1", "s2"])
    dice = found.set_index(["unit", "structure", "subject"]).dice
    for unit in ("slice", "volume"):
        for structure in ("heart", "average"):
            assert dice[unit, structure, "s3"] == pytest.approx(1, abs=1e-5)
            soft = 0.1 if (unit, structure) == ("slice", "average") else 0  # the released average's epsilon
            assert dice[unit, structure, "s4"] == pytest.approx((2 + soft) / (3 + soft), abs=1e-5)  # of 2 and 1 pixels
    assert (found.fold == 0).all()
    other = blind(folder, DATA, 0, ["s2"]).set_index(["unit", "structure", "subject"]).dice
    assert other["volume", "heart", "s3"] == pytest.approx(0, abs=1e-5)


def test_each_share_has_the_mask_of_its_own_subjects(folder):
    scores = pd.DataFrame({"percent": [100, 100, 50], "fold": 0, "subjects": [2, 2, 1], "arm": ["unet", "gan", "unet"]})
    found = by_share(folder, DATA, scores)
    assert found.groupby("percent").subjects.unique().map(list).to_dict() == {50: [1], 100: [2]}
    assert len(found) == 2 * 2 * 2 * 2 and set(found.arm) == {"averaged_mask"}  # shares, units, structures, subjects
