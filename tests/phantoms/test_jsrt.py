"""The synthetic JSRT with SCR's masks: layout, anatomy, image formation and randomness."""

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from equality import global_generators_untouched, hashes
from whereabouts.data import jsrt as loader
from whereabouts.data.chest import STRUCTURES
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError
from whereabouts.phantoms import jsrt, thorax
from whereabouts.phantoms.thorax import Thorax

NAMES = ["JPCLN001", "JPCLN002", "JPCNN001", "JPCNN002"]  # 4 * 154 / 247 is nearest to 2
SEED = 5
SCR = ["heart", "left clavicle", "left lung", "right clavicle", "right lung"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jsrt")
    jsrt.write(folder, len(NAMES), np.random.default_rng(SEED))
    return folder


@pytest.fixture(scope="module")
def films(root):
    """Per name: what is displayed, (1024, 1024), by averaging stored values; and the masks, (1024, 1024) bool."""

    def mask(kind, name):
        with Image.open(mask_path(root, kind, name)) as image:
            return np.asarray(image.convert("L")) > 0

    found = {}
    for name in NAMES:
        stored = np.fromfile(root / "All247images" / f"{name}.IMG", ">u2").reshape(1024, 2, 1024, 2)
        found[name] = 1 - stored.mean((1, 3)) / 4095, {kind: mask(kind, name) for kind in SCR}
    return found


@pytest.fixture(scope="module")
def patients():
    """Eight patients and their masks."""
    rngs = np.random.default_rng(11).spawn(8)
    found = [Thorax.sample(rng) for rng in rngs]
    return [(one, thorax.draw(one, False, rng)[2]) for one, rng in zip(found, rngs, strict=True)]


def mask_path(root, kind, name):
    return root / "SCR" / f"fold{2 - int(name[-1]) % 2}" / "masks" / kind / f"{name}.gif"


def columns(mask):
    """First and last column of a mask."""
    return np.flatnonzero(mask.any(0))[[0, -1]]


def rows(mask):
    return np.flatnonzero(mask.any(1))[[0, -1]]


# Layout


def test_layout(root):
    expected = {f"All247images/{name}.IMG" for name in NAMES}
    expected |= {mask_path(root, kind, name).relative_to(root).as_posix() for kind in SCR for name in NAMES}
    assert set(hashes(root)) == expected
    assert {path.parts[1] for path in map(type(root), expected) if "1.gif" in path.name} == {"fold1"}


@pytest.mark.parametrize(("images", "nodules"), [(1, 1), (2, 1), (72, 45), (247, 154)])
def test_names(images, nodules, monkeypatch, tmp_path):
    written = []
    monkeypatch.setattr(jsrt, "_write_image", lambda root, *facts: written.append(facts[:-1]))
    jsrt.write(tmp_path, images, np.random.default_rng(0))
    expected = [("LN", number) for number in range(1, nodules + 1)]
    expected += [("NN", number) for number in range(1, images - nodules + 1)]
    assert written == [(f"JPC{kind}{n:03d}", 1 if n % 2 else 2, kind == "LN") for kind, n in expected]


def test_images_are_big_endian_of_12_bits(root):
    for name in NAMES:
        content = (root / "All247images" / f"{name}.IMG").read_bytes()
        assert len(content) == 2048 * 2048 * 2
        stored = np.frombuffer(content, ">u2")
        assert stored.max() <= 4095
        assert np.frombuffer(content, "<u2").max() > 4095
        assert np.isin(stored, (0, 4095)).mean() < 0.01
        assert np.ptp(np.percentile(stored, (2, 98))) > 1500  # the range is used
        assert len(np.unique(stored)) > 2500


def test_masks_are_binary_gif(root):
    for kind in SCR:
        for name in NAMES:
            with Image.open(mask_path(root, kind, name)) as image:
                assert image.format == "GIF"
                assert image.size == (1024, 1024)
                assert set(np.unique(np.asarray(image.convert("L")))) == {0, 255}


def test_the_real_loader_reads_it(root, films):
    found = loader.read(Manifest.of("JSRT", "synthetic", root))
    assert [one.name for one in found] == NAMES
    for one in found:
        assert set(one.masks) == set(STRUCTURES)
        image = loader.image(one.image).reshape(1024, 2, 1024, 2).mean((1, 3))
        np.testing.assert_allclose(image, films[one.name][0], atol=1e-5)


# Anatomy


def test_sides_are_the_patients(patients):
    for _, masks in patients:
        for pair in ("lung", "clavicle"):
            assert columns(masks[f"right {pair}"])[1] < columns(masks[f"left {pair}"])[0]
        midline = (columns(masks["right lung"])[1] + columns(masks["left lung"])[0]) / 2
        right, left = columns(masks["heart"])
        assert left - midline > midline - right > 20  # its apex points to the patient's left


def test_right_dome_is_the_higher(patients):
    for one, _ in patients[:2]:
        one = replace(one, angle=0.0)
        _, _, masks = thorax.draw(one, False, np.random.default_rng(0))
        places = one.pixels(np.array([(-0.85 * one.half, 0), (0.85 * one.half, 0)]))
        columns = [masks[f"{side} lung"][:, round(x)] for side, (x, _) in zip(thorax.SIDES, places, strict=True)]
        right, left = (np.flatnonzero(column)[-1] for column in columns)
        assert (left - right) * 0.35 == pytest.approx(one.domes[1] - one.domes[0], abs=0.8)  # mm


def test_heart_lies_between_the_lungs(patients):
    for _, masks in patients:
        heart, lungs = masks["heart"], masks["right lung"] | masks["left lung"]
        assert not (heart & lungs).any()
        assert not (masks["right lung"] & masks["left lung"]).any()
        ratio = np.ptp(columns(heart)) / np.ptp(columns(lungs))  # cardiothoracic
        assert 0.37 < ratio < 0.58
        assert rows(lungs)[0] + 100 < rows(heart)[0]
        assert rows(heart)[1] < rows(lungs)[1] + 60


def test_masks_are_whole_and_on_the_film(patients):
    for _, masks in patients:
        for mask in masks.values():
            assert ndimage.label(mask, np.ones((3, 3)))[1] == 1
            assert not mask[[0, -1]].any()
            assert not mask[:, [0, -1]].any()
        area = {kind: mask.mean() for kind, mask in masks.items()}
        assert 0.06 < area["left lung"] < area["right lung"] < 0.25  # the heart takes its place on the left
        assert 0.04 < area["heart"] < 0.16
        assert 0.003 < area["left clavicle"] < 0.03


def test_patients_differ_as_much_as_in_jsrt(patients):
    """Murase 2020, Table 1: the averaged mask has a Dice of .81."""
    kinds = ("right lung", "left lung", "heart")
    truth = np.array([[masks[kind][8::16, 8::16] for kind in kinds] for _, masks in patients])
    labels = np.concatenate([~truth.any(1, keepdims=True), truth], 1).astype(float)
    mean = labels.mean(0).argmax(0)
    guess = np.array([mean == number for number in (1, 2, 3)])
    dice = 2 * (guess & truth).sum((2, 3)) / (guess.sum((1, 2)) + truth.sum((2, 3)))
    assert 0.75 < dice.mean() < 0.92
    assert dice.std() > 0.02
    centres = np.array([ndimage.center_of_mass(masks["heart"]) for _, masks in patients])
    assert (centres.std(0) > 10).all()  # pixels of 0.35 mm


def test_outlines_keep_the_measures():
    one = Thorax.sample(np.random.default_rng(0))
    one = replace(one, jitter=np.zeros_like(one.jitter))
    outlines = one.outlines()
    assert np.abs(outlines["right"][:, 0]).max() == pytest.approx(one.half, rel=0.01)
    np.testing.assert_allclose(outlines["right"] * (-1, 1), outlines["left"])  # mirrored
    assert outlines["left"][:, 1].min() == pytest.approx(one.apex, abs=2)
    right, left = -outlines["heart"][:, 0].min(), outlines["heart"][:, 0].max()
    assert (right, left) == pytest.approx(one.reach, rel=0.02)
    x = np.linspace(-0.98, 0.98, 197) * one.half
    y = one.diaphragm(x)
    assert y[x < 0].min() == pytest.approx(one.domes[0])
    assert y[x > 0].min() == pytest.approx(one.domes[1])
    assert y[[0, -1]] - one.domes == pytest.approx(one.recess, rel=0.01)


def test_pixels_and_grid_are_inverse():
    one = replace(Thorax.sample(np.random.default_rng(0)), angle=0.3, shift=(20, -5))
    x, y = one.grid(thorax.SIDE)
    chosen = np.array([(0, 0), (10, 700), (1023, 512)])  # column, row
    points = np.stack([x[chosen[:, 1], chosen[:, 0]], y[chosen[:, 1], chosen[:, 0]]], 1)
    np.testing.assert_allclose(one.pixels(points), chosen, atol=1e-3)


# Images


def test_contrast(films):
    for image, masks in films.values():
        lungs, heart = masks["right lung"] | masks["left lung"], masks["heart"]
        top, bottom = rows(lungs)[0] + 40, rows(heart)[0]
        left, right = columns(masks["right lung"])[1], columns(masks["left lung"])[0]
        mediastinum = image[top:bottom, left : right + 1]
        dark, bright = image[lungs].mean(), image[heart].mean()
        assert 0.25 < dark < 0.6
        assert mediastinum.mean() > dark + 0.08
        assert 0.15 < bright - dark < 0.45  # moderate, as on film


def test_masks_agree_with_the_image(films):
    """The image's edges are strongest along the borders of the lungs' masks: more than where these are shifted."""
    shifts = [(down, across) for down in range(-8, 9, 2) for across in range(-8, 9, 2)]
    for image, masks in films.values():
        edges = ndimage.gaussian_gradient_magnitude(image, 1.5)
        for kind in ("right lung", "left lung"):
            mask = masks[kind]
            row, column = np.nonzero(mask & ~ndimage.binary_erosion(mask))
            strength = [edges[row + down, column + across].mean() for down, across in shifts]
            assert np.abs(shifts[np.argmax(strength)]).max() <= 2  # pixels


def test_clavicles_are_bright(films):
    for image, masks in films.values():
        for side in ("right", "left"):
            mask = masks[f"{side} clavicle"] & masks[f"{side} lung"]
            around = ndimage.binary_dilation(mask, iterations=12) & masks[f"{side} lung"] & ~mask
            assert image[mask].mean() > image[around].mean() + 0.015


def test_nodule_is_a_small_bump_in_the_chest():
    for seed in range(2):
        one = Thorax.sample(np.random.default_rng(seed))
        (plain, bone, _), (bumped, same, _) = (thorax.draw(one, on, np.random.default_rng(7)) for on in (False, True))
        bump = bumped - plain
        u, v, radius, density = one.nodule
        assert bump.max() == pytest.approx(2 * radius * density, rel=0.03)
        area = (bump > 1e-3).sum() * 0.7**2  # mm
        assert area == pytest.approx(np.pi * radius**2, rel=0.1)
        assert abs(u) < 0.9 and 0 < v < 1
        np.testing.assert_array_equal(bone, same)


def test_film():
    attenuation = np.full((512, 512), 3.0, np.float32)
    attenuation[:, :100], attenuation[:, -100:] = 0, 20
    density = jsrt.film(attenuation, np.random.default_rng(0))
    assert (density.shape, density.dtype) == ((2048, 2048), np.float32)
    assert 0.02 < density.min() < density.max() < 0.98
    bands = [density[200:-200, columns] for columns in (slice(100, 300), slice(900, 1100), slice(-300, -100))]
    assert bands[0].mean() > bands[1].mean() + 0.2 > bands[2].mean() + 0.2
    even = jsrt.film(np.full_like(attenuation, 4), np.random.default_rng(0))[900:1100, 900:1100]
    assert 0.001 < even.std() < 0.03
    blocks = even.reshape(100, 2, 100, 2).mean((1, 3))
    assert even.var() / blocks.var() == pytest.approx(4, rel=0.1)  # the noise of pixels is independent


# Randomness


def test_same_seed_same_bytes_however_many_follow(root, tmp_path):
    """But for the nodule, which the second patient has among four and not among two."""
    with global_generators_untouched():
        jsrt.write(tmp_path / "two", 2, np.random.default_rng(SEED))
    jsrt.write(tmp_path / "other", 1, np.random.default_rng(SEED + 1))
    many, few, other = hashes(root), hashes(tmp_path / "two"), hashes(tmp_path / "other")
    assert not set(other.values()) & set(many.values())
    first = {name for name in few if "JPCLN001" in name}
    assert len(first) == 6
    assert all(few[name] == many[name] for name in first)
    for kind in SCR:
        two = mask_path(tmp_path / "two", kind, "JPCNN001")
        assert two.read_bytes() == mask_path(root, kind, "JPCLN002").read_bytes()
    pair = [tmp_path / "two/All247images/JPCNN001.IMG", root / "All247images/JPCLN002.IMG"]
    without, within = (np.fromfile(path, ">u2").astype(int) for path in pair)
    changed = np.abs(within - without) > 40
    assert 0 < changed.mean() < 0.01


@pytest.mark.parametrize("images", [-1, 0, 248])
def test_numbers_that_jsrt_does_not_have(images, tmp_path):
    message = re.escape(f"images: {images} is out of range; give 1 to 247")
    with pytest.raises(InputError, match=message):
        jsrt.write(tmp_path, images, np.random.default_rng(0))
    assert not list(tmp_path.iterdir())
