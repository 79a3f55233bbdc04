"""What both layouts of chest radiographs share: grey values and masks from files, labels, resizing, aspect."""

import numpy as np
import pytest
from PIL import Image

from whereabouts.data import chest
from whereabouts.errors import InputError

BOX = np.zeros((30, 40), bool)
BOX[5:12, 8:31] = True
GREY = np.random.default_rng(0).integers(0, 256, (21, 34), np.uint8)


def save(path, array, mode=None, palette=None, **options):
    image = Image.fromarray(array)
    image = image.convert(mode) if mode else image
    if palette:
        image.putpalette(palette)
    image.save(path, **options)
    return path


# Grey values


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_grey_values_are_kept(suffix, tmp_path):
    pixels = chest.read_grey(save(tmp_path / f"a.{suffix}", GREY))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, GREY)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_stored_as_colour_is_grey(mode, tmp_path):
    np.testing.assert_array_equal(chest.read_grey(save(tmp_path / "a.png", GREY, mode)), GREY)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg(mode, tmp_path):
    flat = np.full((16, 16), 100, np.uint8)
    np.testing.assert_array_equal(chest.read_grey(save(tmp_path / "a.jpg", flat, mode)), flat)


def test_what_is_transparent_is_black(tmp_path):
    """The first colour is clear and the second half so; neither is refused as long as it is black."""
    indices, alpha = np.array([[0, 1, 2], [2, 1, 0]], np.uint8), bytes([0, 128, 255])
    path = save(tmp_path / "a.png", indices, None, [0] * 6 + [70] * 3, transparency=alpha)
    np.testing.assert_array_equal(chest.read_grey(path), np.array([0, 0, 70])[indices])
    save(path, indices, None, [0] * 3 + [9] * 3 + [70] * 3, transparency=alpha)
    with pytest.raises(InputError, match=r"a.png: is transparent where it is not black; save it without transparency"):
        chest.read_grey(path)


def test_colour_is_refused(tmp_path):
    pixels = np.repeat(GREY[..., None], 3, axis=2)
    pixels[3, 4, 2] ^= 1
    with pytest.raises(InputError, match=r"a.png: has colours where grey is expected; save it as grey"):
        chest.read_grey(save(tmp_path / "a.png", pixels))


# Masks


@pytest.mark.parametrize("inside", [1, 255])
@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_masks_of_either_value(suffix, inside, tmp_path):
    mask = chest.read_mask(save(tmp_path / f"a.{suffix}", (BOX * inside).astype(np.uint8)))
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, BOX)


@pytest.mark.parametrize("array", [BOX, BOX.astype(np.uint16), BOX.astype(np.uint16) * 65535])
def test_masks_of_one_and_of_sixteen_bits(array, tmp_path):
    np.testing.assert_array_equal(chest.read_mask(save(tmp_path / "a.png", array)), BOX)


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_what_a_palette_displays_counts_and_not_its_index(suffix, tmp_path):
    white_first = [255, 255, 255, 0, 0, 0] + [0, 0, 0] * 254
    path = save(tmp_path / f"a.{suffix}", (~BOX).astype(np.uint8), palette=white_first)
    with Image.open(path) as file:
        assert file.mode == "P"  # or else this test would say nothing
    np.testing.assert_array_equal(chest.read_mask(path), BOX)


def test_an_empty_mask_is_binary(tmp_path):
    assert not chest.read_mask(save(tmp_path / "a.png", np.zeros((4, 4), np.uint8))).any()


@pytest.mark.parametrize(
    ("values", "shown"),
    [((0, 128, 255), "0, 128, 255"), ((0, 1, 2, 3), "0, 1, 2, ..."), ((1, 255), "1, 255"), ((255,), "255")],
)
def test_other_masks_are_refused(values, shown, tmp_path):
    path = save(tmp_path / "a.png", np.resize(np.array(values, np.uint8), (6, 6)))
    with pytest.raises(InputError) as fault:
        chest.read_mask(path)
    assert (
        str(fault.value) == f"{path.as_posix()}: is not binary, it holds {shown}; save it with 0 outside and 255 inside"
    )


# Labels


def test_the_heart_lies_over_both_lungs_and_the_left_lung_over_the_right():
    bits = np.arange(8)[None]  # every combination of right lung, left lung, heart
    masks = {name: (bits >> number & 1).astype(bool) for number, name in enumerate(chest.STRUCTURES)}
    labels = chest.label(dict(reversed(masks.items())))  # whatever the order of the dictionary
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, [[0, 1, 2, 2, 3, 3, 3, 3]])


# Resizing


def disc(shape, centre, radius):
    y, x = np.indices(shape) + 0.5
    return np.hypot(y - centre[0], x - centre[1]) < radius


def centroid(weights):
    """In fractions of the height and of the width."""
    y, x = np.indices(weights.shape) + 0.5
    return np.array([(weights * y).sum() / weights.shape[0], (weights * x).sum() / weights.shape[1]]) / weights.sum()


def test_whole_factors_give_the_mean_of_blocks():
    image = np.random.default_rng(0).random((48, 80)).astype(np.float32)
    small = chest.resize_image(image, 16)
    assert small.dtype == np.float32
    np.testing.assert_allclose(small, image.reshape(16, 3, 16, 5).mean(axis=(1, 3)), rtol=1e-5)


@pytest.mark.parametrize("size", [7, 64, 100])
def test_labels_are_those_at_the_centres_of_the_new_pixels(size):
    labels = np.random.default_rng(0).integers(0, 4, (37, 90), np.uint8)
    centres = (np.arange(size) + 0.5) / size
    expected = labels[np.ix_((centres * 37).astype(int), (centres * 90).astype(int))]
    resized = chest.resize_labels(labels, size)
    assert resized.dtype == np.uint8
    np.testing.assert_array_equal(resized, expected)


@pytest.mark.parametrize("shape", [(2048, 2048), (237, 328), (1024, 851), (61, 47)])
@pytest.mark.parametrize("size", [64, 100])
def test_image_and_labels_stay_aligned(shape, size):
    """Also where the labels have half of the image's pixels, and where there are fewer pixels than asked for."""
    place = np.array([0.4, 0.7])
    half = (shape[0] // 2, shape[1] // 2)
    image = disc(shape, place * shape, 0.2 * min(shape)).astype(np.float32)
    labels = disc(half, place * half, 0.2 * min(half)).astype(np.uint8)
    grey, label = chest.resize_image(image, size), chest.resize_labels(labels, size)
    assert grey.shape == label.shape == (size, size)
    tolerance = 0.25 / size + 0.1 / min(half)  # quarter of a new pixel, tenth of an old one
    np.testing.assert_allclose(centroid(grey), place, atol=tolerance)
    np.testing.assert_allclose(centroid(label), place, atol=tolerance)
    assert ((grey > 0.5) != (label == 1)).mean() < 0.03


def test_a_prepared_radiograph_is_its_image_with_its_masks_as_labels(tmp_path):
    image = np.kron(GREY, np.ones((4, 4), np.uint8))
    masks = dict.fromkeys(chest.STRUCTURES, np.zeros(image.shape, np.uint8))
    masks = {name: mask.copy() for name, mask in masks.items()}
    masks["right lung"][:, :60], masks["left lung"][:, 80:], masks["heart"][40:, 50:90] = 255, 255, 255
    files = {name: save(tmp_path / f"{name}.png", mask) for name, mask in masks.items()}
    one = chest.Radiograph("a", "a", save(tmp_path / "a.png", image), files, "")
    grey, labels = chest.prepare(one, lambda path: chest.read_grey(path) / np.float32(255), 17)
    np.testing.assert_array_equal(grey, chest.resize_image(image / np.float32(255), 17))
    middle = labels[:, [2, 7, 10, 15]]
    assert (middle[0] == [1, 0, 2, 2]).all() and (middle[-1] == [1, 3, 3, 2]).all()


def test_an_enlarged_image_repeats_its_pixels():
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(chest.resize_image(image, 12), np.kron(image, np.ones((4, 3))))


# Aspect


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ((2048, 2048), (1024, 1024), True),
        ((631, 790), (316, 395), True),
        ((100, 200), (200, 100), False),
        ((1000, 1000), (1000, 1009), True),
        ((1000, 1000), (1000, 1012), False),
        ((1000, 1000), (1012, 1000), False),
    ],
)
def test_same_aspect(first, second, same):
    assert chest.same_aspect(first, second) == same


def test_names_that_are_meant_are_looked_up_and_few_are_compared(monkeypatch):
    """With 112,000 radiographs, comparing each with each takes hours."""
    compared = []
    monkeypatch.setattr(chest.difflib, "get_close_matches", lambda name, few, **_: compared.append(len(few)) or [])
    there = [f"{number:05d}_000" for number in range(1, 1000)]
    assert chest.meant([f"{name}.png" for name in there], there) == {f"{name}.png": name for name in there}
    assert not compared
    assert chest.meant([f"other {name}" for name in there], there) == {}
    assert len(compared) == max(compared) == 250
