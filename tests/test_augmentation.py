"""Rotations against torch.rot90 and SciPy, and the angles that are drawn."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from lib.augmentation import angles, rotate

QUARTER = math.pi / 2


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(31)


def turned(images, radians, mode="bilinear"):
    return rotate(images, torch.full((len(images),), radians), mode)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("side", [1, 7, 8])
def test_quarters_are_clockwise_as_displayed(side, mode, rng):
    x = torch.randn(3, 2, side, side, generator=rng)
    for quarters in (-2, -1, 0, 1, 2):
        expected = torch.rot90(x, -quarters, (2, 3))  # its positive turns are anticlockwise
        torch.testing.assert_close(turned(x, quarters * QUARTER, mode), expected, rtol=0, atol=2e-5)


def test_the_top_goes_to_the_right():
    """Rows are displayed downwards: at noon before, at three o'clock after."""
    x = torch.zeros(1, 1, 9, 9)
    x[0, 0, 2, 4] = 1
    assert turned(x, QUARTER).argmax() == 4 * 9 + 6
    assert turned(x, QUARTER / 2).argmax() == 3 * 9 + 5


@pytest.mark.parametrize("side", [5, 6, 224])
def test_no_rotation_is_the_identity(side, rng):
    x = torch.rand(2, 1, side, side, generator=rng)
    assert torch.equal(turned(x, 0.0, "nearest"), x)
    torch.testing.assert_close(turned(x, 0.0), x, rtol=0, atol=5e-5)


@pytest.mark.parametrize("degrees", [-73.0, 10.0, 45.0, 90.0])
@pytest.mark.parametrize("side", [12, 15])
def test_bilinear_is_scipys(side, degrees, rng):
    """About the centre of the image, (n - 1) / 2, linear between pixels and the border repeated beyond."""
    x, by = torch.rand(1, 2, side, side, generator=rng), math.radians(degrees)
    matrix = np.array([[math.cos(by), -math.sin(by)], [math.sin(by), math.cos(by)]])  # (row, column) of the source
    centre = np.full(2, (side - 1) / 2)
    expected = [
        affine_transform(image, matrix, centre - matrix @ centre, order=1, mode="nearest") for image in x[0].numpy()
    ]
    np.testing.assert_allclose(turned(x, by)[0], expected, atol=2e-5)


def test_the_border_is_repeated():
    """An image of one intensity stays so, and the corner of another gets the intensity of the border next to it."""
    flat = torch.full((1, 1, 9, 9), -0.7)
    torch.testing.assert_close(turned(flat, 0.6), flat)
    x = torch.zeros(1, 1, 9, 9)
    x[..., 0] = 1.0  # the left column
    assert turned(x, QUARTER / 2)[0, 0, 0, 0] > 0.99  # the source of the upper left corner is 1.7 pixels left of it
    assert turned(x, QUARTER / 2)[0, 0, 8, 8] == 0


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_masks_stay_masks_with_nearest(mode, rng):
    masks = (torch.rand(4, 3, 20, 20, generator=rng) > 0.5).float()
    result = rotate(masks, angles(4, 90, rng), mode)
    assert (set(result.unique().tolist()) == {0, 1}) == (mode == "nearest")
    assert result.min() >= 0
    assert result.max() <= 1 + 1e-6


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_image_and_mask_are_turned_alike(mode, rng):
    """An image that is its own mask, in one channel and in three."""
    masks = (torch.rand(3, 3, 16, 16, generator=rng) > 0.5).float()
    by = angles(3, 90, rng)
    together = rotate(masks, by, mode)
    for channel in range(3):
        assert torch.equal(rotate(masks[:, channel : channel + 1], by, mode), together[:, channel : channel + 1])
    blobs = torch.zeros(3, 1, 32, 32)
    blobs[..., 8:20, 12:28] = 1
    agree = (rotate(blobs, by) > 0.5) == (rotate(blobs, by, "nearest") > 0.5)
    assert agree.float().mean() > 0.99


def test_items_of_a_batch_are_independent(rng):
    x, by = torch.rand(4, 2, 11, 11, generator=rng), angles(4, 90, rng)
    together = rotate(x, by)
    for item in range(4):
        torch.testing.assert_close(rotate(x[item : item + 1], by[item : item + 1]), together[item : item + 1])


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_mixed_precision_leaves_the_rotation_where_it_is(mode, rng):
    """bfloat16 has 8 significant bits, too few for coordinates of 224 pixels. The training step rotates in autocast."""
    x, by = torch.linspace(-1, 1, 224).expand(2, 1, 224, 224), torch.tensor([0.0, 0.5])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = rotate(x, by, mode)
    torch.testing.assert_close(mixed, rotate(x, by, mode), rtol=0, atol=1e-3)


# ---------------------------------------------------------------------------------------------------------- the angles


def test_angles_fill_their_range(rng):
    drawn = torch.rad2deg(angles(20_000, 90, rng)).numpy()
    assert drawn.shape == (20_000,)
    assert -90 <= drawn.min() < -89.9
    assert 89.9 < drawn.max() <= 90
    assert drawn.mean() == pytest.approx(0, abs=2)
    assert drawn.std() == pytest.approx(180 / math.sqrt(12), rel=0.02)
    assert not angles(5, 0.0, rng).any()


def test_angles_depend_on_the_generator_alone():
    def drawn(seed):
        return angles(6, 15, torch.Generator().manual_seed(seed))

    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = drawn(0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(drawn(0), first)
    assert not torch.equal(drawn(1), first)
