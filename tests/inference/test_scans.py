"""Scans through networks whose answer is known voxel by voxel: NumPy and SciPy in place of windows and grids."""

from copy import deepcopy
from itertools import product

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from whereabouts.data.scan import Scan
from whereabouts.inference.scans import masks, padded, scan_logits, standardised, windows
from whereabouts.models.unet3d import InsideUNet3D, UNet3D
from whereabouts.training.loop import build

pytestmark = pytest.mark.usefixtures("on_the_cpu")


@pytest.fixture
def rng():
    return np.random.default_rng(12)


def volume(rng, shape):
    """Intensities like those of CT, no two alike, as a tensor."""
    return torch.from_numpy(rng.normal(-300, 400, shape).astype(np.float32))


def scan(image):
    """A scan as prepared; inference must not look at its labels."""
    return Scan("case", image.numpy(), np.zeros(image.shape, np.uint8), (2.0, 2.0, 2.0))


def voxelwise(classes=3, seed=0):
    """A network that judges each voxel by itself: a 1x1x1 convolution."""
    return build(lambda: nn.Conv3d(1, classes, 1), seed)


def numpy_standardised(x):
    x = x.astype(np.float64)
    return (x - x.mean()) / x.std()


def numpy_logits(model, image, sides):
    """What `voxelwise` says of an image (X, Y, Z) that is filled up to `sides` and standardised."""
    missing = [max(0, side - n) for n, side in zip(image.shape, sides, strict=True)]
    around = np.pad(image.numpy(), [(n // 2, n - n // 2) for n in missing], constant_values=image.numpy().min())
    place = tuple(slice(n // 2, n // 2 + length) for n, length in zip(missing, image.shape, strict=True))
    weight, bias = (part.detach().numpy().reshape(-1, 1, 1, 1) for part in (model.weight, model.bias))
    return weight * numpy_standardised(around)[place] + bias


class Told(nn.Module):
    """Answers with what `answer` makes of the image (B, 1, X, Y, Z) and the facts, and keeps what it was given."""

    def __init__(self, answer):
        super().__init__()
        self.answer, self.seen = answer, []

    def forward(self, x, *facts):
        self.seen.append((x, *facts))
        return self.answer(x, *facts)


# ------------------------------------------------------------------------------------------- filled up, standardised


@pytest.mark.parametrize(
    ("shape", "wanted", "before"),
    [
        ((5, 4, 3), (8, 8, 8), (1, 2, 2)),
        ((1, 16, 7), (16, 16, 8), (7, 0, 0)),
        ((9, 3, 20), (4, 4, 4), (0, 0, 0)),
        ((4, 4, 4), (4, 4, 4), (0, 0, 0)),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_padded(shape, wanted, before, dtype, rng):
    """An odd margin has its larger half at the end; longer axes stay as long as they are."""
    x = torch.from_numpy(rng.integers(10, 200, shape)).to(dtype)
    result, place = padded(x, wanted, 7)
    after = [max(0, side - n) - b for n, side, b in zip(shape, wanted, before, strict=True)]
    expected = np.pad(x.numpy(), list(zip(before, after, strict=True)), constant_values=7)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, expected)
    assert [part.start for part in place] == list(before)
    assert torch.equal(result[place], x)


@pytest.mark.parametrize("shape", [(16, 16, 16), (7, 13, 1), (2, 1, 1)])
@pytest.mark.parametrize(("offset", "factor"), [(0, 1), (-1000, 300), (40, 1e-2)])
def test_standardised(shape, offset, factor, rng):
    x = torch.from_numpy((offset + factor * rng.normal(size=shape)).astype(np.float32))
    np.testing.assert_allclose(standardised(x), numpy_standardised(x.numpy()), atol=2e-3 if factor < 1 else 2e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, -1024.3, 1e6])
@pytest.mark.parametrize("shape", [(16, 16, 16), (17, 9, 5), (1, 1, 1)])
def test_a_volume_of_one_intensity_becomes_0(value, shape):
    assert not standardised(torch.full(shape, value)).any()


# -------------------------------------------------------------------------------------------------------------- windows


def test_windows_cover_and_overlap_by_half():
    """Every length from 1 to 3.5 windows, even and odd ones, along an axis of its own."""
    for side in (1, 2, 3, 8, 15, 16):
        for length in range(side, 7 * side // 2 + 1):
            found = windows((5, length, side), (5, side, side))
            assert len(set(map(str, found))) == len(found)
            assert all(part[0] == slice(0, 5) and part[2] == slice(0, side) for part in found)
            starts = np.array([part[1].start for part in found])
            assert all(part[1].stop == start + side for part, start in zip(found, starts, strict=True))
            assert (starts[0], starts[-1]) == (0, length - side)
            gaps = np.diff(starts)
            half = max(1, side // 2)
            assert all(1 <= gap <= half for gap in gaps)
            assert np.ptp(gaps) <= 1 if len(gaps) else length == side  # as evenly as whole voxels allow
            assert len(found) == 1 + np.ceil((length - side) / half)  # and no more than needed


@pytest.mark.parametrize("seed", range(8))
def test_windows_in_three_axes_are_all_combinations(seed):
    rng = np.random.default_rng(seed)
    window = rng.integers(1, 7, 3)
    shape = window + rng.integers(0, 12, 3)
    found = windows(tuple(shape.tolist()), tuple(window.tolist()))
    count = np.zeros(shape, int)
    for part in found:
        assert count[part].shape == tuple(window)
        count[part] += 1
    assert count.min() >= 1
    axes = [sorted({part[axis].start for part in found}) for axis in range(3)]
    assert sorted(tuple(part[axis].start for axis in range(3)) for part in found) == list(product(*axes))


def test_a_volume_as_large_as_the_window_is_one_window():
    assert windows((32, 16, 48), (32, 16, 48)) == [(slice(0, 32), slice(0, 16), slice(0, 48))]


# --------------------------------------------------------------------------------------------------------- whole scans


@pytest.mark.parametrize(
    ("shape", "window", "sides"),
    [
        ((32, 16, 48), (), (32, 16, 48)),
        ((17, 16, 1), (), (32, 16, 16)),  # not multiples of 16
        ((10, 5, 15), (16, 16, 16), (16, 16, 16)),  # smaller than the window
        ((33, 7, 21), (16, 16, 16), (16, 16, 16)),  # larger along two axes
        ((40, 32, 25), (16, 32, 16), (16, 32, 16)),
    ],
)
def test_logits_of_single_voxels_are_numpys(shape, window, sides, rng):
    """Intensities are standardised over the whole volume as filled up, not window by window."""
    model, image = voxelwise(), volume(rng, shape)
    before = image.clone()
    model.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    seen = []
    result = scan_logits(model, image, window)
    assert result.dtype == torch.float32 and not result.requires_grad
    assert result.shape == (3, *shape)
    np.testing.assert_allclose(result, numpy_logits(model, image, sides), atol=1e-5)
    assert set(seen) == {(1, 1, *sides)}
    assert torch.equal(image, before)


@pytest.mark.parametrize("shape", [(32, 48, 32), (48, 16, 64)])
def test_windows_and_one_piece_agree_where_voxels_are_judged_alone(shape, rng):
    model, image = voxelwise(), volume(rng, shape)
    torch.testing.assert_close(scan_logits(model, image, (16, 16, 32)), scan_logits(model, image), rtol=0, atol=1e-5)


def test_a_scan_as_large_as_the_window_is_judged_in_one_piece(rng):
    """By a network that looks around, that would answer otherwise in training, and that learns nothing from it."""
    model, image = build(lambda: UNet3D(3, [2, 2, 4, 4, 4]), 0).train(), volume(rng, (16, 32, 16))
    before = deepcopy(model.state_dict())
    result = scan_logits(model, image, (16, 32, 16))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with torch.no_grad():
        torch.testing.assert_close(result, model.eval()(standardised(image)[None, None])[0], rtol=0, atol=1e-5)
        assert not torch.allclose(result, model.train()(standardised(image)[None, None])[0])


def test_where_windows_overlap_the_mean_counts(rng):
    """Of answers that are a voxel's place in the window, along each of the axes."""

    def places(x):
        return torch.stack(torch.meshgrid(*(torch.arange(n) for n in x.shape[2:]), indexing="ij"))[None].float()

    model, shape, window = Told(places), (22, 16, 35), (16, 16, 16)
    result = scan_logits(model, volume(rng, shape), window)
    starts = [[0, 6], [0], [0, 6, 13, 19]]  # 19/3 = 6.33 apart
    assert len(model.seen) == 2 * 1 * 4
    for axis, (length, row) in enumerate(zip(shape, starts, strict=True)):
        expected = [np.mean([i - s for s in row if s <= i < s + 16]) for i in range(length)]
        along = result[axis].movedim(axis, 0).reshape(length, -1)
        np.testing.assert_allclose(along, np.repeat(np.array(expected)[:, None], along.shape[1], 1), rtol=1e-6)


def test_windows_show_their_own_part_of_the_volume(rng):
    """Were they exchanged, an answer that is the image would come back shuffled."""
    image = volume(rng, (40, 24, 16))
    result = scan_logits(Told(lambda x: x), image, (16, 16, 16))
    np.testing.assert_allclose(result[0], numpy_standardised(image.numpy()), atol=1e-5)


def test_facts_are_given_to_every_window(rng):
    z = torch.tensor([0.0, 1.0, 0.0])
    model = Told(lambda x, z: x * z.sum())
    scan_logits(model, volume(rng, (20, 16, 16)), (16, 16, 16), z)
    assert len(model.seen) == 2
    assert all(torch.equal(facts, z[None]) for _, facts in model.seen)
    asked = build(lambda: InsideUNet3D(2, [2, 2, 4, 4, 4], condition=3), 0)
    image = volume(rng, (16, 16, 16))
    with torch.no_grad():
        expected = asked.eval()(standardised(image)[None, None], z[None])[0]
    torch.testing.assert_close(scan_logits(asked, image, z=z), expected, rtol=0, atol=1e-5)


# ---------------------------------------------------------------------------------------------------------------- masks


def clear(logits):
    """Where the two most probable classes are further apart than rounding reaches: nearly everywhere."""
    top = np.sort(logits, axis=0)
    found = top[-1] - top[-2] > 1e-4
    assert found.mean() > 0.99
    return found


def one_class_each(classes):
    """Logits -|x - c| of classes c = 0, 1, ...: the most probable one is that which the intensity is nearest to."""
    return Told(lambda x: torch.cat([-(x - c).abs() for c in range(classes)], 1))


@pytest.mark.parametrize("window", [(), (16, 16, 16)])
def test_masks_are_where_a_class_is_most_probable(window, rng):
    image = volume(rng, (20, 16, 18))
    found = masks(voxelwise(4), scan(image), 3, window)
    sides = window or (32, 16, 32)
    logits = numpy_logits(voxelwise(4), image, sides)
    labels, sure = logits.argmax(0), clear(logits)
    assert found.dtype == torch.bool and found.device.type == "cpu"
    np.testing.assert_array_equal(found.numpy()[:, sure], np.stack([labels == value for value in (1, 2, 3)])[:, sure])
    assert np.ptp(labels) > 0


@pytest.mark.parametrize("shape", [(40, 31, 9), (16, 32, 16), (7, 5, 50)])
def test_masks_on_the_scans_own_grid(shape, rng):
    """Logits, not labels, are interpolated, between the centres of voxels that cover the same field of view."""
    model, image = voxelwise(4), volume(rng, (16, 32, 16))
    found = masks(model, scan(image), 3, shape=shape)
    factors = [m / n for n, m in zip(image.shape, shape, strict=True)]
    logits = [
        ndimage.zoom(part, factors, order=1, mode="nearest", grid_mode=True)
        for part in numpy_logits(model, image, image.shape)
    ]
    sure = clear(logits)
    assert found.shape == (3, *shape)
    expected = np.stack([np.argmax(logits, axis=0) == value for value in (1, 2, 3)])
    np.testing.assert_array_equal(found.numpy()[:, sure], expected[:, sure])


@pytest.mark.parametrize("only", [(0, 2), (0, 3, 1), (0, 1, 2, 3)])
@pytest.mark.parametrize("shape", [(), (20, 11, 16)])
def test_masks_of_some_labels_only(only, shape, rng):
    """Other labels are neither found nor do they win where they are the most probable."""
    image = volume(rng, (16, 16, 16))
    found = masks(one_class_each(4), scan(image), 3, shape=shape, only=only)
    x = numpy_standardised(image.numpy())
    logits = np.stack([-np.abs(x - c) for c in range(4)])
    if shape:
        factors = [m / n for n, m in zip(image.shape, shape, strict=True)]
        logits = [ndimage.zoom(part, factors, order=1, mode="nearest", grid_mode=True) for part in logits]
    labels = np.array(only)[np.argmax([logits[value] for value in only], axis=0)]
    expected = np.stack([labels == value for value in (1, 2, 3)])
    assert (found.numpy() != expected).mean() < 1e-3
    assert [mask.any().item() for mask in found] == [value in only for value in (1, 2, 3)]


@pytest.mark.parametrize("window", [(), (16, 16, 16)])
def test_masks_of_a_network_that_is_asked(window, rng):
    """Each structure by its own question; structures that overlap are both found."""
    thresholds = torch.tensor([-1.0, 0.0, 0.5])
    model = Told(lambda x, z: torch.cat([torch.zeros_like(x), x - z @ thresholds], 1))
    image = volume(rng, (32, 16, 16))
    found = masks(model, scan(image), 3, window, asked=True)
    x = numpy_standardised(image.numpy())
    for mask, value in zip(found.numpy(), thresholds.numpy(), strict=True):
        sure = np.abs(x - value) > 1e-4
        np.testing.assert_array_equal(mask[sure], (x > value)[sure])
    assert found.dtype == torch.bool and found.sum(0).max() == 3
    assert {tuple(x.shape[2:]) for x, _ in model.seen} == {window or (32, 16, 16)}
    asked = torch.stack([facts[0] for _, facts in model.seen])
    assert torch.equal(asked, torch.eye(3).repeat_interleave(len(model.seen) // 3, 0))


def test_masks_of_a_network_that_is_asked_on_the_scans_own_grid(rng):
    model = Told(lambda x, z: torch.cat([torch.zeros_like(x), x + z[0, 1]], 1))
    image = volume(rng, (16, 16, 16))
    found = masks(model, scan(image), 2, shape=(25, 16, 9), asked=True)
    factors = [25 / 16, 1, 9 / 16]
    logits = ndimage.zoom(numpy_standardised(image.numpy()), factors, order=1, mode="nearest", grid_mode=True)
    assert found.shape == (2, 25, 16, 9)
    for mask, shift in zip(found.numpy(), (0, 1), strict=True):
        sure = np.abs(logits + shift) > 1e-4
        np.testing.assert_array_equal(mask[sure], (logits + shift > 0)[sure])
