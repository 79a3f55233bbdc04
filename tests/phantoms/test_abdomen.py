"""The synthetic abdomen: anatomy, image, its two layouts read back by nibabel, pydicom and our loaders, randomness."""

import itertools
import json

import nibabel as nib
import numpy as np
import pydicom
import pytest
from nibabel.orientations import aff2axcodes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from scipy import ndimage

from equality import global_generators_untouched, hashes
from phantom_volumes import CODES, check_bad_arguments, check_pair, most_uniform
from whereabouts.data import decathlon as decathlon_loader
from whereabouts.data import pancreas_ct as pancreas_loader
from whereabouts.data.manifest import Manifest
from whereabouts.phantoms import abdomen, abdominal_organs, decathlon, pancreas_ct
from whereabouts.phantoms.abdomen import POPULATIONS, Abdomen
from whereabouts.phantoms.abdominal_organs import COILS, NODES, Bowel, Solid
from whereabouts.phantoms.whole_heart import Space

CASES, STEP, SEED = 4, 6.0, 3
SPLEEN, PANCREAS, KIDNEYS = 1, 2, 3
FACES = ndimage.generate_binary_structure(3, 1)
OFFICIAL = ("name", "description", "reference", "licence", "release", "tensorImageSize", "modality", "labels")
OFFICIAL += ("numTraining", "numTest", "training", "test")


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    folder = tmp_path_factory.mktemp("decathlon")
    decathlon.write(folder, CASES, STEP, np.random.default_rng(SEED))
    return folder


@pytest.fixture(scope="module")
def tcia(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tcia")
    pancreas_ct.write(folder, CASES, STEP, np.random.default_rng(SEED))
    return folder


@pytest.fixture(scope="module")
def volumes(task):
    """Image and label files, and both as (x, y, z) arrays whose axes run to the right, front and head."""
    found = []
    for path in sorted((task / decathlon.TASK / "imagesTr").iterdir()):
        pair = [nib.load(path), nib.load(task / decathlon.TASK / "labelsTr" / path.name)]
        found.append((*pair, *(np.asarray(nib.as_closest_canonical(file).dataobj) for file in pair)))
    return found


@pytest.fixture(scope="module")
def series(tcia):
    """Per case: name, slices sorted by position, (column, row, slice) HU, labels as stored."""
    found = []
    for folder in sorted((tcia / "Pancreas-CT").iterdir()):
        slabs = [pydicom.dcmread(path) for path in folder.rglob("*.dcm")]
        slabs.sort(key=lambda slab: slab.ImagePositionPatient[2])
        hu = [slab.pixel_array.T * int(slab.RescaleSlope) + int(slab.RescaleIntercept) for slab in slabs]
        label = nib.load(tcia / "TCIA_pancreas_labels-02-05-2017" / f"label{folder.name[-4:]}.nii.gz")
        found.append((folder, slabs, np.stack(hu, -1), label))
    return found


@pytest.fixture(scope="module")
def patients():
    """Per population: patient, HU, labels, and size of voxels, mm; axes run to the left, back and head."""
    found = {}
    for population in POPULATIONS:
        children = np.random.default_rng(SEED + 1).spawn(6)
        people = [Abdomen.sample(child, population) for child in children]
        found[population] = [
            (person, *abdomen.scan(person, STEP, rng)) for person, rng in zip(people, children, strict=True)
        ]
    return found


def dice(first, second):
    return 2 * (first & second).sum() / (first.sum() + second.sum())


# Decathlon


def test_list_agrees_with_files(task):
    content = json.loads((task / "Task99_Abdomen" / "dataset.json").read_text(encoding="utf-8"))
    assert set(content) == set(OFFICIAL)
    assert content["labels"] == {"0": "background", "1": "spleen", "2": "pancreas", "3": "kidneys"}
    assert content["modality"] == {"0": "CT"}
    assert (content["numTraining"], content["numTest"], content["test"]) == (CASES, 0, [])
    assert all("ynthetic" in content[key] for key in ("description", "reference", "release"))
    names = [f"abdomen_{number:03d}.nii.gz" for number in range(1, CASES + 1)]
    assert content["training"] == [{"image": f"./imagesTr/{n}", "label": f"./labelsTr/{n}"} for n in names]
    listed = {entry[kind].removeprefix("./") for entry in content["training"] for kind in ("image", "label")}
    assert set(hashes(task / "Task99_Abdomen")) == listed | {"dataset.json"}


def test_types_and_grids(volumes):
    for image, label, _, truth in volumes:
        check_pair(image, label, np.uint8, STEP, slices=1.5)
        slices = image.header.get_zooms()[2]
        np.testing.assert_allclose(np.multiply(image.shape, image.header.get_zooms()), (288, 192, 192), atol=slices / 2)
        assert set(np.unique(truth)) == {0, SPLEEN, PANCREAS, KIDNEYS}


def test_affine_says_where_organs_are(volumes):
    for _, label, _, _ in volumes:
        places = {
            value: nib.affines.apply_affine(label.affine, np.argwhere(np.asarray(label.dataobj) == value))
            for value in (SPLEEN, PANCREAS, KIDNEYS)
        }
        spleen, pancreas, kidneys = (place.mean(0) for place in places.values())
        assert kidneys[0] - spleen[0] > 50  # the spleen lies to the left,
        assert pancreas[1] - kidneys[1] > 15  # the pancreas in front,
        assert spleen[2] - kidneys[2] > 25  # and the kidneys lowest


@pytest.mark.parametrize("axes", CODES)
def test_turning_a_volume_moves_nothing(axes):
    array, zooms, isocentre = np.arange(60).reshape(3, 4, 5).astype(np.int16), (2.0, 2.0, 3.0), np.array([5.0, 6, 7])
    image = decathlon._turned(array, zooms, isocentre, axes)
    assert "".join(aff2axcodes(image.affine)) == axes
    turned = np.asarray(image.dataobj)
    for index in np.ndindex(array.shape):
        middle = (np.array(index) - (1, 1.5, 2)) * zooms * (-1, -1, 1)
        found = nib.affines.apply_affine(image.affine, np.argwhere(turned == array[index])[0])
        np.testing.assert_allclose(found, middle - isocentre, atol=1e-5)


def test_volumes_are_drawn_from_spawned_generators(volumes):
    for child, (image, _, voxels, truth) in zip(np.random.default_rng(SEED).spawn(2), volumes, strict=False):
        drawn, labels, zooms = abdomen.scan(Abdomen.sample(child, "gastric"), STEP, child)
        np.testing.assert_array_equal(voxels, drawn[::-1, ::-1])
        np.testing.assert_array_equal(truth, labels[::-1, ::-1])
        np.testing.assert_allclose(image.header.get_zooms(), zooms)


def test_orientations_vary(tmp_path, monkeypatch):
    block = np.zeros((3, 4, 5), np.int16)
    monkeypatch.setattr(abdomen, "scan", lambda *_: (block, block.astype(np.uint8), (2.0, 2.0, 3.0)))
    decathlon.write(tmp_path, 10, 8.0, np.random.default_rng(1))
    codes = ["".join(aff2axcodes(nib.load(path).affine)) for path in tmp_path.rglob("imagesTr/*")]
    assert set(codes) == {"RAS", "LPS", "LAS"}


def test_decathlon_loader_reads_it(task, volumes):
    manifest = Manifest.of("abdomen", "synthetic", task)
    found = decathlon_loader.read(manifest, "Task99_Abdomen")
    assert found.structures == ("spleen", "pancreas", "kidneys")
    for case, (_, _, voxels, truth) in zip(found.cases, volumes, strict=True):
        scan = decathlon_loader.load(case, found.structures)
        np.testing.assert_array_equal(scan.image, voxels)
        np.testing.assert_array_equal(scan.labels, truth)


# Pancreas-CT


def test_layout(tcia, series):
    names = [folder.relative_to(tcia).as_posix() for folder, *_ in series]
    assert names == [f"Pancreas-CT/PANCREAS_{number:04d}" for number in range(1, CASES + 1)]
    for folder, slabs, _, _ in series:
        (study,) = folder.iterdir()
        (inner,) = study.iterdir()
        assert (study.name, inner.name) == (slabs[0].StudyInstanceUID, slabs[0].SeriesInstanceUID)
        assert {path.name for path in inner.iterdir()} == {f"1-{n:03d}.dcm" for n in range(1, len(slabs) + 1)}
    labels = {path.name for path in (tcia / "TCIA_pancreas_labels-02-05-2017").iterdir()}
    assert labels == {f"label{number:04d}.nii.gz" for number in range(1, CASES + 1)}


def test_withdrawn_numbers_are_left_out():
    assert len(pancreas_ct.NUMBERS) == 999
    assert not {25, 70} & set(pancreas_ct.NUMBERS)
    assert pancreas_ct.NUMBERS[:24] == list(range(1, 25))
    assert pancreas_ct.NUMBERS[79] == 82  # TCIA's 80 cases go up to there


def test_headers(series):
    for folder, slabs, hu, _ in series:
        for slab in slabs:
            assert slab.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
            assert slab.SOPClassUID == slab.file_meta.MediaStorageSOPClassUID == CTImageStorage
            assert slab.SOPInstanceUID == slab.file_meta.MediaStorageSOPInstanceUID
            assert slab.PatientID == folder.name
            assert "Synthetic" in str(slab.PatientName)
            assert slab.Modality == "CT"
            assert slab.ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
            assert (slab.RescaleSlope, slab.RescaleIntercept) == (1, -1024)
            assert (slab.Columns, slab.Rows) == hu.shape[:2]
            assert slab.PixelSpacing[0] == slab.PixelSpacing[1]
            assert 0.9 * STEP - 1e-3 <= slab.PixelSpacing[0] <= 1.1 * STEP + 1e-3
            for tag in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
                assert slab[tag].value.is_valid
        assert len({slab.SOPInstanceUID for slab in slabs}) == len(slabs)
        assert len({slab.SeriesInstanceUID for slab in slabs}) == 1
    for tag in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({slabs[0][tag].value for _, slabs, _, _ in series}) == CASES


def test_no_dates(series):
    for _, slabs, _, _ in series:
        for element in itertools.chain(slabs[0].iterall(), slabs[0].file_meta):
            assert element.VR not in ("DA", "DT", "TM") or not element.value


def test_slices_lie_side_by_side_in_no_order_of_names(series):
    for _, slabs, _, _ in series:
        places = np.array([slab.ImagePositionPatient for slab in slabs])
        np.testing.assert_allclose(np.diff(places[:, 2]), slabs[0].SliceThickness, atol=2e-4)
        assert not np.ptp(places[:, :2], axis=0).any()
        assert [slab.InstanceNumber for slab in slabs] == list(range(len(slabs), 0, -1))
        names = [slab.filename for slab in slabs]
        assert names != sorted(names)
        assert names != sorted(names, reverse=True)
        assert 0.9 - 1e-3 <= slabs[0].SliceThickness / slabs[0].PixelSpacing[0] <= 1.1 + 1e-3


def test_files_hold_what_was_drawn(series):
    for child, (_, _, hu, label) in zip(np.random.default_rng(SEED).spawn(2), series, strict=False):
        voxels, truth, zooms = abdomen.scan(Abdomen.sample(child, "healthy"), STEP, child)
        np.testing.assert_array_equal(hu, voxels)
        assert label.get_data_dtype() == np.uint8
        np.testing.assert_array_equal(np.asarray(label.dataobj), truth == PANCREAS)
        np.testing.assert_allclose(label.header.get_zooms(), zooms)


def test_affine_of_labels_is_not_that_of_the_images(series):
    for _, slabs, _, label in series:
        signs = np.sign(np.diag(label.affine)[:3])
        assert (signs < 0).sum() == 1
        assert signs.tolist() != [-1, -1, 1]  # as DICOM's axes would be
        np.testing.assert_array_equal(label.affine, np.diag(np.diag(label.affine)))
        assert np.abs(slabs[0].ImagePositionPatient).max() > 1


def test_labels_lie_on_soft_tissue_as_they_are_only(series):
    shares = []
    for _, _, hu, label in series:
        truth, soft = np.asarray(label.dataobj) == 1, (hu >= 0) & (hu <= 200)
        flips = [axes for count in range(4) for axes in itertools.combinations(range(3), count)]
        shares.append([soft[np.flip(truth, axes)].mean() for axes in flips])
    shares = np.array(shares)
    assert (shares[:, 0] > 0.9).all()
    assert (shares[:, 1:] < shares[:, :1]).all()


def test_pancreas_ct_loader_reads_it(tcia, series):
    cases = pancreas_loader.read(Manifest.of("pancreas_ct", "synthetic", tcia))
    for case, (folder, _, hu, label) in zip(cases, series, strict=True):
        scan = pancreas_loader.load(case)
        assert case.name == folder.name
        np.testing.assert_array_equal(scan.image, hu[::-1, ::-1])
        np.testing.assert_array_equal(scan.labels, np.asarray(label.dataobj)[::-1, ::-1])


# Anatomy


def test_volumes_are_physiological(patients):
    limits = {SPLEEN: (80, 350), PANCREAS: (30, 150), KIDNEYS: (170, 450)}
    typical = {SPLEEN: (150, 300), PANCREAS: (50, 120), KIDNEYS: (230, 400)}
    for people in patients.values():
        for value, (low, high) in limits.items():
            found = [(truth == value).sum() * np.prod(zooms) / 1000 for _, _, truth, zooms in people]  # mL
            assert low < min(found) < max(found) < high, value
            assert typical[value][0] < np.median(found) < typical[value][1], value


def test_organs_are_whole(patients):
    for people in patients.values():
        for _, _, truth, _ in people:
            parts = np.sort(np.bincount(ndimage.label(truth == KIDNEYS, FACES)[0].ravel())[1:])[::-1]
            assert parts[:2].sum() > 0.97 * parts.sum()
            assert parts[1] > 0.5 * parts[0]
            for value in (SPLEEN, PANCREAS):
                parts = np.bincount(ndimage.label(truth == value, np.ones((3, 3, 3)))[0].ravel())[1:]
                assert parts.max() > 0.9 * parts.sum(), value
            edge = np.ones(truth.shape, bool)
            edge[1:-1, 1:-1, 1:-1] = False
            assert not np.isin(truth[edge], (SPLEEN, PANCREAS)).any()


def test_pancreas_goes_from_the_right_to_the_spleen(patients):
    for people in patients.values():
        for person, _, truth, zooms in people:
            places = (np.argwhere(truth == PANCREAS) - (np.array(truth.shape) - 1) / 2) * zooms
            assert places[:, 0].min() < -20
            assert places[:, 0].max() > 45
            away = ndimage.distance_transform_edt(truth != SPLEEN, sampling=zooms)[truth == PANCREAS]
            assert away.min() < 35
            line = person.organs.pancreas.line
            assert line[0, 2] < line[-1, 2]  # the tail is higher than the head


def test_stomach_lies_before_the_pancreas():
    for population in POPULATIONS:
        for rng in np.random.default_rng(2).spawn(8):
            organs = Abdomen.sample(rng, population).organs
            line = Space(*np.float32(organs.pancreas.line.T))
            assert (organs._stomach(line) > 8.9).all()  # mm


def test_pancreas_varies_most(patients):
    """Spleens and kidneys of different patients overlap more."""
    for people in patients.values():
        shape = np.min([truth.shape for _, _, truth, _ in people], axis=0)
        overlaps = {}
        for value in (SPLEEN, PANCREAS, KIDNEYS):
            masks = []
            for _, _, truth, _ in people:
                first = (np.array(truth.shape) - shape) // 2
                masks.append(truth[tuple(slice(f, f + n) for f, n in zip(first, shape, strict=True))] == value)
            overlaps[value] = np.mean([dice(*pair) for pair in itertools.combinations(masks, 2)])
        assert overlaps[PANCREAS] < 0.35
        assert min(overlaps[SPLEEN], overlaps[KIDNEYS]) > overlaps[PANCREAS] + 0.1


def test_intensity_alone_does_not_find_the_pancreas(patients):
    for people in patients.values():
        for _, voxels, truth, _ in people:
            median = np.median(voxels[truth == PANCREAS])
            alike = (np.abs(voxels - median) < 20) & (truth == 0)
            assert alike.sum() > 3 * (truth == PANCREAS).sum()


def test_tissues_are_in_hounsfield_units(patients):
    for people in patients.values():
        for _, voxels, truth, _ in people:
            assert voxels.dtype == np.int16
            assert voxels.min() >= -1024
            assert (voxels[[0, -1], 0] < -900).all()  # corners are air
            top, bottom = voxels[..., -2], voxels[..., 1]
            middle = slice(voxels.shape[0] // 4, -(voxels.shape[0] // 4)), slice(voxels.shape[1] // 4, -6)
            assert ((top[middle] < -700) & (top[middle] > -950)).mean() > 0.1  # lung
            assert (bottom[middle] > -750).mean() > 0.9  # none
            assert ((voxels > -150) & (voxels < -70)).mean() > 0.05  # fat
            assert (voxels > 300).mean() > 0.0005  # bone
            for value in (SPLEEN, PANCREAS):
                soft = (voxels[truth == value] >= 0) & (voxels[truth == value] <= 200)
                assert soft.mean() > 0.9
            assert np.median(voxels[truth == KIDNEYS]) > np.median(voxels[truth == SPLEEN])


def test_populations_differ(patients):
    def measure(population, value):
        return np.array([np.median(voxels[truth == value]) for _, voxels, truth, _ in patients[population]])

    assert measure("healthy", PANCREAS).min() > measure("gastric", PANCREAS).max()
    for person, *_ in patients["gastric"]:
        assert person.tissue.pancreas < person.tissue.liver + 5
        assert person.tissue.artery < person.tissue.portal + 20
    for person, *_ in patients["healthy"]:
        assert person.tissue.pancreas > person.tissue.liver + 5
        assert person.tissue.artery > person.tissue.portal + 20
    assert min(person.noise for person, *_ in patients["gastric"]) > max(
        person.noise for person, *_ in patients["healthy"]
    )
    widths = {
        population: np.mean([person.organs.stomach.radii.max() for person, *_ in people])
        for population, people in patients.items()
    }
    assert widths["gastric"] > 1.2 * widths["healthy"]
    thick = {population: np.mean([person.slab for person, *_ in people]) for population, people in patients.items()}
    assert thick["gastric"] > thick["healthy"] + 0.1


def test_noise_and_texture(patients):
    for people in patients.values():
        for person, voxels, truth, _ in people:
            inside = ndimage.binary_erosion(truth == SPLEEN, FACES)
            values = voxels[inside]
            spread = np.subtract(*np.quantile(values, (0.75, 0.25))) / 1.349
            assert spread == pytest.approx(np.hypot(person.noise, person.tissue.texture), rel=0.35)
            assert np.median(values) == pytest.approx(person.tissue.spleen, abs=5)


def test_tissues_are_warped():
    """In several scans of one person, organs do not lie equally far from each other."""
    person = Abdomen.sample(np.random.default_rng(0), "gastric")
    found = []
    for rng in np.random.default_rng(1).spawn(4):
        _, truth, zooms = abdomen.scan(person, STEP, rng)
        spleen, kidneys = (np.argwhere(truth == value).mean(0) * zooms for value in (SPLEEN, KIDNEYS))
        found.append(spleen - kidneys)
    spread = np.std(found, axis=0)
    assert (spread > 0.5).all()
    assert (spread < 6).all()


def test_labels_agree_with_the_image(patients):
    """The spleen is most uniform in the image where its label lies, unshifted."""
    for people in patients.values():
        for _, voxels, truth, _ in people:
            assert most_uniform(voxels, truth == SPLEEN) == (0, 0, 0)


def test_structures_are_where_they_belong():
    """Without warp, texture and noise, at places that anatomy fixes."""
    for rng in np.random.default_rng(5).spawn(2):
        person = Abdomen.sample(rng, "gastric")
        tissue, organs = person.tissue._replace(texture=0), person.organs
        object.__setattr__(person, "tissue", tissue)
        vertebra = 34 * (0.5 - person.phase)  # the middle of one
        right, left = organs.kidneys
        flank = person.wall + 70
        places = [
            ((6, 0, 0), tissue.artery, 0),  # aorta
            ((-21, 3, 10), tissue.cava, 0),
            ((0, 28, vertebra), tissue.marrow, 0),
            ((0, 28, vertebra + 17), tissue.muscle + 25, 0),  # disc
            ((0, 52, vertebra), 30, 0),  # spinal canal
            ((-90, 0, 20), tissue.liver, 0),
            (organs.spleen.centre + np.array([10, 0, 0]), tissue.spleen, SPLEEN),
            (right.centre - 0.9 * right.radii[0] * right.axes[0], tissue.kidney, KIDNEYS),
            (left.centre + 0.9 * left.radii[0] * left.axes[0], tissue.kidney, KIDNEYS),
            (organs.pancreas.line[6], tissue.pancreas - 16, PANCREAS),
            ((70, 50, 90), abdomen.LUNG, 0),
            ((0, -flank - 0.4 * person.fat, 0), tissue.fat, 0),
            ((0, -flank - person.fat - 3, 0), abdomen.AIR, 0),
        ]
        space = Space(*(part.reshape(-1, 1, 1) for part in np.float32([place for place, *_ in places]).T))
        image, fields = np.zeros(space.x.shape, np.float32), np.ones((3, *space.x.shape), np.float32)
        labels = abdomen.paint(image, space, person, fields, 1.0)
        np.testing.assert_allclose(image.ravel(), [value for _, value, _ in places], atol=1e-2)
        assert labels.ravel().tolist() == [label for *_, label in places]
        assert labels.dtype == np.uint8
        skin = Space(*np.float32([0, -flank - 0.825 * person.fat, 0]).reshape(3, 1, 1, 1))
        image = np.zeros((1, 1, 1), np.float32)
        abdomen.paint(image, skin, person, np.ones((3, 1, 1, 1), np.float32), 1.0)
        assert -650 < image < -330  # half air


def test_position_in_the_field_of_view_varies(patients):
    for people in patients.values():
        tops = []
        for _, _, truth, zooms in people:
            kidneys = (np.argwhere(truth == KIDNEYS).mean(0) - (np.array(truth.shape) - 1) / 2) * zooms
            tops.append(kidneys)
        assert (np.std(tops, axis=0) > (1.5, 1, 3)).all()
        assert np.abs(np.mean(tops, axis=0)[0]) < 6


# Shapes


def test_meet_rounds_only_the_edge():
    first, second = np.meshgrid(np.linspace(-30, 30, 61), np.linspace(-30, 30, 61))
    found = abdominal_organs.meet(first, second, 8)
    sharp = np.maximum(first, second)
    apart = np.abs(first - second) >= 8
    np.testing.assert_array_equal(found[apart], sharp[apart])
    assert (found >= sharp).all()
    np.testing.assert_allclose(np.diag(found), np.diag(sharp) + 2)  # a quarter of the width on the edge
    slope = np.gradient(found, 1.0)[0]
    assert slope.min() >= -1e-9
    assert slope.max() <= 1 + 1e-9


def test_bend_passes_through_its_line():
    line = np.array([(0, 0, 0), (10, 0, 5), (20, 10, 5), (20, 30, 0)], float)
    tube = abdominal_organs.bend(line, np.array([1.0, 2, 3, 4]), 400)
    for point, radius in zip(line, (1, 2, 3, 4), strict=True):
        away = np.linalg.norm(tube.line - point, axis=1)
        assert away.min() < 0.15
        assert tube.radii[away.argmin()] == pytest.approx(radius, abs=0.02)
    straight = abdominal_organs.bend(np.array([(0, 0, 0), (1, 2, 3), (2, 4, 6)], float), np.ones(3), 9)
    np.testing.assert_allclose(straight.line, np.linspace(0, 2, 9)[:, None] * (1, 2, 3), atol=1e-12)


def test_hilum_opens_to_the_middle():
    for side in (-1, 1):
        kidney = Solid(np.array([side * 55.0, 30, -20]), np.eye(3), np.array([25.0, 25, 55]))
        found = abdominal_organs.hilum(kidney)
        np.testing.assert_allclose(found.centre, (side * (55 - 0.62 * 25), 30, -20))
        assert (found.radii < kidney.radii).all()


def test_coils_are_parted_halfway():
    """Straight coils, 20 mm apart, of radius 12: closed form."""
    along = np.arange(NODES) * 4.0
    middles = 20.0 * np.arange(COILS)
    points = np.concatenate([np.stack([along, np.full(NODES, y), 0 * along], 1) for y in middles])
    bowel = Bowel(points, np.full(COILS, 12.0), np.ones(COILS))
    ys = np.array([4, -6, -15, 8, 10, 25], float)
    distance, coil = bowel.distance(np.stack([72 + 0 * ys, ys, 0 * ys], 1))
    np.testing.assert_allclose(distance, [-6, -6, 3, -2, 0, -5], atol=1e-6)  # there is no coil beyond the first
    assert coil[[0, 1, 2, 3, 5]].tolist() == [0, 0, 0, 0, 1]
    above, _ = bowel.distance(np.array([(72.0, 20, 11)]))
    np.testing.assert_allclose(above, -1)  # all coils are in one plane
    far, _ = bowel.distance(np.array([(500.0, 0, 0)]))
    assert np.isposinf(far).all()


def test_bowel_is_of_every_kind():
    bowel = Bowel.sample(np.random.default_rng(0))
    assert bowel.points.shape == (COILS * NODES, 3)
    assert len(set(bowel.filled)) == 4
    steps = np.linalg.norm(np.diff(bowel.points.reshape(COILS, NODES, 3), axis=1), axis=2)
    assert np.median(steps) < 5
    assert 7 < bowel.radii.min() < bowel.radii.max() < 16


# Randomness


@pytest.mark.parametrize("writer", [decathlon, pancreas_ct])
def test_same_seed_same_bytes(writer, task, tcia, tmp_path):
    with global_generators_untouched():
        writer.write(tmp_path / "few", 1, STEP, np.random.default_rng(SEED))
    writer.write(tmp_path / "other", 1, STEP, np.random.default_rng(SEED + 1))
    many = hashes(task if writer is decathlon else tcia)
    few, other = hashes(tmp_path / "few"), hashes(tmp_path / "other")
    listing = "Task99_Abdomen/dataset.json"
    assert few.pop(listing, None) != many.get(listing, 0)  # it counts the cases
    names = ("_001.", "_0001/", "label0001.")
    assert few == {name: digest for name, digest in many.items() if any(part in name for part in names)}
    assert len(few) >= 2
    assert not set(other.values()) & set(many.values())
    many.pop(listing, None)
    assert len(set(many.values())) == len(many)


@pytest.mark.parametrize("writer", [decathlon, pancreas_ct])
def test_bad_arguments_are_named_all_at_once(writer, tmp_path):
    check_bad_arguments(writer, tmp_path)
