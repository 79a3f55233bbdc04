"""The synthetic QMRI and BOLD studies: layout, orientation, anatomy, and what sets CP-BOLD apart from its cine."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from equality import global_generators_untouched, hashes
from whereabouts.data import studies
from whereabouts.data.cardiac import BACKGROUND, LEFT_VENTRICLE, MYOCARDIUM, RIGHT_VENTRICLE
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError
from whereabouts.files import sha256
from whereabouts.phantoms import cine, short_axis
from whereabouts.phantoms.short_axis import ANGLES, Heart, Scan
from whereabouts.phantoms.torso import Torso

PLANE = ndimage.generate_binary_structure(2, 2)[..., None]  # in-plane neighbours of (x, y, slices)
BEATS = np.array([0.0, 0.6, 1.0])
CONTRAST = 0.4
SEED = 5


@pytest.fixture(scope="module")
def volunteers(tmp_path_factory):
    root = tmp_path_factory.mktemp("qmri")
    cine.write_qmri(root, 2, 2, np.random.default_rng(SEED))
    return root


@pytest.fixture(scope="module")
def canines(tmp_path_factory):
    root = tmp_path_factory.mktemp("bold")
    cine.write_bold(root, 3, 3, CONTRAST, np.random.default_rng(SEED))
    return root


@pytest.fixture(scope="module")
def drawn():
    """Three mid-ventricular slices drawn with and without each of two oxygenations; no noise in `bare`."""
    rng = np.random.default_rng(3)
    heart = replace(Heart.sample("NOR", rng), direction=np.pi, open_base=False, labelled_from=(0, 0))
    torso = Torso.sample(rng)
    scan = Scan((120, 110, 3), 1.4, 0.0, (0.0, 0.0), (1.1, 1.0), 0.4, 0.0, 0, last=0.55, first=0.35)
    even = np.repeat([[1.2], [1.0], [1.5]], len(ANGLES), axis=1)
    sector = np.tile(1 + 0.5 * (np.abs(ANGLES - np.pi / 3) < 0.5), (3, 1))

    def draw(factors, noise):
        return short_axis.draw(heart, torso, replace(scan, noise=noise), BEATS, np.random.default_rng(0), factors)

    return {
        "labels": draw(None, 0.0)[1],
        "bare": [draw(factors, 0.0)[0] for factors in (None, even, sector)],
        "noisy": [draw(factors, 0.02)[0] for factors in (None, even, sector)],
        "oxygenation": [None, even, sector],
    }


def load(path):
    return np.asarray(nib.load(path).dataobj)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def bearing(labels):
    """Of each voxel from the left ventricle's centre, in the same slice: 0 to the image's left, pi / 2 upwards."""
    result = np.zeros(labels.shape)
    for k in range(labels.shape[2]):
        x, y = np.indices(labels.shape[:2]) - np.reshape(
            ndimage.center_of_mass(np.isin(labels[..., k], (2, 3))), (2, 1, 1)
        )
        result[..., k] = np.arctan2(-y, -x)
    return result


# QMRI


def test_layout_and_grids_of_qmri(volunteers):
    assert names(volunteers) == ["volunteer01", "volunteer02"]
    for folder in volunteers.iterdir():
        assert names(folder) == ["cine_frame01.nii.gz", "cine_frame01_gt.nii.gz", "cine_frame02.nii.gz"]
        images = [nib.load(folder / name) for name in names(folder)]
        assert [image.get_data_dtype() for image in images] == [np.int16, np.uint8, np.int16]
        for image in images:
            assert image.shape[:2] == (256, 208) and 11 <= image.shape[2] <= 18
            np.testing.assert_allclose(image.header.get_zooms(), (1.406, 1.406, 6), rtol=1e-6)
            assert image.header.get_xyzt_units()[0] == "mm"
            np.testing.assert_array_equal(image.affine, images[0].affine)
        assert set(np.unique(images[1].dataobj)) == {BACKGROUND, MYOCARDIUM, LEFT_VENTRICLE}


def test_variety_of_scanners_changes_images_and_nothing_else(volunteers, tmp_path):
    cine.write_qmri(tmp_path, 1, 2, np.random.default_rng(SEED), variety=0.8)
    plain, other = (
        {name: root / "volunteer01" / name for name in names(tmp_path / "volunteer01")}
        for root in (volunteers, tmp_path)
    )
    assert {name for name in plain if sha256(plain[name]) == sha256(other[name])} == {"cine_frame01_gt.nii.gz"}
    before, after = (load(found["cine_frame01.nii.gz"]).astype(float) for found in (plain, other))
    assert before.shape == after.shape


def test_the_loader_reads_both(volunteers, canines):
    found = studies.read(Manifest.of("QMRI", "synthetic", volunteers))
    assert [(study.subject, study.sequence, list(study.frames)) for study in found] == [
        ("volunteer01", "cine", [1, 2]),
        ("volunteer02", "cine", [1, 2]),
    ]
    assert all(study.frames[1][1] and not study.frames[2][1] for study in found)
    found = studies.read(Manifest.of("BOLD", "synthetic", canines))
    assert [(study.subject, study.sequence) for study in found] == [
        (f"canine{number:02d}", sequence) for number in (1, 2, 3) for sequence in ("bold", "cine")
    ]
    assert all(truth for study in found for _, truth in study.frames.values())


def test_slices_cover_the_ventricle_of_a_healthy_heart(volunteers):
    for folder in volunteers.iterdir():
        labels = load(folder / "cine_frame01_gt.nii.gz")
        cavity = (labels == LEFT_VENTRICLE).sum((0, 1))
        assert cavity[1] > 0.7 * cavity.max() and cavity[-1] < 0.1 * cavity.max()
        assert (np.diff(cavity[len(cavity) // 2 :]) <= 0).all()
        assert 80 < cavity.sum() * 1.406**2 * 6 / 1000 < 230  # ml
        inside = labels[:, :, 1:]  # the outflow tract may interrupt the basal ring
        around = ndimage.binary_dilation(inside == LEFT_VENTRICLE, PLANE) & (inside != LEFT_VENTRICLE)
        assert (inside[around] == MYOCARDIUM).mean() > 0.99


def test_canonical_orientation(volunteers):
    """The heart is near the centre, the bright right ventricle on the image's left, dark lung on its right."""
    for folder in volunteers.iterdir():
        image, labels = (load(folder / f"cine_frame01{kind}.nii.gz") for kind in ("", "_gt"))
        k = image.shape[2] // 3
        heart = labels[..., k] > 0
        x, y = ndimage.center_of_mass(heart)
        assert np.hypot(x - 127.5, y - 103.5) * 1.406 < 20  # mm
        x, y, beyond = round(x), round(y), round(np.sqrt(heart.sum() / np.pi)) + 8
        left, right = image[x - beyond - 6 : x - beyond, y - 4 : y + 4, k], image[x + beyond :, y - 4 : y + 4, k][:6]
        assert left.mean() > 2 * right.mean()


# BOLD


def test_layout_and_grids_of_bold(canines):
    assert names(canines) == ["canine01", "canine02", "canine03"]
    for folder in canines.iterdir():
        assert names(folder) == sorted(
            f"{sequence}_frame{frame:02d}{kind}.nii.gz"
            for sequence in ("cine", "bold")
            for frame in (1, 2, 3)
            for kind in ("", "_gt")
        )
        for name in names(folder):
            image = nib.load(folder / name)
            assert image.shape[:2] == (192, 114) and 1 <= image.shape[2] <= 3
            np.testing.assert_allclose(image.header.get_zooms(), (1.25, 1.25, 8), rtol=1e-6)
            if "_gt" in name:
                values, areas = np.unique(image.dataobj, return_counts=True)
                assert values.tolist() == [BACKGROUND, MYOCARDIUM, LEFT_VENTRICLE]
                assert RIGHT_VENTRICLE not in values
                if "frame01" in name:  # end-diastole
                    assert (
                        14 < np.sqrt(areas[2] / image.shape[2] * 1.25**2 / np.pi) < 24
                    )  # mm, radius of a dog's cavity


def test_a_pair_differs_in_the_myocardium_alone(canines):
    for folder in canines.iterdir():
        for frame in (1, 2, 3):
            plain, bold = (load(folder / f"{sequence}_frame{frame:02d}.nii.gz") for sequence in ("cine", "bold"))
            labels, same = (load(folder / f"{sequence}_frame{frame:02d}_gt.nii.gz") for sequence in ("cine", "bold"))
            np.testing.assert_array_equal(labels, same)
            wall = labels == MYOCARDIUM
            changed = plain != bold
            assert not changed[~ndimage.binary_dilation(wall, PLANE, 2)].any()
            assert changed[wall].mean() > 0.8 and bold[wall].mean() > 1.1 * plain[wall].mean()


def test_signal_rises_in_systole_but_less_in_the_ischaemic_territory(canines):
    for folder in canines.iterdir():
        rise = {}
        for frame in (1, 2, 3):
            plain, bold = (load(folder / f"{sequence}_frame{frame:02d}.nii.gz") for sequence in ("cine", "bold"))
            labels = load(folder / f"cine_frame{frame:02d}_gt.nii.gz")
            wall = ndimage.binary_erosion(labels == MYOCARDIUM, PLANE)
            away = np.abs(np.angle(np.exp(1j * (bearing(labels) - np.pi / 3))))  # from the territory's middle
            for region, where in (("ischaemic", away < 0.5), ("healthy", away > 2.2)):
                rise.setdefault(region, []).append(bold[wall & where].mean() / plain[wall & where].mean())
        for diastole, *_ in rise.values():
            assert diastole == pytest.approx(1 + CONTRAST / 2, abs=0.02)
        assert max(rise["healthy"]) == pytest.approx(1 + CONTRAST, abs=0.04)
        assert max(rise["ischaemic"]) < 1 + 0.75 * CONTRAST


def test_beyond_the_wall_no_bit_changes(drawn):
    """Before rounding, with noise: equal bits but for the wall and the 2 mm to 3.2 mm of its soft edge."""
    near = ndimage.binary_dilation(drawn["labels"] == MYOCARDIUM, PLANE[..., None], 2)
    plain, *others = drawn["noisy"]
    for image in others:
        np.testing.assert_array_equal(image[~near].view(np.uint32), plain[~near].view(np.uint32))
        assert (image[near] != plain[near]).mean() > 0.1
    np.testing.assert_array_equal(others[0][..., 1], plain[..., 1])  # factor 1 changes nothing at all


def test_within_the_wall_the_signal_is_multiplied(drawn):
    deep = ndimage.binary_erosion(drawn["labels"] == MYOCARDIUM, PLANE[..., None], 2)
    plain, even, sector = drawn["bare"]
    for frame, factor in enumerate((1.2, 1.0, 1.5)):
        where = deep[..., frame]
        assert where.sum() > 100
        np.testing.assert_allclose(even[..., frame][where], factor * plain[..., frame][where], rtol=1e-5)
    ratio, towards = sector / plain, bearing(drawn["labels"][..., 2])
    middle = deep[..., 2] & (np.abs(towards - np.pi / 3) < 0.35)
    opposite = deep[..., 2] & (np.abs(towards - np.pi / 3) > 0.65)
    assert middle.sum() > 30
    np.testing.assert_allclose(ratio[..., 2][middle], 1.5, rtol=1e-5)
    np.testing.assert_array_equal(ratio[..., 2][opposite], 1)


def test_oxygenation():
    factors = cine.oxygenation(BEATS, 0.4, severity=1)
    assert factors.shape == (3, len(ANGLES))
    middle, remote = np.abs(ANGLES - np.pi / 3).argmin(), np.abs(ANGLES + 2 * np.pi / 3).argmin()
    np.testing.assert_allclose(factors[0], 1.2)  # end-diastole: the same everywhere
    np.testing.assert_allclose(factors[:, remote], [1.2, 1.32, 1.4], atol=1e-6)
    np.testing.assert_allclose(factors[:, middle], 1.2, atol=1e-3)  # no rise
    half = np.abs(ANGLES[:, None] - np.array([0, 2 * np.pi / 3])).argmin(0)  # AHA segments 7 and 8: 120 degrees
    np.testing.assert_allclose(factors[2, half], 1.3, atol=0.01)
    np.testing.assert_allclose(cine.oxygenation(BEATS, 0.4, severity=0).std(1), 0, atol=1e-12)
    np.testing.assert_array_equal(cine.oxygenation(BEATS, 0, severity=1), 1)


def test_first_level_of_a_scan():
    """One slice at level 0.9 shows less heart than one at 0.4, with the same generator."""
    heart = replace(Heart.sample("NOR", np.random.default_rng(0)), open_base=False, labelled_from=(0, 0))
    torso = Torso.sample(np.random.default_rng(1))
    scan = Scan((100, 100, 1), 1.6, 0.0, (0.0, 0.0), (1.1, 1.0), 0.4, 0.02, 0, last=1.0)
    areas = []
    for first in (0.4, 0.9):
        _, labels = short_axis.draw(heart, torso, replace(scan, first=first), BEATS[:1], np.random.default_rng(2))
        areas.append((labels == LEFT_VENTRICLE).sum())
    assert 0 < areas[1] < 0.4 * areas[0]


# Randomness and bad input


def write_one(kind, folder, seed):
    if kind == "qmri":
        cine.write_qmri(folder, 1, 2, np.random.default_rng(seed))
    else:
        cine.write_bold(folder, 1, 3, CONTRAST, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", ["qmri", "bold"])
def test_same_seed_same_bytes(kind, volunteers, canines, tmp_path):
    """And a subject does not depend on how many follow."""
    with global_generators_untouched():
        write_one(kind, tmp_path / "alone", SEED)
    write_one(kind, tmp_path / "other", SEED + 1)
    many = hashes({"qmri": volunteers, "bold": canines}[kind])
    alone, other = (hashes(tmp_path / folder) for folder in ("alone", "other"))
    assert alone == {name: digest for name, digest in many.items() if "01/" in name}
    assert len(alone) == len(other) and not set(other.values()) & set(many.values())


def test_one_frame_is_no_cine(tmp_path):
    with pytest.raises(InputError, match="frames: 1 is too few for a cine; give at least 2"):
        cine.write_qmri(tmp_path, 1, 1, np.random.default_rng(0))
    with pytest.raises(InputError, match="frames: 0 is too few for a cine; give at least 2"):
        cine.write_bold(tmp_path, 1, 0, 0.3, np.random.default_rng(0))
    assert not list(tmp_path.iterdir())
