"""Degradations against SciPy: its blur, its Poisson and normal distributions; what curves over levels rely on."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage, special, stats

from whereabouts.errors import InputError
from whereabouts.evaluation.degradations import (
    CELL,
    CELLS,
    KINDS,
    gaussian_blur,
    gaussian_noise,
    sample_gaussian,
    sample_shot,
    shift,
)
from whereabouts.evaluation.degradations import shot_noise as shot

SHAPES = [(1, 1, 1, 1), (2, 1, 1, 9), (3, 1, 7, 1), (5, 3, 4, 3), (2, 1, 33, 50)]
KIND = pytest.mark.parametrize("name", KINDS)


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(5)


def flat(value, n):
    """n pixels of one intensity."""
    return torch.full((1, 1, 1, n), value)


def alike(a, b):
    """The same up to rounding, which may add a photon to the odd pixel."""
    return ((a - b).abs() > 1e-6).float().mean() < 0.01


def degrade(name, images, level, rng):
    kind = KINDS[name]
    return kind.apply(images, kind.sample(images, rng), level)


# ------------------------------------------------------------------------------------------------------- all the kinds


def test_levels_are_the_papers():
    """Section 2.3; blur as Tiny-ImageNet-C has it; from least to most damage."""
    noise = (0.04, 0.08, 0.12, 0.15, 0.18)
    assert {name: kind.levels for name, kind in KINDS.items()} == {
        "gaussian_noise": noise,
        "shot_noise": (250, 100, 50, 30, 15),
        "blur": (0.5, 0.75, 1, 1.25, 1.5),
        "blur_printed": noise,
    }
    symbols = [r"$\sigma$", "$c$", r"$\sigma$ [px]", r"$\sigma$ [px]"]
    assert [kind.symbol for kind in KINDS.values()] == symbols
    assert len({kind.name for kind in KINDS.values()}) == len(KINDS)


@KIND
@pytest.mark.parametrize("shape", SHAPES)
def test_any_shape_stays_in_range(name, shape, rng):
    images = torch.rand(shape, generator=rng).round(decimals=1)  # black and white pixels too
    for level in KINDS[name].levels:
        result = degrade(name, images, level, rng)
        assert result.shape == images.shape
        assert result.dtype == torch.float32
        assert result.min() >= 0 and result.max() <= 1


@KIND
def test_applying_is_pure(name, rng):
    kind, images = KINDS[name], torch.rand(2, 3, 9, 8, generator=rng)
    field = kind.sample(images, rng)
    before = images.clone(), None if field is None else field.clone()
    first, second = (kind.apply(images, field, kind.levels[-1]) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(images, before[0])
    assert field is None or torch.equal(field, before[1])
    strided = images.to(memory_format=torch.channels_last)
    assert alike(kind.apply(strided, field, kind.levels[-1]), first)


@KIND
@pytest.mark.parametrize("shape", [(7, 1, 13, 11), (5, 3, 2, 1)])
def test_the_size_of_batches_does_not_matter(name, shape):
    """Nor does anything but the generator."""
    images = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    level = KINDS[name].levels[2]

    def in_batches(size, seed):
        rng = torch.Generator().manual_seed(seed)
        return torch.cat([degrade(name, batch, level, rng) for batch in images.split(size)])

    whole = in_batches(len(images), seed=2)
    assert torch.equal(in_batches(len(images), seed=2), whole)
    assert alike(in_batches(3, seed=2), whole)
    assert alike(in_batches(len(images), seed=3), whole) == name.startswith("blur")


@pytest.mark.parametrize("name", ["gaussian_noise", "shot_noise", "blur"])
def test_damage_grows_with_the_level(name, rng):
    images = torch.rand(2, 1, 64, 64, generator=rng)
    kind, field = KINDS[name], KINDS[name].sample(images, rng)
    damage = [(kind.apply(images, field, level) - images).square().mean().item() for level in kind.levels]
    assert damage[0] > 0
    assert damage == sorted(set(damage))


@pytest.mark.parametrize(
    ("apply", "level", "message"),
    [
        (gaussian_noise, -0.1, "gaussian noise sd = -0.1: outside its domain; give a finite number >= 0"),
        (gaussian_noise, math.nan, "gaussian noise sd = nan: outside its domain; give a finite number >= 0"),
        (gaussian_blur, math.inf, "blur sigma = inf: outside its domain; give a finite number >= 0"),
        (gaussian_blur, -1, "blur sigma = -1: outside its domain; give a finite number >= 0"),
        (shot, 0, "shot noise c = 0: outside its domain; give a finite number above 0 and at most 256"),
        (shot, 257, "shot noise c = 257: outside its domain; give a finite number above 0 and at most 256"),
        (shot, math.nan, "shot noise c = nan: outside its domain; give a finite number above 0 and at most 256"),
    ],
)
def test_a_level_outside_its_domain(apply, level, message):
    with pytest.raises(InputError) as error:
        apply(torch.zeros(1, 1, 2, 2), torch.zeros(3, 1, 1, 2, 2), level)
    assert error.value.problems == [message]


@KIND
def test_images_outside_0_to_1(name, rng):
    kind, images = KINDS[name], torch.zeros(1, 1, 2, 2)
    field = kind.sample(images, rng)
    for wrong, message in (
        (images - 0.5, "images run from -0.5 to -0.5; scale"),
        (images + 255, "images run from 255 to 255; scale"),
        (images + math.nan, "images run from nan to nan; scale"),
        (images.to(torch.uint8), "images are torch.uint8; scale"),
    ):
        with pytest.raises(ValueError, match=message):
            kind.apply(wrong, field, kind.levels[0])


# ------------------------------------------------------------------------------------------------------ Gaussian noise


def test_gaussian_field_is_standard_normal(rng):
    field = sample_gaussian(torch.zeros(4, 1, 500, 500), rng)
    n = field.numel()
    assert abs(field.mean().item()) < 4 / n**0.5
    assert abs(field.std().item() - 1) < 4 / (2 * n) ** 0.5
    assert stats.kstest(field[0].flatten().numpy(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(field.flatten(1).numpy())[0, 1:]).max() < 4 / field[0].numel() ** 0.5  # images differ


def test_gaussian_noise_is_the_formula(rng):
    images = torch.rand(3, 1, 20, 20, generator=rng)
    field = sample_gaussian(images, rng)
    for sd in (0, 0.04, 0.18, 2.0):
        expected = np.clip(images.double().numpy() + sd * field.double().numpy(), 0, 1)
        np.testing.assert_allclose(gaussian_noise(images, field, sd), expected, rtol=0, atol=3e-7)


# ---------------------------------------------------------------------------------------------------------- shot noise


def clipped_poisson(mean, c):
    """Probability of the counts 0 .. c - 1, and of c or more, which all are white."""
    p = stats.poisson.pmf(np.arange(c), mean)
    return np.append(p, stats.poisson.sf(c - 1, mean))


def counts(result, c):
    """How many pixels counted 0, 1, .., c photons."""
    count = result.flatten().double() * c
    assert (count - count.round()).abs().max() < 1e-4
    return np.bincount(count.round().long().numpy(), minlength=c + 1)


@pytest.mark.parametrize("c", [1, 15, 100, 250, 256])
@pytest.mark.parametrize("x", [0.0, 1e-5, 0.0007, 0.02, 0.31, 0.8, 1.0])
def test_shot_noise_is_poisson(x, c):
    """Integrated over z and the dither with an even grid of points, where chance hides nothing."""
    n = 2**19
    place = torch.from_numpy(special.ndtri((np.arange(n) + 0.5) / n)) / CELL + CELLS / 2
    dither = torch.arange(n, dtype=torch.float64) * (math.sqrt(5) - 1) / 2 % 1
    field = torch.stack([place.floor(), place % 1, dither]).float().view(3, 1, 1, 1, n)
    of_ours = counts(shot(flat(x, n), field, c), c) / n
    assert abs(of_ours - clipped_poisson(x * c, c)).sum() / 2 < 1e-4


@pytest.mark.parametrize(("x", "c"), [(0.0, 50), (1e-4, 50), (0.01, 100), (0.2, 15), (0.5, 30), (0.9, 250), (1.0, 250)])
def test_shot_noise_as_sampled(x, c, rng):
    """Mean and variance to their standard errors, and chi-square."""
    n, mean = 1_000_000, x * c
    observed = counts(shot(flat(x, n), sample_shot(flat(x, n), rng), c), c)
    k, p = np.arange(c + 1), clipped_poisson(mean, c)
    expected_mean = p @ k
    m2, m4 = (p @ (k - expected_mean) ** power for power in (2, 4))
    squares = observed @ (k - expected_mean) ** 2 / n
    assert abs(observed @ k / n - expected_mean) <= 4 * (m2 / n) ** 0.5
    assert abs(squares - m2) <= 4 * ((m4 - m2**2) / n) ** 0.5
    common = n * p > 10
    pooled = [np.append(a[common], a[~common].sum()) for a in (observed, n * p)]
    if common.sum() > 1:
        assert stats.chisquare(pooled[0], pooled[1] * n / pooled[1].sum()).pvalue > 1e-4


def test_black_stays_black(rng):
    images = flat(0.0, 1_000_000)
    assert shot(images, sample_shot(images, rng), 256).max() == 0


def test_shot_noise_of_pixels_is_independent(rng):
    images = torch.full((2, 1, 400, 400), 0.5)
    result = shot(images, sample_shot(images, rng), 30)
    across, down = result[..., 1:] * result[..., :-1], result[:, :, 1:] * result[:, :, :-1]
    between = result[0] * result[1]
    for product in (across, down, between):
        covariance = product.mean().item() - result.mean().item() ** 2
        assert abs(covariance) < 4 * result.var().item() / product.numel() ** 0.5


def test_levels_of_shot_noise_are_of_one_realisation(rng):
    """A pixel that catches more photons than expected at one dose does so at all, and never loses one by more light."""
    images = 0.5 * torch.rand(1, 1, 200, 200, generator=rng)
    field = sample_shot(images, rng)
    photons = {c: (shot(images, field, c) * c).round() for c in (15, 30, 50, 100, 250)}
    unclipped = photons[15] < 15
    for less, more in zip((15, 30, 50, 100), (30, 50, 100, 250), strict=True):
        assert (photons[more] >= photons[less])[unclipped].all()
    surplus = [(photons[c] - c * images)[unclipped] for c in (100, 250)]
    assert np.corrcoef(torch.stack(surplus).numpy())[0, 1] > 0.95


# ---------------------------------------------------------------------------------------------------------------- blur


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sigma", [0, 0.04, 0.18, 0.5, 0.75, 1, 1.25, 1.5, 3.3])
def test_blur_is_scipys(sigma, shape, rng):
    images = torch.rand(shape, generator=rng)
    expected = ndimage.gaussian_filter(images.double().numpy(), (0, 0, sigma, sigma), mode="nearest", truncate=4.0)
    np.testing.assert_allclose(gaussian_blur(images, None, sigma), expected, rtol=0, atol=5e-7)


def test_blur_as_printed_does_nothing_and_as_meant_does(rng):
    images = torch.rand(1, 1, 64, 64, generator=rng)
    change = {
        name: [(degrade(name, images, level, rng) - images).abs().max().item() for level in KINDS[name].levels]
        for name in ("blur", "blur_printed")
    }
    assert max(change["blur_printed"]) < 1e-5
    assert min(change["blur"]) > 0.1


# --------------------------------------------------------------------------------------------------------------- shift


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.int64, torch.bool])
@pytest.mark.parametrize("pixels", [-9, -5, -4, -1, 0, 1, 3, 5, 40])
def test_shift(pixels, dtype, rng):
    images = torch.randint(0, 5, (2, 3, 5), generator=rng).to(dtype)
    expected = ndimage.shift(images.numpy().astype(float), (0, 0, pixels), order=0, cval=1)
    result = shift(images, pixels, fill=1)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result.numpy(), expected)


def test_shift_right_and_fill_by_hand():
    row = torch.tensor([[1, 2, 3, 4]])
    assert shift(row, 1).tolist() == [[0, 1, 2, 3]]
    assert shift(row, -3, fill=7).tolist() == [[4, 7, 7, 7]]
    assert row.tolist() == [[1, 2, 3, 4]]
    assert shift(torch.ones(2, 1), 1, fill=0.5).tolist() == [[0.5], [0.5]]
