"""Which way up: landmarks of a body, told by their place in mm, come out where radiologists see them.

Each loader reads files whose voxels are worked out from the affine alone: a voxel belongs to the landmark whose place
is within half a voxel of it. So nothing is asked of nibabel's turning, nor of ours.
"""

import gzip
import itertools

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import aff2axcodes

from whereabouts.data import acdc, layouts, mmwhs, studies
from whereabouts.data.decathlon import Case as DecathlonCase
from whereabouts.data.decathlon import load as load_decathlon
from whereabouts.formats import orientation
from whereabouts.formats.volumes import read_nifti

STEP = 2.0  # mm, voxels are cubes
SHAPE = (9, 11, 7)  # across, to the back, up, whatever the order in which they are stored
MARKS = {1: (1, 5, 3), 2: (4, 1, 3), 3: (6, 6, 3)}  # voxels in that order: on the patient's right, in front, elsewhere
RIGHT, FRONT = 1, 2
ORDERS = [
    (order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)
]


def files(order, signs, directions, forms=("sform", "qform")):
    """Image and labels, whose axes are stored in `order` and reversed by `signs`, along `directions` (3, 3; RAS)."""
    affine = np.eye(4)
    affine[:3, :3] = np.array([STEP * sign * directions[axis] for axis, sign in zip(order, signs, strict=True)]).T
    first = [SHAPE[axis] - 1 if sign < 0 else 0 for axis, sign in zip(order, signs, strict=True)]
    affine[:3, 3] = STEP * sum(n * directions[axis] for n, axis in zip(first, order, strict=True))
    stored = np.stack(np.indices([SHAPE[axis] for axis in order]), -1)
    places = stored @ affine[:3, :3].T + affine[:3, 3]  # (.., 3) mm
    labels = np.zeros(places.shape[:3], np.uint8)
    for number, voxel in MARKS.items():
        at = STEP * np.array(voxel) @ directions
        labels[np.linalg.norm(places - at, axis=-1) < STEP / 2] = number
    assert np.bincount(labels.ravel())[1:].tolist() == [1, 1, 1]
    made = []
    texture = np.arange(labels.size, dtype=np.int16).reshape(labels.shape) % 7
    for array in (texture + np.int16(100) * labels, labels):
        image = nib.Nifti1Image(array, None)
        image.header.set_zooms([STEP] * 3)
        image.set_sform(affine if "sform" in forms else None, int("sform" in forms))
        image.set_qform(affine if "qform" in forms else None, int("qform" in forms), strip_shears=False)
        made.append(gzip.compress(image.to_bytes(), 1))
    return made


def write(folder, names, content):
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in names]
    for path, part in zip(paths, content, strict=True):
        path.write_bytes(part)
    return paths


def places(labels):
    """(rows, columns, slices) -> landmark: (row, column)."""
    return {number: tuple(np.argwhere(labels == number)[0, :2]) for number in MARKS}


def as_seen(labels):
    """Each landmark is where it was put, seen from the feet with the front on top."""
    assert places(labels) == {number: (down, across) for number, (across, down, _) in MARKS.items()}


def tilt(directions, degrees):
    """About an axis of no plane's."""
    axis, angle = np.array([1, 2, 2]) / 3, np.radians(degrees)
    cross = np.cross(np.eye(3), axis)
    return directions @ (np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross).T


BODY = np.diag([-1.0, -1, 1])  # LPS in RAS+: across to the left, down to the back, up
# a heart's: across to the left, back and head; down to the back and feet; through to the right, back and head
SHORT_AXIS = np.array([[-0.6, -0.64, 0.48], [0, -0.6, -0.8], [0.8, -0.48, 0.36]])


@pytest.mark.parametrize("degrees", [0, 20])
@pytest.mark.parametrize(("order", "signs"), ORDERS)
def test_scans_in_every_order_of_axes(order, signs, degrees, tmp_path):
    """Axial slices: MM-WHS, the Decathlon and what is segmented, straight and oblique."""
    content = files(order, signs, tilt(BODY, degrees))
    image, truth = write(tmp_path, ("ct_train_1001_image.nii.gz", "ct_train_1001_label.nii.gz"), content)
    array, _ = mmwhs.canonical(truth)
    as_seen(orientation.pictures(array))
    loaded = load_decathlon(DecathlonCase("one", image, truth), ("a", "b", "c"))
    as_seen(orientation.pictures(loaded.labels))
    for number, (across, down, up) in MARKS.items():
        assert orientation.axial(loaded.labels, up)[down, across] == number
        assert orientation.coronal(loaded.labels, SHAPE[1] - 1 - down)[SHAPE[2] - 1 - up, across] == number
        assert orientation.sagittal(loaded.labels, SHAPE[0] - 1 - across)[SHAPE[2] - 1 - up, down] == number
    one = layouts.load(layouts.Volume("one", image, truth), "decathlon", ["a", "b", "c"])
    shown, spacing = orientation.seen(one.nifti, one.axes)
    assert shown.shape == (SHAPE[1], SHAPE[0], SHAPE[2]) and spacing.tolist() == [STEP] * 3
    back = orientation.stored(orientation.pictures(shown), one.axes)
    np.testing.assert_array_equal(back, one.nifti.array)


def patient(folder, content):
    pair = tuple(write(folder, ("patient001_frame01.nii.gz", "patient001_frame01_gt.nii.gz"), content))
    return acdc.Patient("patient001", None, 1, 2, {"ED": pair, "ES": pair}, None, "training")


def heart_loaders(folder, content):
    """Labels (rows, columns, slices), by each loader of short-axis slices."""
    one = patient(folder, content)
    yield acdc.frame(one, "ED")[1]
    size = max(SHAPE)
    prepared = acdc.prepare(one, STEP, size).labels[: SHAPE[2]].transpose(1, 2, 0)
    yield prepared[:, (size // 2 - SHAPE[0] // 2) :]  # less what was filled at its left
    study = studies.Study("one", "cine", {1: one.frames["ED"]})
    yield studies.prepare(study, STEP, size, (1, 2, 3)).labels.transpose(1, 2, 0)[:, (size // 2 - SHAPE[0] // 2) :]
    for layout in layouts.HEARTS:
        volume = layouts.Volume("one", *one.frames["ED"])
        loaded = layouts.load(volume, layout, ["right ventricle", "myocardium", "left ventricle"])
        yield orientation.pictures(nib.apply_orientation(loaded.truth, loaded.axes))


IN_PLANE = [(order, signs) for order, signs in ORDERS if order[2] == 2]  # slices stay slices


@pytest.mark.parametrize("forms", [("sform",), ("qform",)])
@pytest.mark.parametrize(("order", "signs"), IN_PLANE)
def test_hearts_whose_headers_know(order, signs, forms, tmp_path):
    """Slices across the long axis of a heart, as scanners store them, and axial ones that are a little oblique."""
    for directions in (SHORT_AXIS, tilt(BODY, 10)):
        for labels in heart_loaders(tmp_path, files(order, signs, directions, forms)):
            as_seen(labels)


@pytest.mark.parametrize("codes", [("L", "P", "S"), ("R", "A", "S"), ()])
def test_hearts_whose_headers_have_lost_it(codes, tmp_path):
    """ACDC's say L, P, S in one place and R, A, S in another, of slices that lie along neither: its order counts."""
    image, truth = files((0, 1, 2), (1, 1, 1), BODY)
    content = []
    for part in (image, truth):
        array = np.asanyarray(nib.Nifti1Image.from_bytes(gzip.decompress(part)).dataobj)
        one = nib.Nifti1Image(array, None)
        one.header.set_zooms([STEP] * 3)
        signs = {"R": 1, "A": 1, "S": 1, "L": -1, "P": -1}
        affine = np.diag([STEP * signs[code] for code in codes] + [1]) if codes else None
        one.set_sform(affine, int(bool(codes)))
        content.append(gzip.compress(one.to_bytes(), 1))
    assert not codes or aff2axcodes(read_affine(content[0])) == codes
    for labels in heart_loaders(tmp_path, content):
        as_seen(labels)


def read_affine(content):
    return nib.Nifti1Image.from_bytes(gzip.decompress(content)).affine


def test_the_cycle_lies_as_its_frames_do(tmp_path):
    """Its own header is of another mind, in some of ACDC's files."""
    image, truth = files((1, 0, 2), (-1, 1, 1), tilt(BODY, 10))
    one = patient(tmp_path, (image, truth))
    array = read_nifti(one.frames["ED"][1]).array
    path = tmp_path / "patient001_4d.nii.gz"
    whole = nib.Nifti1Image(np.stack([array, 2 * array], 3), np.diag([-STEP, STEP, STEP, 1]))
    path.write_bytes(gzip.compress(whole.to_bytes(), 1))
    cycle, _ = acdc.cycle(acdc.Patient(one.name, None, 1, 2, one.frames, path, one.part))
    as_seen(cycle[..., 0])
    np.testing.assert_array_equal(cycle[..., 1], 2 * cycle[..., 0])
