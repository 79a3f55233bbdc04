"""How well a segmentation agrees with the labels."""

import torch
from torch import Tensor


def dice(prediction: Tensor, labels: Tensor, classes: int, volume: Tensor | None = None) -> Tensor:
    """Dice of each foreground class in each volume; 1 where a class is absent from both, 0 where from one only.

    Args:
        prediction, labels: integer labels (N, ...).
        classes: number of classes with the background, which is 0.
        volume: (N,), which of the V volumes each item belongs to, 0..V-1; None if each is one of its own.

    Returns:
        (V, classes - 1), float64, in [0, 1].
    """
    volume = torch.arange(len(labels), device=labels.device) if volume is None else volume
    _, volume = torch.unique(volume, return_inverse=True)
    axes = tuple(range(1, labels.ndim))
    scores = []
    for c in range(1, classes):
        p, t = prediction == c, labels == c
        counts = torch.stack([(p & t).sum(axes), p.sum(axes) + t.sum(axes)], dim=1)  # (N, 2)
        pooled = counts.new_zeros(int(volume.max()) + 1, 2).index_add_(0, volume, counts)  # (V, 2)
        overlap, total = pooled.double().unbind(1)
        scores.append(torch.where(total > 0, 2 * overlap / total.clamp(min=1), 1.0))
    return torch.stack(scores, dim=1)


def precision_and_recall(prediction: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Of each foreground class in each item: the part of what is found that is right, of what is there that is found.

    Both are 1 where a class is absent from both, and 0 where from one only, as Dice is.

    Args:
        prediction, labels: integer labels (N, ...).
        classes: number of classes with the background, which is 0.

    Returns:
        Precision and recall, each (N, classes - 1), float64, in [0, 1].
    """
    axes = tuple(range(1, labels.ndim))
    found = torch.stack([(prediction == c).sum(axes) for c in range(1, classes)], dim=1)  # (N, classes - 1)
    there = torch.stack([(labels == c).sum(axes) for c in range(1, classes)], dim=1)
    right = torch.stack([((prediction == c) & (labels == c)).sum(axes) for c in range(1, classes)], dim=1)
    absent = (found + there) == 0
    return tuple(torch.where(absent, 1.0, right.double() / count.clamp(min=1)) for count in (found, there))


def soft_dice(logits: Tensor, mask: Tensor) -> Tensor:
    """Dice of the foreground's probability without a threshold, the released INSIDE code's test metric.

    Args:
        logits: (N, 2, H, W), background first.
        mask: (N, H, W), 0 or 1.

    Returns:
        (N,), float64, in [0, 1]; an empty mask scores 0, as there.
    """
    p, t = torch.softmax(logits.double(), dim=1)[:, 1], mask.double()
    return 2 * (p * t).sum((1, 2)) / ((p + t).sum((1, 2)) + 1e-7)


def pooled_soft_dice(logits: Tensor, labels: Tensor, epsilon: float = 0.1) -> Tensor:
    """Dice of the foreground's probabilities, all classes pooled, of each slice: the "avg" of SDNet's released code.

    As there, epsilon stands beside the factor 2, so that an empty slice predicted empty scores 1. (In the released
    loss it stands inside.)

    Args:
        logits: (N, C, H, W), background first.
        labels: (N, H, W), integers below C.
        epsilon: in pixels.

    Returns:
        (N,), float64, in [0, 1].
    """
    p = torch.softmax(logits.double(), dim=1)[:, 1:]
    t = torch.stack([labels == c for c in range(1, logits.shape[1])], dim=1)
    overlap, total = (p * t).sum((1, 2, 3)), p.sum((1, 2, 3)) + t.sum((1, 2, 3))
    return (2 * overlap + epsilon) / (total + epsilon)
