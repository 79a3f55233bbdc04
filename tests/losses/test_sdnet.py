"""SDNet's costs against torch.distributions, loops in NumPy and closed forms, and what the letter of the paper does."""

import math
from dataclasses import astuple

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch.distributions import Normal, kl_divergence

from whereabouts.losses import sdnet as costs

SHAPES = [(2, 3, 9, 7), (1, 1, 1, 1), (3, 2, 4, 5)]


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(23)


def case(shape, rng):
    """Predicted masks in [0, 1] and drawn ones, 0 or 1, that share their foreground channels."""
    labels = torch.randint(shape[1] + 1, (shape[0], *shape[2:]), generator=rng)
    logits = 2 * torch.randn(shape[0], shape[1] + 1, *shape[2:], generator=rng)
    return costs.foreground(logits), costs.masks(labels, shape[1] + 1)


def test_weights_are_the_papers():
    """Section 4.2: lambda_1 = 0.01, lambda_2 = 10, lambda_3 = 10, lambda_4 = 1, lambda_5 = 1."""
    assert list(vars(costs.Weights())) == ["kl", "segmentation", "adversarial", "reconstruction", "z_reconstruction"]
    assert astuple(costs.Weights()) == (0.01, 10, 10, 1, 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_foreground_is_the_softmax_without_its_first_channel(shape, rng):
    logits = 3 * torch.randn(shape[0], shape[1] + 1, *shape[2:], generator=rng)
    np.testing.assert_allclose(costs.foreground(logits), softmax(logits.numpy(), axis=1)[:, 1:], rtol=1e-5)
    assert costs.foreground(logits.bfloat16()).dtype == torch.float32


def test_masks_are_one_channel_a_foreground_class():
    labels = torch.tensor([[[0, 1, 2], [3, 3, 0]], [[2, 2, 2], [0, 0, 0]]])
    for dtype in (torch.uint8, torch.int64):
        m = costs.masks(labels.to(dtype), 5)
        assert m.dtype == torch.float32
        assert torch.equal(m, torch.nn.functional.one_hot(labels, 5).permute(0, 3, 1, 2)[:, 1:].float())


# ------------------------------------------------------------------------------------------------------- divergence


@pytest.mark.parametrize("shape", [(1, 1), (3, 8), (5, 2)])
def test_kl_is_that_of_normal_distributions(shape, rng):
    mean, log_var = (torch.randn(shape, generator=rng, dtype=torch.float64) for _ in range(2))
    divergence = kl_divergence(Normal(mean, (0.5 * log_var).exp()), Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(costs.kl_divergence(mean, log_var), divergence)


def test_kl_is_0_at_the_prior_only_and_grows_by_known_amounts():
    zero = torch.zeros(2, 4)
    assert costs.kl_divergence(zero, zero) == 0
    assert costs.kl_divergence(zero + 3, zero).item() == pytest.approx(4 * 9 / 2)
    assert costs.kl_divergence(zero, zero + 2).item() == pytest.approx(4 * (math.exp(2) - 3) / 2)


# -------------------------------------------------------------------------------------------------------------- Dice


@pytest.mark.parametrize("as_printed", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_segmentation_loss_is_the_loop(shape, as_printed, rng):
    """The sums run over rows, columns and classes of one image; the mean is over images."""
    predicted, drawn = case(shape, rng)
    scores = []
    for p, t in zip(predicted.double().numpy(), drawn.double().numpy(), strict=True):
        overlap = total = 0.0
        for index in np.ndindex(*p.shape):
            overlap += p[index] * t[index]
            total += p[index] + t[index]
        scores.append(2 * (overlap + 0.1) / (total + 0.1) if as_printed else (2 * overlap + 0.1) / (total + 0.1))
    loss = costs.segmentation_loss(predicted, drawn, as_printed=as_printed)
    assert loss.item() == pytest.approx(1 - np.mean(scores), abs=1e-6)


def test_an_empty_slice_predicted_empty():
    """The printed formula rewards it twice as much as a perfect slice with a heart of any area; ours alike."""
    empty, heart = torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)
    heart[:, 1, 2:5, 3:7] = 1
    assert costs.segmentation_loss(empty, empty, as_printed=True) == -1
    assert costs.segmentation_loss(empty, empty) == 0
    assert costs.segmentation_loss(heart, heart).item() == pytest.approx(0, abs=1e-6)
    printed = costs.segmentation_loss(heart, heart, as_printed=True)
    assert printed.item() == pytest.approx(1 - 2 * 12.1 / 24.1, abs=1e-6)
    assert -0.01 < printed < 0


def test_missed_and_invented_hearts(rng):
    empty, heart = torch.zeros(1, 1, 5, 5), torch.zeros(1, 1, 5, 5)
    heart[..., 1, 1:4] = 1
    for a, b in ((empty, heart), (heart, empty)):
        assert costs.segmentation_loss(a, b).item() == pytest.approx(1 - 0.1 / 3.1)
        assert costs.segmentation_loss(a, b, epsilon=1.0).item() == pytest.approx(1 - 1 / 4)


def test_segmentation_loss_is_in_0_to_1(rng):
    """2 p t <= p + t for all p and t in [0, 1]."""
    for shape in SHAPES * 20:
        predicted, drawn = case(shape, rng)
        drawn[0] *= torch.rand(1, generator=rng).round()
        for p in (predicted, predicted.round(), drawn):
            assert -1e-6 <= costs.segmentation_loss(p, drawn) <= 1


def test_gradient_of_segmentation_loss_is_that_of_finite_differences(rng):
    predicted, drawn = (part.double() for part in case((2, 2, 3, 4), rng))
    for as_printed in (False, True):
        loss = lambda p, flag=as_printed: costs.segmentation_loss(p, drawn, as_printed=flag)  # noqa: E731
        assert torch.autograd.gradcheck(loss, predicted.requires_grad_())


# ------------------------------------------------------------------------------------------------------ least squares


def test_discriminator_loss(rng):
    drawn, predicted = torch.randn(3, 1, generator=rng), torch.randn(5, 1, generator=rng)
    expected = np.mean((drawn.numpy() - 1) ** 2) + np.mean(predicted.numpy() ** 2)
    assert costs.discriminator_loss(drawn, predicted).item() == pytest.approx(expected)
    one, zero = torch.ones(3, 1), torch.zeros(2, 1)
    assert costs.discriminator_loss(one, zero) == 0
    assert costs.discriminator_loss(zero, one) == 2
    assert costs.discriminator_loss(one / 2, one / 2) == 0.5  # of one that cannot tell


def test_adversarial_loss(rng):
    scores = torch.randn(5, 1, generator=rng)
    assert costs.adversarial_loss(scores).item() == pytest.approx(np.mean((scores.numpy() - 1) ** 2))
    assert costs.adversarial_loss(torch.ones(4, 1)) == 0
    assert costs.adversarial_loss(torch.zeros(4, 1)) == 1


def test_the_printed_adversarial_loss_has_no_bound_and_no_side():
    """It pays for any score far from 0, also for one far below it, and has no gradient at a score of 0."""
    scores = torch.tensor([[-1e4], [-1.0], [0.0], [1.0], [1e4]])
    printed = [costs.adversarial_loss(score, as_printed=True).item() for score in scores]
    assert printed == pytest.approx([-1e8, -1, 0, -1, -1e8])
    zero = torch.zeros(1, 1, requires_grad=True)
    costs.adversarial_loss(zero, as_printed=True).backward()
    assert zero.grad.item() == 0
    assert min(costs.adversarial_loss(score).item() for score in scores) == 0


@pytest.mark.parametrize("shape", [(3, 1, 5, 7), (1, 8), (2, 2, 1, 1)])
def test_absolute_error_is_a_mean(shape, rng):
    a, b = torch.randn(shape, generator=rng), torch.randn(shape, generator=rng)
    assert costs.absolute_error(a, b).item() == pytest.approx(np.abs(a.numpy() - b.numpy()).mean(), rel=1e-5)
    assert costs.absolute_error(a, a) == 0
