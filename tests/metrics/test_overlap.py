"""Dice, precision and recall against MONAI, SciPy, scikit-learn and counts by hand."""

import warnings

import numpy as np
import pytest
import torch
from scipy.spatial import distance
from scipy.special import softmax
from sklearn.metrics import precision_score, recall_score

from whereabouts.metrics.overlap import dice, pooled_soft_dice, precision_and_recall, soft_dice

with warnings.catch_warnings():  # MONAI's imports use what its dependencies have deprecated
    warnings.simplefilter("ignore")
    from monai.metrics import DiceMetric
    from monai.networks import one_hot


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(3)


def pair(shape, classes, rng):
    """Two label maps, uint8 as `predict` gives them, that agree in about half of their pixels; empty at times."""
    a, b, keep = (torch.randint(classes, shape, generator=rng, dtype=torch.uint8) for _ in range(3))
    b = torch.where(keep > classes // 2, a, b)
    for labels in (a, b):
        for item in labels:
            item[item == torch.randint(1, 2 * classes, (), generator=rng)] = 0
    return a, b


@pytest.mark.parametrize("shape", [(40, 3, 4), (25, 1, 1), (7, 3, 2, 5)])
@pytest.mark.parametrize("classes", [2, 4])
def test_dice_is_monais(classes, shape, rng):
    prediction, labels = pair(shape, classes, rng)
    metric = DiceMetric(include_background=False, ignore_empty=False)
    monai = metric(*(one_hot(part[:, None], classes) for part in (prediction, labels)))
    ours = dice(prediction, labels, classes)
    assert ours.dtype == torch.float64
    np.testing.assert_allclose(ours, monai, rtol=1e-6)


def test_dice_is_scipys(rng):
    prediction, labels = pair((30, 5, 6), 4, rng)
    ours, compared = dice(prediction, labels, 4).numpy(), 0
    for item, c in np.ndindex(30, 3):
        p, t = (part[item].numpy().ravel() == c + 1 for part in (prediction, labels))
        if p.any() or t.any():
            assert ours[item, c] == pytest.approx(1 - distance.dice(p, t), abs=1e-12)
            compared += 1
    assert compared > 60


def test_absent_classes():
    """Absent from both, from the labels only, from the prediction only."""
    prediction = torch.tensor([[[0, 0, 2]], [[1, 0, 2]]])
    labels = torch.tensor([[[0, 3, 2]], [[0, 3, 2]]])
    assert dice(prediction, labels, 5).tolist() == [[1, 1, 0, 1], [0, 1, 0, 1]]


def test_slices_of_a_volume_are_scored_together(rng):
    prediction, labels = pair((10, 4, 5), 3, rng)
    volume = torch.tensor([0, 2, 1, 0, 0, 2, 1, 0, 2, 2])
    ours = dice(prediction, labels, 3, volume)
    for v in range(3):
        together = (torch.cat(list(part[volume == v]))[None] for part in (prediction, labels))
        assert torch.equal(ours[v], dice(*together, 3)[0])
    assert not torch.allclose(ours[0], dice(prediction, labels, 3)[volume == 0].mean(0))


def test_numbers_of_volumes_are_names(rng):
    """Any numbers will do; rows come in their order."""
    prediction, labels = pair((6, 4, 5), 3, rng)
    volume = torch.tensor([1, 1, 0, 2, 0, 2])
    names = torch.tensor([-3, 70, 10**12])
    assert torch.equal(dice(prediction, labels, 3, names[volume]), dice(prediction, labels, 3, volume))


def test_without_volumes_each_item_is_one(rng):
    prediction, labels = pair((5, 4, 5), 3, rng)
    assert torch.equal(dice(prediction, labels, 3), dice(prediction, labels, 3, torch.arange(5)))


@pytest.mark.parametrize("shape", [(40, 3, 4), (25, 1, 2), (15, 3, 2, 5)])
@pytest.mark.parametrize("classes", [2, 4])
def test_precision_and_recall_are_scikit_learns(classes, shape, rng):
    """Per item and class; scikit-learn is told what to say where it would divide by 0, item by item."""
    prediction, labels = pair(shape, classes, rng)
    ours = precision_and_recall(prediction, labels, classes)
    assert {(part.dtype, part.shape) for part in ours} == {(torch.float64, (shape[0], classes - 1))}
    absent = []
    for item, c in np.ndindex(shape[0], classes - 1):
        p, t = (part[item].numpy().ravel() == c + 1 for part in (prediction, labels))
        absent.append(not p.any() and not t.any())
        for score, values in zip((precision_score, recall_score), ours, strict=True):
            assert values[item, c] == pytest.approx(score(t, p, zero_division=float(absent[-1])), abs=1e-12)
    assert 0 < sum(absent) < len(absent) / 2
    assert not torch.equal(*ours)


def test_precision_and_recall_of_absent_classes():
    """Absent from both, from the labels only, from the prediction only; half found, and half right."""
    prediction = torch.tensor([[0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0]])
    labels = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0]])
    precision, recall = precision_and_recall(prediction, labels, 2)
    assert precision[:, 0].tolist() == [1, 0, 0, 1, 0.5]
    assert recall[:, 0].tolist() == [1, 0, 0, 0.5, 1]


def test_dice_is_the_harmonic_mean_of_precision_and_recall(rng):
    prediction, labels = pair((30, 5, 6), 4, rng)
    precision, recall = precision_and_recall(prediction, labels, 4)
    expected = 2 * precision * recall / (precision + recall).clamp(min=1e-9)
    torch.testing.assert_close(dice(prediction, labels, 4), expected)


def test_soft_dice(rng):
    logits = 3 * torch.randn(6, 2, 4, 5, generator=rng)
    mask = torch.randint(2, (6, 4, 5), generator=rng)
    mask[2] = 0
    p, t = softmax(logits.double().numpy(), axis=1)[:, 1], mask.numpy()
    expected = [2 * (p[i] * t[i]).sum() / (p[i].sum() + t[i].sum()) for i in range(6)]
    np.testing.assert_allclose(soft_dice(logits, mask), expected, rtol=1e-6)
    assert soft_dice(logits, mask)[2] == 0


def test_soft_dice_of_saturated_outputs_is_dice(rng):
    prediction, labels = pair((20, 4, 5), 2, rng)
    prediction[:, 0, 0] = 1  # no empty prediction, which the two score differently
    logits = 1e3 * one_hot(prediction[:, None], 2)
    np.testing.assert_allclose(soft_dice(logits, labels), dice(prediction, labels, 2)[:, 0], atol=1e-7)


@pytest.mark.parametrize("epsilon", [0.1, 1.0])
def test_pooled_soft_dice(epsilon, rng):
    """The released code's, but for epsilon: sums over rows, columns and foreground classes of one slice."""
    logits = 3 * torch.randn(6, 4, 5, 3, generator=rng)
    labels = torch.randint(4, (6, 5, 3), generator=rng, dtype=torch.uint8)
    labels[2] = 0
    p, t = softmax(logits.double().numpy(), axis=1)[:, 1:], np.eye(4)[labels].transpose(0, 3, 1, 2)[:, 1:]
    expected = [(2 * (a * b).sum() + epsilon) / (a.sum() + b.sum() + epsilon) for a, b in zip(p, t, strict=True)]
    ours = pooled_soft_dice(logits, labels, epsilon)
    assert (ours.dtype, ours.shape) == (torch.float64, (6,))
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_pooled_soft_dice_of_saturated_outputs(rng):
    """2 |A and B| / (|A| + |B|) of the slice's foreground, a pixel of the wrong class being in no intersection."""
    prediction, labels = pair((20, 4, 5), 4, rng)
    prediction[0], labels[0], prediction[1], labels[1] = 0, 0, 0, 1
    ours = pooled_soft_dice(1e3 * one_hot(prediction[:, None], 4), labels)
    right, total = (
        ((prediction == labels) & (labels > 0)).sum((1, 2)),
        (prediction > 0).sum((1, 2)) + (labels > 0).sum((1, 2)),
    )
    np.testing.assert_allclose(ours, (2 * right + 0.1) / (total + 0.1), rtol=1e-6)
    assert ours[0] == 1
    assert ours[1].item() == pytest.approx(0.1 / 20.1)
    assert ours.max() <= 1
