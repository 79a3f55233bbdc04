"""Arithmetic on SDNet's factors, and what they say (Chartsias 2019, sections 5.3 to 5.6).

An image x (B, 1, H, W) in [-1, 1] has an anatomy factor s (B, C, H, W), 0 or 1, at most one channel on in a pixel, and
a modality factor z (B, K), drawn from N(mean, exp(log_var)). A decoder is any callable g(s, z) -> (B, 1, H, W) in
[-1, 1]; a network in evaluation mode. Functions of images take tensors; the probes of z take NumPy arrays.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from whereabouts.errors import InputError, raise_all
from whereabouts.inference.device import device
from whereabouts.metrics.overlap import dice

ROUNDING = 1e-6  # intensities in [-1, 1] that differ by less are equal, as far as a float32 decoder can tell


@torch.no_grad()
def encoded(network: nn.Module, images: Tensor, batch: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    """s, and mean and log variance of z, of images (N, 1, H, W), `batch` at a time; on the device."""
    parts = [network.encode(part.to(device())) for part in images.split(batch)]
    s, mean, log_var = (torch.cat(factor) for factor in zip(*parts, strict=True))
    return s, mean, log_var


# ------------------------------------------------------------------------------------------- arithmetic on z (Figure 8)


@torch.no_grad()
def traversal(
    decode: Callable[[Tensor, Tensor], Tensor], s: Tensor, z: Tensor, steps: int = 7, reach: float = 3.0
) -> Tensor:
    r"""The grid of Figure 8: row i, column j is $g(s, z)$ with dimension i of z set to $\delta_j$ (section 5.5).

    $\delta_j = -r + 2r(j - 1)/(n - 1)$, j = 1..n: from -r to r. (The paper prints $-3 + 6(j - 1)$, which leaves
    [-3, 3] at j = 3: a slip for $-3 + 6(j - 1)/6$.)

    Args:
        decode: the decoder; called once, on K * steps pairs.
        s: (1, C, H, W).
        z: (1, K), the image's own.
        steps: n, the number of columns, at least 2.
        reach: r, in standard deviations of the prior.

    Returns:
        (K, steps, H, W).
    """
    dimensions = z.shape[1]
    i = torch.arange(dimensions)
    grid = z.expand(dimensions, steps, dimensions).clone()  # row, column, dimension of z
    grid[i, :, i] = torch.linspace(-reach, reach, steps, dtype=z.dtype, device=z.device)
    y = decode(s.expand(dimensions * steps, -1, -1, -1), grid.flatten(0, 1))
    return y[:, 0].unflatten(0, (dimensions, steps))


def correlation_image(grid: Tensor) -> Tensor:
    r"""Pearson correlation of each pixel's intensity with $\delta_j$ along each row of a `traversal` (section 5.5).

    The paper's formula lacks the 1/N that makes it a correlation; its text and figure mean Pearson's.

    Args:
        grid: (K, steps, H, W), steps equally far apart.

    Returns:
        (K, H, W), float64, in [-1, 1]; 0 where a pixel does not change by more than rounding.
    """
    y = grid.double()
    j = torch.arange(grid.shape[1], dtype=y.dtype, device=y.device)  # linear in delta, which is all that matters
    j, deviation = j - j.mean(), y - y.mean(1, keepdim=True)
    covariance = torch.einsum("j,kjhw->khw", j, deviation)
    rho = covariance / (j.norm() * deviation.norm(dim=1))
    return torch.where(y.amax(1) - y.amin(1) > ROUNDING, rho.clamp(-1, 1), 0.0)


def difference_image(grid: Tensor) -> Tensor:
    """Last column less first of a `traversal` (K, steps, H, W), its images rescaled to [0, 1] (section 5.5, note 7).

    Returns:
        (K, H, W), in [-1, 1].
    """
    return (grid[:, -1] - grid[:, 0]) / 2


def following(grid: Tensor, beyond: float = 0.5) -> float:
    """Of a `traversal`, the share of pixels whose |correlation| is above `beyond`, the mean over dimensions of z.

    Section 5.5 says that most pixels are correlated with each dimension, by the look of Figure 8.
    """
    return float((correlation_image(grid).abs() > beyond).double().mean())


# ------------------------------------------------------------------------------------------- arithmetic on s (Figure 7)


def roles(s: Tensor, labels: Tensor, classes: int) -> list[int]:
    """The channel of s that stands for each foreground class, by Dice over the whole batch.

    Channels come in another order in every training (Figure 3), so that Figure 7 needs them looked up; the paper does
    not say how. A channel stands for one class at most; of all such assignments we take that of greatest total Dice.

    Args:
        s: (B, C, H, W), 0 or 1.
        labels: (B, H, W), integers below `classes`, the background 0.
        classes: number of classes with the background.

    Returns:
        classes - 1 distinct channels, of class 1, 2, ...

    Raises:
        InputError: fewer channels than foreground classes, or a class that no image shows.
    """
    masks = torch.stack([labels == c for c in range(1, classes)])  # (classes - 1, B, H, W)
    shown = masks.flatten(1).any(1).tolist()
    problems = [
        f"labels: class {c} is in no image; add images that show it" for c, there in enumerate(shown, 1) if not there
    ]
    if s.shape[1] < classes - 1:
        problems.append(f"s: {s.shape[1]} channels for {classes - 1} foreground classes; train with as many or more")
    raise_all(problems)
    scores = [dice(channel.expand_as(masks), masks, 2)[:, 0] for channel in s.transpose(0, 1)]
    return linear_sum_assignment(torch.stack(scores, dim=1).cpu().numpy(), maximize=True)[1].tolist()


def merge(s: Tensor, source: int, target: int) -> Tensor:
    """s (B, C, H, W) with channel `source` added to `target` and then zeroed: Figure 7, third image.

    No pixel is on in two channels, so that the sum is 0 or 1 again.
    """
    result = s.clone()
    result[:, source] = 0
    result[:, target] += s[:, source]
    return result


def swap(s: Tensor, a: int, b: int) -> Tensor:
    """s (B, C, H, W) with channels a and b exchanged: Figure 7, fourth image."""
    result = s.clone()
    result[:, [a, b]] = s[:, [b, a]]
    return result


@torch.no_grad()
def repainted(
    decode: Callable[[Tensor, Tensor], Tensor], s: Tensor, z: Tensor, muscle: int, blood: int
) -> dict[str, float]:
    """Figure 7 in numbers: how bright the pixels of two channels are as painted, and once the channels are rearranged.

    Args:
        decode: the decoder.
        s, z: (B, C, H, W) and (B, K).
        muscle, blood: the channels of the myocardium and of the left ventricle, as from `roles`.

    Returns:
        Mean intensities in [-1, 1], NaN of a channel that is on nowhere: myocardium and ventricle; the same pixels of
        the myocardium after `merge` (merged_myocardium), and of both after `swap` (swapped_myocardium, ..).
    """
    on = {"myocardium": s[:, muscle] > 0.5, "ventricle": s[:, blood] > 0.5}
    versions = {"": s, "merged_": merge(s, muscle, blood), "swapped_": swap(s, muscle, blood)}
    painted = {version: decode(factor, z)[:, 0].double() for version, factor in versions.items()}
    found = {f"{version}{name}": float(y[on[name]].mean()) for version, y in painted.items() for name in on}
    del found["merged_ventricle"]
    return found


def explained(images: Tensor, s: Tensor) -> float:
    """R² of a linear prediction of each pixel's intensity from s at that pixel, over all pixels: how much s holds.

    Section 3.1.1 thresholds s so that it holds little. One equation with C + 1 unknowns for all pixels needs no second
    set of images to be fair.

    Args:
        images: (N, 1, H, W).
        s: (N, C, H, W).
    """
    products = torch.zeros(s.shape[1] + 2, s.shape[1] + 2, dtype=torch.float64, device=s.device)
    for image, channels in zip(images.to(s.device), s, strict=True):
        rows = torch.cat([channels, torch.ones_like(image), image]).double().flatten(1)
        products += rows @ rows.T
    x, y, mean = products[:-1, :-1], products[:-1, -1], products[-2, -1] / products[-2, -2]
    total = products[-1, -1] - products[-2, -2] * mean**2
    return float(1 - (products[-1, -1] - y @ torch.linalg.pinv(x, hermitian=True) @ y) / total)


def permute(s: Tensor, generator: torch.Generator) -> Tensor:
    """s (B, C, H, W) with its channels in random order, none where it was: Figure 7, fifth image.

    The paper shuffles; we draw among the shuffles without a fixed point (derangements), each as probable as the others,
    so that no channel keeps its place by chance.

    Raises:
        InputError: s has one channel only.
    """
    channels = s.shape[1]
    if channels < 2:
        raise InputError(f"s: {channels} channel cannot change places; give at least 2")
    order = stay = torch.arange(channels)
    while (order == stay).any():  # about e rounds
        order = torch.randperm(channels, generator=generator)
    return s[:, order]


def shared_channels(s_a: Tensor, s_b: Tensor, threshold: float = 0.001) -> pd.DataFrame:
    """Which channels of s two modalities share, Figure 5 in numbers (section 5.3).

    The paper marks them by eye in three images.

    Args:
        s_a, s_b: (N, C, H, W) and (M, C, H', W'), 0 or 1, of the images of either modality.
        threshold: a channel is in use above this share of a modality's pixels.

    Returns:
        One row a channel: channel, share_a, share_b (of pixels that are on, all images together), kind ("shared",
        "a only", "b only" or "unused").
    """
    share_a, share_b = (s.mean((0, 2, 3), dtype=torch.float64).cpu().numpy() for s in (s_a, s_b))
    kinds = {(True, True): "shared", (True, False): "a only", (False, True): "b only", (False, False): "unused"}
    kind = [kinds[used] for used in zip((share_a > threshold).tolist(), (share_b > threshold).tolist(), strict=True)]
    return pd.DataFrame({"channel": range(len(kind)), "share_a": share_a, "share_b": share_b, "kind": kind})


# ---------------------------------------------------------------------------------------------------------- what z says


def modality_accuracy(
    z_train: np.ndarray, modality_train: np.ndarray, z_test: np.ndarray, modality_test: np.ndarray
) -> pd.DataFrame:
    """How often logistic regression tells an image's modality from its z, all of it or one dimension (section 5.4).

    The paper gives no settings; ours are scikit-learn's (L2, C = 1) on z standardised by its training part.

    Args:
        z_train, z_test: (N, K) and (M, K).
        modality_train, modality_test: (N,) and (M,), names or numbers.

    Returns:
        Columns dimension ("all", 0, ..., K - 1, "chance") and accuracy on the test part, in [0, 1]. Chance is the
        accuracy of always answering the commonest modality of the training part.

    Raises:
        InputError: the training part is of one modality only.
    """
    if len(known := np.unique(modality_train)) < 2:
        raise InputError(f"modality_train: nothing but {', '.join(map(str, known))}; give images of two modalities")
    inputs = {"all": slice(None)} | {i: [i] for i in range(z_train.shape[1])}
    accuracy = {}
    for dimension, columns in inputs.items():
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        model.fit(z_train[:, columns], modality_train)
        accuracy[dimension] = model.score(z_test[:, columns], modality_test)
    chance = DummyClassifier(strategy="most_frequent").fit(z_train, modality_train)
    accuracy["chance"] = chance.score(z_test, modality_test)
    return pd.DataFrame({"dimension": list(accuracy), "accuracy": list(accuracy.values())})


def informativeness(log_var: Tensor) -> Tensor:
    """Posterior variance of each dimension of z, the mean over images (section 5.6, after Burgess et al. 2018).

    The smaller, the more the dimension says about its image; near 1, the prior's variance, it says nothing.

    Args:
        log_var: (N, K), natural logarithm of the variance.

    Returns:
        (K,).
    """
    return log_var.exp().mean(0)


def linear_guess(z_train: np.ndarray, y_train: np.ndarray, z_test: np.ndarray) -> np.ndarray:
    """What a linear map of z, fitted on the training part, makes of y on the test part.

    Ridge regression (penalty 1) on z standardised by its training part.

    Args:
        z_train, z_test: (N, K) and (M, K).
        y_train: (N, L), finite, such as rows of `anatomy_of`.

    Returns:
        (M, L).
    """
    model = make_pipeline(StandardScaler(), Ridge(alpha=1.0)).fit(z_train, y_train)
    return model.predict(z_test).reshape(len(z_test), y_train.shape[1])


def linear_probe(z_train: np.ndarray, y_train: np.ndarray, z_test: np.ndarray, y_test: np.ndarray) -> np.ndarray:
    """R^2, on the test part, of `linear_guess` of each column of y: how much of y leaks into z.

    Not in the paper, which infers from section 5.4 that anatomy is in s only.

    Args:
        z_train, y_train, z_test: as there; M at least 2.
        y_test: (M, L).

    Returns:
        (L,), at most 1. 0 is as good as always answering the mean of y_test, and worse answers are negative: a z that
        says nothing about y scores about 0 or a little below. A column of y_test that does not vary scores 0 (1 if
        predicted exactly), as scikit-learn has it.
    """
    return r2_score(y_test, linear_guess(z_train, y_train, z_test), multioutput="raw_values")


def anatomy_of(labels: np.ndarray, label: int) -> np.ndarray:
    """Where `label` is in each image and how large, in pixels.

    Args:
        labels: (N, H, W), integers.
        label: which.

    Returns:
        (N, 3): row and column of the centroid, the first pixel's centre being (0, 0), and area. Where the label is
        absent, the centroid is NaN and the area 0.
    """
    mask = labels == label
    _, height, width = labels.shape
    area = mask.sum((1, 2))
    moments = np.stack([mask.sum(2) @ np.arange(height), mask.sum(1) @ np.arange(width)], axis=1)  # (N, 2)
    centroid = np.where(area[:, None] > 0, moments / np.maximum(area, 1)[:, None], np.nan)
    return np.column_stack([centroid, area])
