"""Scores of scans against scikit-learn and closed forms, and on which grid they are taken; timing of networks."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, precision_score, recall_score
from torch import nn

from whereabouts.data.scan import Scan
from whereabouts.evaluation import timing
from whereabouts.evaluation.scan_scores import agreement, score
from whereabouts.evaluation.timing import seconds


class Threshold(nn.Module):
    """Class 1 where the standardised image is above 0, class 2 where it is above 1."""

    def forward(self, x, z=None):
        return torch.cat([-10 * x, 10 * x, 30 * (x - 0.8)], dim=1)


def box(shape=(12, 10, 8), start=(2, 3, 2), end=(8, 7, 6)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(map(slice, start, end))] = True
    return mask


def test_the_measures_are_scikit_learns():
    there, found = box(), box(start=(3, 3, 2), end=(9, 7, 5))
    result = agreement(found, there, (2.0, 1.0, 5.0))
    flat = there.ravel(), found.ravel()
    assert result["dice"] == pytest.approx(f1_score(*flat))
    assert result["precision"] == pytest.approx(precision_score(*flat))
    assert result["recall"] == pytest.approx(recall_score(*flat))
    assert result["precision"] != result["recall"]


def test_the_distances_are_in_mm_along_the_axes_of_the_scan():
    def voxel(*at):
        return box(start=at, end=tuple(i + 1 for i in at))

    within = agreement(voxel(4, 2, 2), voxel(2, 2, 2), (2.0, 1.0, 5.0))
    assert (within["surface"], within["contour"]) == pytest.approx((4.0, 4.0))
    across = agreement(voxel(2, 2, 4), voxel(2, 5, 2), (2.0, 1.0, 5.0))
    assert across["surface"] == pytest.approx(math.hypot(3, 10))


def test_what_is_missed_altogether_is_as_far_as_can_be():
    result = agreement(np.zeros((3, 4, 12), bool), box((3, 4, 12), (1, 1, 1), (2, 2, 2)), (1.0, 1.0, 1.0))
    assert (result["dice"], result["precision"], result["recall"]) == (0, 0, 0)
    assert result["surface"] == pytest.approx(13.0) and math.isnan(result["contour"])


def test_scores_are_taken_on_the_grid_of_the_truth():
    coarse = np.random.default_rng(0).normal(size=(16, 16, 16)).astype(np.float32)
    labels = np.digitize((coarse - coarse.mean()) / coarse.std(), [0, 1.2]).astype(np.uint8)
    seen = Scan("a", coarse, labels, (2.0, 2.0, 2.0))
    (fine,) = (np.repeat(labels, 2, axis) for axis in (0,))
    own = Scan("a", None, fine, (1.0, 2.0, 2.0))
    structures = ["liver", "spleen"]
    same = score(Threshold(), [seen], [seen], structures)
    assert list(same.structure) == structures and list(same.case) == ["a", "a"]
    assert same.dice.tolist() == [1, 1] and same.surface.tolist() == [0, 0]
    finer = score(Threshold(), [seen], [own], structures)
    assert (finer.dice < 1).all() and (finer.dice > 0.5).all()  # the logits are interpolated, the labels repeated


def test_with_only_some_labels_just_those_are_scored():
    image = np.random.default_rng(0).normal(size=(16, 16, 16)).astype(np.float32)
    scan = Scan("a", image, (image > 0).astype(np.uint8) * 2, (1.0, 1.0, 1.0))
    table = score(Threshold(), [scan], [scan], ["liver", "spleen"], only=(0, 2))
    assert list(table.structure) == ["spleen"]


def test_times_are_medians_of_calls_by_turns_and_nothing_is_measured_without_runs(monkeypatch):
    calls, clock = [], [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])

    def call(name: str) -> None:
        calls.append(name)
        slow = len(calls) <= 4 or len(calls) == 7  # to warm up, and once later
        clock[0] += 64 if slow else {"a": 1, "b": 5}[name]

    assert seconds(lambda: call("a"), lambda: call("b"), runs=3, warm_up=2) == [1, 5]
    assert "".join(calls) == 5 * "ab"
    assert math.isnan(*seconds(lambda: call("a"), runs=0)) and len(calls) == 10
