"""Rotations and other maps of the plane against torch.rot90 and SciPy, and what is drawn at random."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from whereabouts.training.augmentation import affine, angles, rotate, warp

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
        alone = rotate(masks[:, channel : channel + 1], by, mode)
        torch.testing.assert_close(alone, together[:, channel : channel + 1], rtol=0, atol=1e-6)
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


# ------------------------------------------------------------------------------------------------- maps of the plane


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("shape", [(7, 12), (12, 7), (9, 4, 5), (1, 6)])
def test_flips_and_shifts_by_pixels(shape, mode, rng):
    """x is the column and y the row; a shift is a part of the width or of the height."""
    h, w = shape[:2]
    x = torch.randn(2, 3, *shape, generator=rng)

    def check(rows, expected):
        torch.testing.assert_close(warp(x, torch.tensor([rows, rows]), mode), expected, rtol=0, atol=2e-5)

    check([[1.0, 0, 0], [0, 1, 0]], x)
    check([[-1.0, 0, 0], [0, 1, 0]], x.flip(3))
    check([[1.0, 0, 0], [0, -1, 0]], x.flip(2))
    right, below = (torch.arange(n).add(k).clamp(max=n - 1) for n, k in ((w, 2), (h, 3)))
    check([[1, 0, 2 / w], [0, 1, 0]], x[:, :, :, right])  # shows what was two columns further right
    check([[1, 0, 0], [0, 1, 3 / h]], x[:, :, below])


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("shape", [(21, 34), (30, 17), (19, 26, 3)])
def test_warp_is_scipys(shape, order, rng):
    """Random maps, on images that are not square and on volumes slice by slice; nearest up to ties."""
    h, w = shape[:2]
    x, by = torch.rand(6, 2, *shape, generator=rng), affine(6, rng, rotation=60)
    ours = warp(x, by, "bilinear" if order else "nearest").numpy()
    size, centre = np.array([h, w]), np.array([h - 1, w - 1]) / 2
    for item, c in np.ndindex(6, 2):
        matrix = by[item].double().numpy()[::-1, [1, 0, 2]]
        linear, shift = matrix[:, :2], matrix[:, 2] * size  # (row, column), pixels
        offset = centre + shift - linear @ centre
        slices = x[item, c].double().numpy().reshape(h, w, -1)
        for z in range(slices.shape[2]):
            expected = affine_transform(slices[..., z], linear, offset, order=order, mode="nearest")
            different = np.abs(ours[item, c].reshape(h, w, -1)[..., z] - expected) > 1e-4
            assert different.mean() <= (0 if order else 0.005)


def test_slices_of_a_volume_move_alike(rng):
    x, by = torch.rand(3, 2, 10, 14, 4, generator=rng), affine(3, rng)
    together = warp(x, by)
    assert together.shape == x.shape
    for z in range(4):
        torch.testing.assert_close(together[..., z], warp(x[..., z], by), rtol=0, atol=1e-6)
    for item in range(3):
        torch.testing.assert_close(warp(x[item : item + 1], by[item : item + 1])[0], together[item])


def test_labels_stay_labels(rng):
    labels = torch.randint(5, (4, 1, 15, 22, 3), generator=rng).float() * 51
    moved = warp(labels, affine(4, rng), "nearest")
    assert set(moved.unique().tolist()) == {0, 51, 102, 153, 204}
    assert (moved != labels).any()


def test_nothing_moves_where_nothing_may(rng):
    still = affine(5, rng, rotation=0, shift=0, zoom=(1, 1), flips=(0, 0))
    assert torch.equal(still, torch.eye(2, 3).expand(5, -1, -1))
    x = torch.rand(5, 1, 13, 22, 3, generator=rng)
    assert torch.equal(warp(x, still, "nearest"), x)
    torch.testing.assert_close(warp(x, still), x, rtol=0, atol=1e-5)


def test_affine_maps_fill_their_ranges(rng):
    """Each map taken apart again: columns are the turned axes times their zoom, negative where flipped."""
    drawn = affine(20_000, rng, 30, 0.2, (0.5, 0.9), flips=(0.25, 0.75)).double().numpy()
    zoom = np.linalg.norm(drawn[:, :, :2], axis=1)  # (N, 2), of x and of y
    turned = np.degrees(np.arctan2(-drawn[:, 1, 0], drawn[:, 0, 0]))
    columns = np.abs(turned) > 90  # at most 30 degrees are turned
    rows = (np.linalg.det(drawn[:, :, :2]) < 0) != columns
    turned = (turned + 90) % 180 - 90
    np.testing.assert_allclose((drawn[:, :, 0] * drawn[:, :, 1]).sum(1), 0, atol=1e-6)  # no shear
    assert (rows.mean(), columns.mean()) == pytest.approx((0.25, 0.75), abs=0.015)
    for values, low, high in [
        *[(values, 0.5, 0.9) for values in zoom.T],
        *[(values, -0.2, 0.2) for values in drawn[:, :, 2].T],
        (turned, -30, 30),
    ]:
        inside = (values - low) / (high - low)
        assert -1e-5 < inside.min() < 0.001 < 0.999 < inside.max() < 1 + 1e-5
        assert (inside.mean(), inside.std()) == pytest.approx((0.5, 12**-0.5), abs=0.01)
    independent = np.corrcoef([*zoom.T, *drawn[:, :, 2].T, turned, rows, columns])
    assert np.abs(independent - np.eye(7)).max() < 0.04


def test_affine_maps_depend_on_the_generator_alone():
    def drawn(seed):
        return affine(6, torch.Generator().manual_seed(seed))

    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = drawn(0)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(drawn(0), first)
    assert not torch.isclose(drawn(1), first).any()
