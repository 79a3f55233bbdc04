"""The losses against MONAI, against formulas in NumPy and mpmath, and where floating point runs out."""

import warnings

import mpmath
import numpy as np
import pytest
import torch
from scipy.special import expit
from torch import nn

from whereabouts.layers import INSIDE, FiLM
from whereabouts.losses.segmentation import binary_logits, dice_loss, focal_loss, inside_loss, sigma_penalty

with warnings.catch_warnings():  # MONAI's imports use what its dependencies have deprecated
    warnings.simplefilter("ignore")
    from monai.losses import DiceLoss, FocalLoss

SHAPES = [(2, 4, 9, 7), (1, 2, 1, 1), (3, 3, 5), (2, 4, 3, 4, 5)]
GAMMAS = [0.1, 0.5, 1.0, 2.0, 5.0]


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(11)


def case(shape, rng, scale=2.0):
    logits = scale * torch.randn(shape, generator=rng)
    return logits, torch.randint(shape[1], (shape[0], *shape[2:]), generator=rng)


def softmax(logits):
    """Softmax over axis 1 in float64."""
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def of_labels(p, labels):
    """The probability of the label of each pixel: (B, C, ...), (B, ...) -> (B, ...)."""
    return np.take_along_axis(p, labels[:, None], 1)[:, 0]


def slopes(f, logits, step=1e-5):
    """Central differences of a function of a float64 array."""
    gradient = np.zeros_like(logits)
    for index in np.ndindex(*logits.shape):
        shift = np.zeros_like(logits)
        shift[index] = step
        gradient[index] = (f(logits + shift) - f(logits - shift)) / (2 * step)
    return gradient


def test_one_logit_is_two_class_logits(rng):
    logit = torch.randn(2, 1, 3, 4, generator=rng, dtype=torch.float64)
    p = torch.softmax(binary_logits(logit), 1)
    np.testing.assert_allclose(p[:, 1:], expit(logit.numpy()), rtol=1e-12)


# --------------------------------------------------------------------------------------------------------------- Dice


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("epsilon", [1e-5, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_dice_is_monais(shape, epsilon, background, rng):
    logits, labels = case(shape, rng)
    labels[0] = labels[0].clamp(max=shape[1] - 2)  # one class absent from one image
    monai = DiceLoss(background, to_onehot_y=True, softmax=True, smooth_nr=epsilon, smooth_dr=epsilon)
    expected = monai(logits, labels[:, None])
    torch.testing.assert_close(dice_loss(logits, labels, epsilon, background), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("background", "inside"), [(False, 1), (True, 1), (False, 2), (True, 2)])
def test_dice_gradients_are_those_of_finite_differences(background, inside, rng):
    """Epsilon beside the factor 2 or, as released, inside it, where it counts twice."""
    logits, labels = case((2, 3, 4, 3), rng)

    def reference(array):
        p, losses = softmax(array), []
        for c, b in list(np.ndindex(3, 2))[0 if background else 2 :]:
            t = labels[b].numpy() == c
            losses.append(1 - (2 * p[b, c][t].sum() + inside * 0.1) / (p[b, c].sum() + t.sum() + 0.1))
        return np.mean(losses)

    array = logits.double().numpy()
    loss = dice_loss(logits.requires_grad_(), labels, 0.1, background, as_released=inside == 2)
    loss.backward()
    assert loss.item() == pytest.approx(reference(array), rel=1e-5)
    np.testing.assert_allclose(logits.grad, slopes(reference, array), rtol=1e-3, atol=1e-6)


def test_an_absent_class_predicted_absent_costs_nothing():
    logits, labels = torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.long)
    logits[:, 0] = 200.0
    assert dice_loss(logits, labels) == dice_loss(logits, labels, background=True) == 0
    assert dice_loss(logits, labels, 0.01, as_released=True) == -1  # the scores of both are 2, as released
    assert dice_loss(logits, labels, 0.01, True, True) == pytest.approx(1 - (2 * 16.01 / 32.01 + 2 + 2) / 3)


def test_a_perfect_and_a_wrong_prediction():
    labels = torch.tensor([[[0, 1], [2, 2]]])
    right = 200.0 * torch.nn.functional.one_hot(labels).movedim(-1, 1)
    wrong = 200.0 * torch.nn.functional.one_hot((labels + 1) % 3).movedim(-1, 1)
    assert dice_loss(right, labels) == 0
    assert dice_loss(wrong, labels) == pytest.approx(1, abs=1e-5)


def test_dice_is_never_below_0_or_above_1(rng):
    """But for rounding, whatever the shapes, the classes that are absent and the certainty of the prediction."""
    for trial in range(150):
        batch, classes, height, width = (int(torch.randint(1, 7, (), generator=rng)) for _ in range(4))
        logits, labels = case((batch, classes + 1, height, width), rng, scale=10.0 ** (trial % 7 - 2))
        labels = labels.clamp(max=trial % (classes + 1))  # in turn: all empty, one class only, ..
        if trial % 3 == 0:  # nearly or exactly right
            logits += 10.0 ** (trial % 5) * torch.nn.functional.one_hot(labels, classes + 1).movedim(-1, 1)
        assert -1e-6 <= dice_loss(logits, labels, background=trial % 2 == 1) <= 1


# -------------------------------------------------------------------------------------------------------------- focal


@pytest.mark.parametrize("shape", SHAPES)
def test_focal_is_monais(shape, rng):
    """MONAI's mean runs over the classes too, of which one is not 0."""
    logits, labels = case(shape, rng)
    monai = FocalLoss(gamma=2.0, use_softmax=True, to_onehot_y=True)(logits, labels[:, None])
    torch.testing.assert_close(focal_loss(logits, labels, 2.0), shape[1] * monai, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("logit", [-80.0, -10.0, -1.0, -1e-3, 0.0, 1e-3, 0.5413248, 1.0, 5.0, 10.0, 16.0])
def test_focal_is_the_formula(logit, gamma):
    """With 40 digits; u = 1, where the two branches meet, is at logit -log(e - 1) = -0.541."""
    for sign in (-1, 1):
        logits = torch.tensor([[[0.0], [sign * logit]]])  # (1, 2, 1)
        with mpmath.workdps(40):
            p = 1 / (1 + mpmath.exp(-mpmath.mpf(logits[0, 1, 0].item())))
            expected = float(-((1 - p) ** gamma) * mpmath.log(p))
        ours = focal_loss(logits, torch.ones(1, 1, dtype=torch.long), gamma).item()
        assert ours == pytest.approx(expected, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_focal_gradients_are_those_of_finite_differences(scale, gamma, rng):
    logits, labels = case((2, 3, 4, 3), rng, scale)

    def reference(array):
        p = of_labels(softmax(array), labels.numpy())
        return np.mean(-((1 - p) ** gamma) * np.log(p))

    expected = slopes(reference, logits.double().numpy())
    loss = focal_loss(logits.requires_grad_(), labels, gamma)
    loss.backward()
    assert loss.item() == pytest.approx(reference(logits.detach().double().numpy()), rel=1e-5)
    np.testing.assert_allclose(logits.grad, expected, rtol=1e-3, atol=1e-6)


def extreme(dtype):
    """Logits up to 1e4, every class the label of each: exactly right (p = 1), exactly wrong (p = 0) and undecided."""
    values = torch.tensor([[0, 1e4], [1e4, 0], [1e4, -1e4], [-1e4, 1e4], [0, 0], [1e4, 1e4], [0, 20], [0, -100]])
    logits = torch.cat([values, values]).T[None].to(dtype)  # (1, 2, 16)
    return logits.requires_grad_(), torch.arange(2).repeat_interleave(len(values))[None]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("gamma", GAMMAS)
def test_focal_is_finite_everywhere(gamma, dtype):
    logits, labels = extreme(dtype)
    for pixel in range(labels.shape[1]):
        loss = focal_loss(logits[..., pixel], labels[:, pixel], gamma)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.isfinite()
        assert loss >= 0
        assert gradient.isfinite().all()
    assert loss == 100 * (1 - np.exp(-100.0)) ** gamma  # the last: p = exp(-100)


def test_the_formula_as_written_is_not_finite_there():
    """What the test above guards against."""

    def written(logits, labels, gamma):
        p = torch.softmax(logits, 1).gather(1, labels[:, None])[:, 0]
        return (-((1 - p) ** gamma) * p.log()).mean()

    logits, labels = extreme(torch.float32)
    right = written(logits[..., 1], labels[:, 1], 0.5)  # p = 1
    assert right == 0
    assert torch.autograd.grad(right, logits)[0].isnan().any()
    assert written(logits[..., 0], labels[:, 0], 0.5).isinf()  # p = 0


@pytest.mark.parametrize("gamma", [0.0, -1.0])
def test_focusing_parameter_is_positive(gamma):
    with pytest.raises(ValueError) as error:
        focal_loss(torch.zeros(1, 2, 1), torch.zeros(1, 1, dtype=torch.long), gamma)
    assert str(error.value) == f"gamma={gamma}: the focusing parameter must be > 0; for gamma = 0 use cross-entropy"


# ------------------------------------------------------------------------------------------------------------- widths


def widths(layer, s):
    """`layer` whose raw widths are `s` whatever the facts."""
    with torch.no_grad():
        layer.hypernetwork[-1].weight.zero_()
        layer.hypernetwork[-1].bias[-len(s) :] = torch.tensor(s)
    return layer


def test_penalty_by_hand():
    """The sum over axes, channels and layers of the squared widths, whatever the number of images."""
    z = torch.ones(5, 3)
    multiple, single = [-2.0, 0.0, 1.0, 3.0], [0.5, -0.5]
    layers = [
        (widths(INSIDE(2, 3), multiple), (expit(multiple) ** 2).sum()),
        (widths(INSIDE(2, 3, sigma="wide"), multiple), (expit(multiple) ** 2).sum()),
        (widths(INSIDE(2, 3, sigma="code"), multiple), (np.tanh(multiple) ** 2).sum()),
        (widths(INSIDE(2, 3, attention="single", film=False), single), (expit(single) ** 2).sum()),
    ]
    for layer, expected in layers:
        assert sigma_penalty(layer, z).item() == pytest.approx(expected, rel=1e-6)
    several = nn.ModuleDict({"a": nn.ModuleList([layer for layer, _ in layers]), "b": FiLM(2, 3)})
    assert sigma_penalty(several, z).item() == pytest.approx(sum(expected for _, expected in layers), rel=1e-6)


def test_penalty_is_the_mean_over_images(rng):
    layer, z = INSIDE(4, 3), torch.randn(6, 3, generator=rng)
    raw = layer.hypernetwork(z).detach().double().numpy()[:, -8:]  # (6, axes and channels)
    each = (expit(raw) ** 2).sum(1)
    assert each.std() > 0
    penalty = sigma_penalty(layer, z)
    assert penalty.item() == pytest.approx(each.mean(), rel=1e-5)
    penalty.backward()
    assert layer.hypernetwork[-1].bias.grad[-8:].min() > 0


def test_no_penalty_without_widths():
    assert sigma_penalty(nn.Sequential(FiLM(4, 2), nn.ReLU()), torch.ones(3, 2)) == 0


def test_inside_loss_is_the_weighted_sum(rng):
    logits, labels = case((2, 4, 5, 5), rng)
    layer, z = INSIDE(4, 3), torch.randn(2, 3, generator=rng)
    ours = inside_loss(layer, logits, labels, z, focal=0.3, gamma=0.5, eta=0.07)
    dice = DiceLoss(False, to_onehot_y=True, softmax=True, smooth_nr=1e-5, smooth_dr=1e-5)(logits, labels[:, None])
    focal = 4 * FocalLoss(gamma=0.5, use_softmax=True, to_onehot_y=True)(logits, labels[:, None])
    sigma = torch.sigmoid(layer.hypernetwork(z)[:, -8:]).square().sum(1).mean()
    torch.testing.assert_close(ours, dice + 0.3 * focal + 0.07 * sigma)
