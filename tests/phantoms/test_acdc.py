"""The synthetic ACDC: layout, anatomy, image formation and randomness."""

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from equality import global_generators_untouched, hashes
from whereabouts.data import acdc as loader
from whereabouts.data.cardiac import BACKGROUND, LEFT_VENTRICLE, MYOCARDIUM, RIGHT_VENTRICLE
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError
from whereabouts.phantoms import acdc, painting, short_axis

PATIENTS, FRAMES, SEED = 6, 3, 5  # one of each group, and the first again
CROSS = ndimage.generate_binary_structure(2, 1)[..., None, None]  # in-plane face neighbours of (x, y, slices, frames)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    root = tmp_path_factory.mktemp("acdc") / "database"
    acdc.write(root, PATIENTS, FRAMES, np.random.default_rng(SEED))
    return root


@pytest.fixture(scope="module")
def patients(database):
    """Per patient: its header lines, the cine, images (x, y, slices, 2) and labels of end-diastole and -systole."""
    found = []
    for folder in sorted((database / "training").iterdir()):
        info = dict(line.split(": ") for line in (folder / "Info.cfg").read_text(encoding="utf-8").splitlines())
        stems = [f"{folder.name}_frame{int(info[phase]):02d}" for phase in ("ED", "ES")]
        found.append(
            {
                "name": folder.name,
                "files": sorted(path.name for path in folder.iterdir()),
                "info": info,
                "cine": nib.load(folder / f"{folder.name}_4d.nii.gz"),
                "images": [nib.load(folder / f"{stem}.nii.gz") for stem in stems],
                "labels": [nib.load(folder / f"{stem}_gt.nii.gz") for stem in stems],
            }
        )
        found[-1]["truth"] = np.stack([np.asarray(image.dataobj) for image in found[-1]["labels"]], -1)
    return found


def ejection(patient):
    diastole, systole = (patient["truth"] == LEFT_VENTRICLE).sum((0, 1, 2))
    return 1 - systole / diastole


def test_layout(patients):
    assert [patient["name"] for patient in patients] == [f"patient{n:03d}" for n in range(1, PATIENTS + 1)]
    for patient in patients:
        name, info = patient["name"], patient["info"]
        frames = [f"{name}_frame{int(info[phase]):02d}" for phase in ("ED", "ES")]
        expected = ["Info.cfg", f"{name}_4d.nii.gz"]
        expected += [f"{frame}{suffix}.nii.gz" for frame in frames for suffix in ("", "_gt")]
        assert patient["files"] == sorted(expected)


def test_info(patients):
    for patient in patients:
        info = patient["info"]
        assert list(info) == ["ED", "ES", "Group", "Height", "NbFrame", "Weight"]
        assert info["ED"] != info["ES"]
        assert {int(info["ED"]), int(info["ES"])} <= set(range(1, FRAMES + 1))
        assert int(info["NbFrame"]) == FRAMES == patient["cine"].shape[3]
        assert 140 < float(info["Height"]) < 215
        assert 40 < float(info["Weight"]) < 140
    assert [patient["info"]["Group"] for patient in patients] == [*acdc.GROUPS, acdc.GROUPS[0]]


def test_official_loader_reads_it(database, patients):
    read = loader.read(Manifest.of("ACDC", "synthetic", database))
    assert [(patient.name, patient.group, patient.ed, patient.es) for patient in read] == [
        (patient["name"], patient["info"]["Group"], int(patient["info"]["ED"]), int(patient["info"]["ES"]))
        for patient in patients
    ]


def test_frames_are_those_of_the_cine(patients):
    for patient in patients:
        cine = np.asarray(patient["cine"].dataobj)
        for phase, image in zip(("ED", "ES"), patient["images"], strict=True):
            np.testing.assert_array_equal(np.asarray(image.dataobj), cine[..., int(patient["info"][phase]) - 1])


def test_types_and_grids(patients):
    for patient in patients:
        cine = patient["cine"]
        across, down, slices, _ = cine.shape
        x, y, z, seconds = cine.header.get_zooms()
        assert cine.get_data_dtype() == np.int16
        assert cine.header.get_xyzt_units() == ("mm", "sec")
        assert np.asarray(cine.dataobj).min() >= 0
        assert across != down
        assert 6 <= slices <= 18
        assert 1.37 <= x <= 1.68
        assert x == y
        assert 5 <= z <= 10
        assert 290 <= max(across, down) * x <= 380
        assert 0.7 < seconds * FRAMES < 1.2
        for image in (*patient["images"], *patient["labels"]):
            assert image.shape == (across, down, slices)
            np.testing.assert_array_equal(image.affine, cine.affine)
        assert all(labels.get_data_dtype() == np.uint8 for labels in patient["labels"])
        assert set(np.unique(patient["truth"])) == {BACKGROUND, RIGHT_VENTRICLE, MYOCARDIUM, LEFT_VENTRICLE}


def test_ejection_fractions(patients):
    low, high = {}, {}
    for patient in patients:
        group = patient["info"]["Group"]
        low[group] = min(low.get(group, 1), ejection(patient))
        high[group] = max(high.get(group, 0), ejection(patient))
    assert 0.5 < low["NOR"] <= high["NOR"] < 0.75
    assert 0.08 < low["DCM"] <= high["DCM"] < 0.32
    assert 0.25 < low["MINF"] <= high["MINF"] < 0.5
    assert high["DCM"] < low["MINF"] <= high["MINF"] < low["NOR"]
    assert low["HCM"] > 0.55
    for patient in patients:
        diastole, systole = (patient["truth"] == RIGHT_VENTRICLE).sum((0, 1, 2))
        assert 0 < systole < diastole


def test_groups_show_in_the_anatomy(patients):
    volumes = {}
    for patient in patients:
        voxel = np.prod(patient["cine"].header.get_zooms()[:3]) / 1000  # ml
        diastole = [
            voxel * (patient["truth"][..., 0] == label).sum() for label in (RIGHT_VENTRICLE, MYOCARDIUM, LEFT_VENTRICLE)
        ]
        volumes.setdefault(patient["info"]["Group"], []).append(diastole)
    right, muscle, left = np.array([np.mean(volumes[group], 0) for group in acdc.GROUPS]).T
    assert 90 < left[0] < 220
    assert acdc.GROUPS[left.argmax()] == "DCM"
    assert acdc.GROUPS[(muscle / left).argmax()] == "HCM"
    assert acdc.GROUPS[right.argmax()] == "RV"


def test_myocardium_encloses_the_left_cavity(patients):
    for patient in patients:
        truth = patient["truth"][:, :, 1:]  # the outflow tract may interrupt the basal ring
        around = ndimage.binary_dilation(truth == LEFT_VENTRICLE, CROSS) & (truth != LEFT_VENTRICLE)
        assert around.any()
        assert (truth[around] == MYOCARDIUM).all()
        assert (truth[[0, -1]] == 0).all()
        assert (truth[:, [0, -1]] == 0).all()


def test_the_heart_tapers_from_slice_0(patients):
    for patient in patients:
        truth = patient["truth"][..., 0]
        third = truth.shape[2] // 3
        for present in (truth > 0, truth == LEFT_VENTRICLE):
            areas = present.sum((0, 1))
            base, middle, apex = areas[1 : 1 + third].mean(), areas[third:-third].mean(), areas[-third:].mean()
            assert apex < 0.7 * middle
            assert apex < 0.7 * base


def test_contrast(patients):
    for patient in patients:
        image, truth = np.asarray(patient["images"][0].dataobj, float), patient["truth"][..., 0]
        low, high = np.percentile(image, (5, 95))
        image = np.clip((image - low) / (high - low), 0, 1)
        right, muscle, left = (image[truth == label].mean() for label in (RIGHT_VENTRICLE, MYOCARDIUM, LEFT_VENTRICLE))
        assert 0.1 < muscle < 0.5
        assert left > muscle + 0.25
        assert right > muscle + 0.2


@pytest.mark.parametrize(("frames", "diastole", "systole"), [(2, 0, 1), (30, 0, 11), (25, 20, 4)])
def test_contraction(frames, diastole, systole):
    beat = np.roll(short_axis.contraction(frames, diastole, systole), -diastole)
    end = (systole - diastole) % frames
    assert beat[0] == 0
    assert beat[end] == pytest.approx(1)
    assert (np.diff(beat[: end + 1]) > 0).all()
    assert (np.diff(beat[end:]) < 0).all()
    assert np.abs(np.diff(beat)).max() <= max(1 / end, 0.3)  # no jumps


def test_muscle_keeps_its_area():
    heart = short_axis.Heart.sample("HCM", np.random.default_rng(0))
    (inside, outside), (smaller, squeezed) = heart.radii(0.4, 0.0), heart.radii(0.4, 1.0)
    np.testing.assert_allclose(squeezed**2 - smaller**2, 1.12 * (outside**2 - inside**2), rtol=1e-5)
    assert (squeezed - smaller > outside - inside).all()  # the wall thickens


def test_scar_stays_thin_and_still():
    heart = short_axis.Heart.sample("MINF", np.random.default_rng(0))
    angle, _, extent = heart.scar
    assert extent == 1
    scar = np.abs(np.angle(np.exp(1j * (short_axis.ANGLES - angle)))).argmin()
    remote = (scar + len(short_axis.ANGLES) // 2) % len(short_axis.ANGLES)
    (inside, outside), (smaller, _) = heart.radii(0.4, 0.0), heart.radii(0.4, 1.0)
    assert smaller[scar] > 0.99 * inside[scar]
    assert smaller[remote] < 0.85 * inside[remote]
    assert (outside - inside)[scar] < 0.75 * (outside - inside)[remote]


def test_blend_keeps_the_area_of_a_disc():
    image = np.zeros((64, 64), np.float32)
    y, x = np.mgrid[:64, :64] - np.array([31.3, 30.8])[:, None, None]
    painting.blend(image, np.hypot(x, y) - 11.4, 2.0, 2.0)
    assert image.sum() == pytest.approx(2 * np.pi * 11.4**2, rel=0.005)
    assert image.max() == 2


def test_smooth_fields():
    fields = painting.smooth(np.random.default_rng(0), (2, 40, 61, 83), 4.0, 2.0)
    assert fields.shape == (2, 40, 61, 83)
    assert fields.std() == pytest.approx(1, abs=0.03)
    near = (fields[..., 1:] * fields[..., :-1]).mean()
    far = (fields[..., 20:] * fields[..., :-20]).mean()
    assert near > 0.9
    assert abs(far) < 0.05


def of_first(database, patients=1):
    """Hashes of the first patients of the database."""
    names = tuple(f"training/patient{n + 1:03d}/" for n in range(patients))
    return {name: digest for name, digest in hashes(database).items() if name.startswith(names)}


def test_same_seed_same_bytes(database, tmp_path):
    """Whatever follows, and with a variety of 0, which is the default."""
    with global_generators_untouched():
        acdc.write(tmp_path / "alone", 1, FRAMES, np.random.default_rng(SEED), variety=0)
    acdc.write(tmp_path / "other", 1, 2, np.random.default_rng(SEED + 1))
    alone, other = hashes(tmp_path / "alone"), hashes(tmp_path / "other")
    assert len(alone) == len(other) == 6
    assert alone == of_first(database)
    assert not set(other.values()) & set(hashes(database).values())


@pytest.fixture(scope="module")
def tinted(tmp_path_factory):
    """The first two patients with a variety of 0.8."""
    root = tmp_path_factory.mktemp("tinted")
    acdc.write(root, 2, FRAMES, np.random.default_rng(SEED), variety=0.8)
    return root


def test_variety_changes_images_and_nothing_else(tinted, database, tmp_path):
    plain, other = of_first(database, 2), hashes(tinted)
    acdc.write(tmp_path, 1, FRAMES, np.random.default_rng(SEED), variety=0.8)
    assert hashes(tmp_path) == of_first(tinted)
    assert plain.keys() == other.keys()
    assert {name for name in plain if plain[name] == other[name]} == {
        name for name in plain if "_gt" in name or "Info" in name
    }
    for path in tinted.rglob("*.nii.gz"):
        files = nib.load(path), nib.load(database / path.relative_to(tinted))
        assert files[0].header.binaryblock == files[1].header.binaryblock


def test_patients_differ_in_tone_and_shading(tinted, database):
    """In logarithms, an image is a multiple of what it was, plus a plane: fitted by least squares."""
    found = []
    for patient in ("patient001", "patient002"):
        path = f"training/{patient}/{patient}_4d.nii.gz"
        files = [nib.load(root / path) for root in (database, tinted)]
        before, after = (np.asarray(file.dataobj, float) for file in files)
        x, y, *_ = np.indices(before.shape) * files[0].header.get_zooms()[0] / 100
        sure = (before > 30) & (after > 30)  # where rounding does not matter
        terms = np.stack([np.log(before[sure]), x[sure], y[sure], np.ones(sure.sum())], 1)
        solution, (rest,), _, _ = np.linalg.lstsq(terms, np.log(after[sure]))
        assert np.sqrt(rest / sure.sum()) < 0.01
        found.append((np.log(solution[0]), np.hypot(*solution[1:3])))
    (tone, steep), (other, steeper) = found
    assert 0.05 < abs(tone) < 0.8 and 0.05 < abs(other) < 0.8 and abs(tone - other) > 0.1
    assert 0 < steep < 0.8 and 0 < steeper < 0.8 and abs(steep - steeper) > 0.02


def test_one_frame_is_no_cine(tmp_path):
    with pytest.raises(InputError, match="frames: 1 is too few for a cine; give at least 2"):
        acdc.write(tmp_path, 1, 1, np.random.default_rng(0))
    assert not list(tmp_path.iterdir())
