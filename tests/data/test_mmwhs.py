"""MM-WHS's official layout, written small: reading, every complaint, the 48 orders of axes, preparation."""

import gzip
import itertools
import shutil

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from whereabouts.data import mmwhs
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError
from whereabouts.formats import volumes

SHAPE = (14, 11, 9)  # right, anterior, superior
SPACING = (1.25, 1.5, 2.0)
VALUES = (500, 600, 205, 420, 550, 850, 820)  # in the order of labels 1 to 7
ORDERS = [(axes, signs) for axes in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)]
AXIAL = ((0, 1, 2), (1, 1, 1))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def heart(shape=SHAPE, slices=(2, 7), value=None):
    """Labels in RAS+ order without any symmetry: slabs of the seven values, cut obliquely, with a hole in 421."""
    x, y, z = np.indices(shape)
    truth = (
        np.array(VALUES, np.int16)[(x * 7 // shape[0] + (y > 6) + z) % 7] if value is None else np.full(shape, value)
    )
    truth[(x < 3) | (y < 2) | (x + y > shape[0] + 5)] = 0
    truth[:, :, : slices[0]] = truth[:, :, slices[1] :] = 0
    return truth.astype(np.int16)


def scan(truth, rng=None):
    """An image on a ramp, with noise, on which no two orders of axes agree."""
    x, y, z = np.indices(truth.shape)
    noise = (np.random.default_rng(1) if rng is None else rng).normal(0, 5, truth.shape)
    return (truth / 2 + 7 * x - 11 * y + 3 * z + noise).astype(np.int16)


def affine_of(axes, signs, shape, spacing, origin=(-70.0, 30.0, 110.0)):
    """The affine that puts voxel (0, 0, 0) of the RAS+ volume at `origin`, from the stored order of its axes."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    affine[:3, 3] = origin
    for stored, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        affine[axis, stored] = sign * spacing[axis]
        if sign < 0:
            affine[axis, 3] += spacing[axis] * (shape[axis] - 1)
    return affine


def save(path, array, spacing=SPACING, order=AXIAL, forms=("qform", "sform"), shift=0.0):
    """Write a volume that is given in RAS+ order with its axes stored in `order`."""
    axes, signs = order
    affine = affine_of(axes, signs, array.shape, spacing)
    affine[0, 3] += shift
    stored = array.transpose(*axes, *range(3, array.ndim))[tuple(slice(None, None, sign) for sign in signs)]
    image = nib.Nifti1Image(stored, None)
    image.header.set_zooms([*(spacing[axis] for axis in axes), *[1] * (array.ndim - 3)])
    image.set_sform(affine if "sform" in forms else None, 1 if "sform" in forms else 0)
    if "qform" in forms:
        image.set_qform(affine, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(image.to_bytes(), 1))
    return path


def edit_header(path, **fields):
    content = bytearray(gzip.decompress(path.read_bytes()))
    header = nib.Nifti1Header(bytes(content[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    content[:348] = header.binaryblock
    path.write_bytes(gzip.compress(bytes(content), 1))


def write_case(root, name="ct_train_1001", truth=None, image=None, **options):
    """One case in the official layout below `root`; returns its folder."""
    folder = root / name[:-5]
    truth = heart() if truth is None else truth
    save(folder / f"{name}_image.nii.gz", scan(truth) if image is None else image, **options)
    save(folder / f"{name}_label.nii.gz", truth, **options)
    return folder


def read(root):
    return mmwhs.read(Manifest.of("MM-WHS", "synthetic", root))


def problems(root):
    with pytest.raises(InputError) as error:
        read(root)
    return error.value.problems


def displayed(array):
    """By loops: [slice, row from anterior, column from the patient's right] of a RAS+ volume."""
    width, height, depth = array.shape
    result = np.zeros((depth, height, width), array.dtype)
    for z, row, column in np.ndindex(result.shape):
        result[z, row, column] = array[width - 1 - column, height - 1 - row, z]
    return result


# Layout


@pytest.mark.parametrize("folder", ["", "ct_train", "MM-WHS 2017 Dataset/CT data (1)"])
def test_names_of_files_say_everything(folder, tmp_path):
    for name in ("mr_train_1012", "CT_train_1002", "ct_train_1001", "mr_test_2003"):
        for kind in ("image", "label"):
            save(tmp_path / folder / f"{name}_{kind}.nii.gz", heart() if kind == "label" else scan(heart()))
    cases = read(tmp_path)
    assert [case.name for case in cases] == ["ct_train_1001", "ct_train_1002", "mr_test_2003", "mr_train_1012"]
    assert [case.modality for case in cases] == ["CT", "CT", "MR", "MR"]
    assert cases[1].image == tmp_path / folder / "CT_train_1002_image.nii.gz"
    assert cases[1].truth == tmp_path / folder / "CT_train_1002_label.nii.gz"


def test_stray_files_are_left_alone(tmp_path):
    folder = write_case(tmp_path)
    for name in ("._ct_train_1001_image.nii.gz", "ct_train_1001_image.nii", "ct_train_101_image.nii.gz", "notes.txt"):
        (folder / name).write_text("stray", encoding="utf-8")
    (folder / "copy_ct_train_1001_image.nii.gz").write_text("stray", encoding="utf-8")
    assert len(read(tmp_path)) == 1


def test_only_the_manifest_says_which_files_exist(tmp_path):
    write_case(tmp_path, "mr_train_1001")
    manifest = Manifest.of("MM-WHS", "synthetic", tmp_path)
    write_case(tmp_path)
    assert [case.name for case in mmwhs.read(manifest)] == ["mr_train_1001"]
    shutil.rmtree(tmp_path / "mr_train")
    with pytest.raises(InputError) as error:
        mmwhs.read(manifest)
    assert len(error.value.problems) == 2 and all("cannot be read" in line for line in error.value.problems)


def test_test_volumes_may_lack_labels_and_are_not_prepared_then(tmp_path):
    folder = write_case(tmp_path, "mr_test_2001")
    (folder / "mr_test_2001_label.nii.gz").unlink()
    (case,) = read(tmp_path)
    assert (case.name, case.modality, case.truth) == ("mr_test_2001", "MR", None)
    with pytest.raises(InputError, match=r"^mr_test_2001: has no labels; "):
        mmwhs.prepare(case, 1.0, 8, 1.0)


# Orientation


@pytest.mark.parametrize("order", ORDERS)
def test_canonical_undoes_every_order_of_axes(order, tmp_path):
    truth = heart()
    path = save(tmp_path / "a.nii.gz", truth, order=order)
    array, spacing = mmwhs.canonical(path)
    np.testing.assert_array_equal(array, truth)
    np.testing.assert_array_equal(spacing, SPACING)
    assert array.dtype == np.int16
    np.testing.assert_array_equal(array, np.asanyarray(nib.as_closest_canonical(nib.load(path)).dataobj))


@pytest.mark.parametrize("forms", [("qform",), ("sform",)])
@pytest.mark.parametrize("order", ORDERS[::7])
def test_either_form_will_do(forms, order, tmp_path):
    array, _ = mmwhs.canonical(save(tmp_path / "a.nii.gz", heart(), order=order, forms=forms))
    np.testing.assert_array_equal(array, heart())


def test_affines_that_point_elsewhere_are_refused_and_a_tilt_is_not(tmp_path):
    """A sform may be of another scan, to which this one was aligned; it may not say left where the qform says right."""
    path = save(tmp_path / "a.nii.gz", heart())
    edit_header(path, srow_x=[1, -0.9, 0, 0], srow_y=[0.75, 1.2, 0, 0])
    np.testing.assert_array_equal(mmwhs.canonical(path)[0], heart())
    edit_header(path, srow_x=[-1.25, 0, 0, 0], srow_y=[0, 1.5, 0, 0])
    with pytest.raises(InputError, match=r"its qform and its sform point its axes elsewhere \(RAS and LAS\); correct"):
        mmwhs.canonical(path)


def test_an_oblique_grid_keeps_its_voxels(tmp_path):
    """Turned by 30 degrees about the long axis, stored as anterior, left, superior."""
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(np.pi / 6), -np.sin(np.pi / 6)], [np.sin(np.pi / 6), np.cos(np.pi / 6)]]
    order = ((1, 0, 2), (1, -1, 1))
    path = save(tmp_path / "a.nii.gz", heart(), order=order)
    edit_header(path, qform_code=0, **rows(turn @ affine_of(*order, SHAPE, SPACING)))
    array, spacing = mmwhs.canonical(path)
    np.testing.assert_array_equal(array, heart())
    np.testing.assert_array_equal(spacing, SPACING)


def rows(affine):
    return dict(zip(("srow_x", "srow_y", "srow_z"), affine[:3], strict=True))


@pytest.mark.parametrize("tip", [-1e-6, 0, 1e-6])
def test_at_45_degrees_image_and_labels_turn_together(tip, tmp_path):
    """The labels' affine is a rounding error away from the image's; both orders of axes are as close."""
    truth = heart((11, 11, 9))
    write_case(tmp_path, truth=truth, spacing=(1.0, 1.0, 2.0))
    for kind, error in (("image", 0), ("label", tip)):
        affine = np.diag([1, 1, 2, 1.0])
        cos, sin = np.cos(np.pi / 4 + error), np.sin(np.pi / 4 + error)
        affine[:2, :2] = [[cos, -sin], [sin, cos]]
        edit_header(tmp_path / "ct_train" / f"ct_train_1001_{kind}.nii.gz", qform_code=0, **rows(affine))
    (case,) = read(tmp_path)
    prepared = mmwhs.prepare(case, 1.0, 11, 1.0, percentiles=(0, 100))
    array, _ = mmwhs.canonical(case.image)
    (turned,) = (np.rot90(truth, turns) for turns in range(4) if np.array_equal(np.rot90(scan(truth), turns), array))
    np.testing.assert_array_equal(prepared.labels, numbered(displayed(turned))[2:7])


def numbered(truth):
    """The release's values as 1 to 7, written out."""
    lookup = {0: 0, 500: 1, 600: 2, 205: 3, 420: 4, 421: 4, 550: 5, 850: 6, 820: 7}
    return np.vectorize(lookup.get, otypes=[np.uint8])(truth)


# Preparation


@pytest.mark.parametrize("order", ORDERS)
def test_prepare_is_the_same_for_every_order_of_axes(order, tmp_path):
    """Pixels of 1.5 mm stay as they are, so loops over voxels say what has to come out, in exact arithmetic."""
    truth = heart()
    write_case(tmp_path, "mr_train_1007", truth=truth, order=order, spacing=(1.5, 1.5, 2.0))
    (case,) = read(tmp_path)
    prepared = mmwhs.prepare(case, 1.5, 14, 2.0)
    image = displayed(scan(truth)).astype(np.float64)
    low, high = np.percentile(image, (5, 95))
    expected = np.zeros((9, 14, 14))
    expected[:, 2:13] = np.clip((image - low) / (high - low), 0, 1)  # row 11 // 2 becomes row 14 // 2
    labels = np.zeros((9, 14, 14), np.uint8)
    labels[:, 2:13] = numbered(displayed(truth))
    np.testing.assert_allclose(prepared.images, expected[2:7], atol=1e-6)
    np.testing.assert_array_equal(prepared.labels, labels[2:7])
    assert prepared.images.dtype == np.float32 and prepared.labels.dtype == np.uint8
    assert prepared.table.to_dict("list") == {
        "subject": ["mr_train_1007"] * 5,
        "modality": ["MR"] * 5,
        "slice": [2, 3, 4, 5, 6],
        "volume": ["mr_train_1007"] * 5,
    }


@pytest.mark.parametrize("order", ORDERS[::5])
def test_anisotropic_pixels_in_any_order(order, tmp_path, rng):
    """Resampled to other bytes than the file's, yet to the same ones whatever the order of axes."""
    results = []
    for name, stored in (("ct_train_1001", AXIAL), ("ct_train_1002", order)):
        write_case(tmp_path, name, order=stored)
        results.append(mmwhs.prepare(read(tmp_path)[-1], 0.8, 17, 3.0))
    assert results[0].images.tobytes() == results[1].images.tobytes()
    assert results[0].labels.tobytes() == results[1].labels.tobytes()
    assert results[0].images.shape == (3, 17, 17)


def test_anterior_is_up_and_the_patients_right_is_on_the_left(tmp_path):
    """By world coordinates: the left ventricle lies to the left and in front, the aorta above."""
    shape, order = (30, 26, 12), ((2, 0, 1), (-1, 1, -1))
    affine = affine_of(*order, shape, SPACING)
    stored = np.zeros([shape[axis] for axis in order[0]], np.int16)
    grid = np.moveaxis(np.indices(stored.shape), 0, -1)
    x, y, z = np.moveaxis(nib.affines.apply_affine(affine, grid), -1, 0)
    middle = [(values.min() + values.max()) / 2 for values in (x, y, z)]
    stored[(x < middle[0] - 5) & (y > middle[1] + 5) & (z < middle[2])] = 500
    stored[(x > middle[0] + 5) & (y < middle[1] - 5) & (z > middle[2])] = 820
    truth = np.zeros(shape, np.int16)
    truth[...] = stored[::-1, :, ::-1].transpose(1, 2, 0)
    write_case(tmp_path, truth=truth, order=order)
    (case,) = read(tmp_path)
    np.testing.assert_array_equal(volumes.read_nifti(case.truth).array, stored)
    prepared = mmwhs.prepare(case, 1.0, 40, 2.0)
    left, aorta = (np.argwhere(prepared.labels == label).mean(axis=0) for label in (1, 7))
    assert left[0] < aorta[0]  # slices run upwards
    assert left[1] < 18 and aorta[1] > 22  # rows run backwards
    assert left[2] > 22 and aorta[2] < 18  # columns run from the patient's right to left
    assert set(np.unique(prepared.labels)) == {0, 1, 7}


@pytest.mark.parametrize(("value", "label"), [*zip(VALUES, range(1, 8), strict=True), (421, 4)])
def test_values_become_labels(value, label, tmp_path):
    write_case(tmp_path, truth=heart(value=value), image=scan(heart()))
    prepared = mmwhs.prepare(read(tmp_path)[0], 1.0, 16, 2.0)
    assert set(np.unique(prepared.labels)) == {0, label}
    name = {500: "left ventricle", 600: "right ventricle", 205: "myocardium", 420: "left atrium", 421: "left atrium"}
    name |= {550: "right atrium", 820: "ascending aorta", 850: "pulmonary artery"}
    assert mmwhs.STRUCTURES[label - 1] == name[value]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint16, ">i2"])
def test_whole_numbers_of_any_type_are_labels(dtype, tmp_path):
    write_case(tmp_path)
    expected = mmwhs.prepare(read(tmp_path)[0], 1.0, 16, 2.0)
    save(tmp_path / "ct_train" / "ct_train_1001_label.nii.gz", heart().astype(dtype))
    np.testing.assert_array_equal(mmwhs.prepare(read(tmp_path)[0], 1.0, 16, 2.0).labels, expected.labels)


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (0.1, range(2, 12)),
        (2.0, range(2, 12)),
        (3.0, [2, 4, 5, 7, 8, 10, 11]),  # at 0, 1.5, 3, 4.5 .. slices; halves upwards
        (4.0, [2, 4, 6, 8, 10]),
        (5.2, [2, 5, 7, 10]),  # 0, 2.6, 5.2, 7.8
        (19.0, [2]),
        (1e6, [2]),
    ],
)
def test_one_slice_in_so_many_millimetres(every, expected, tmp_path):
    write_case(tmp_path, truth=heart((14, 11, 15), (2, 12)), order=((2, 1, 0), (-1, 1, 1)))
    (case,) = read(tmp_path)
    every_slice, some = (mmwhs.prepare(case, 1.0, 12, step) for step in (2.0, every))
    assert some.table.slice.tolist() == list(expected)
    np.testing.assert_array_equal(some.images, every_slice.images[some.table.slice - 2])
    np.testing.assert_array_equal(some.labels, every_slice.labels[some.table.slice - 2])


def test_slices_without_labels_are_left_out_also_in_between(tmp_path):
    truth = heart((14, 11, 15), (2, 12))
    truth[:, :, 5:8] = 0
    write_case(tmp_path, truth=truth)
    (case,) = read(tmp_path)
    assert mmwhs.prepare(case, 1.0, 12, 2.0).table.slice.tolist() == [2, 3, 4, 8, 9, 10, 11]
    assert mmwhs.prepare(case, 1.0, 12, 4.0).table.slice.tolist() == [2, 4, 8, 10]


def test_prepare_keeps_sizes_in_mm(tmp_path):
    """A box of 12 mm across and 9 mm from front to back in anisotropic pixels measures the same afterwards."""
    truth = np.zeros((40, 41, 3), np.int16)
    truth[16:24, 14:23, 1] = 500  # 8 pixels of 1.5 mm, 9 pixels of 1 mm
    image = truth + np.indices(truth.shape)[0].astype(np.int16)
    write_case(tmp_path, truth=truth, image=image, spacing=(1.5, 1.0, 2.0), order=((2, 0, 1), (1, -1, 1)))
    prepared = mmwhs.prepare(read(tmp_path)[0], 0.5, 100, 2.0, percentiles=(0, 100))
    box = prepared.labels[0] == 1
    assert (box.any(1).sum(), box.any(0).sum()) == (18, 24)
    assert prepared.images[0][ndimage.binary_erosion(box, iterations=2)].min() > 0.9
    assert prepared.images[0][~ndimage.binary_dilation(box, iterations=2)].max() < 0.1


def test_images_are_interpolated_linearly(tmp_path):
    """A ramp in mm stays one in steps of 0.5 mm, although the file holds whole numbers."""
    x, y, _ = np.indices(SHAPE)
    write_case(tmp_path, image=(5 * x + 6 * y).astype(np.int16), spacing=(1.25, 1.5, 2.0))  # 4 to each mm
    prepared = mmwhs.prepare(read(tmp_path)[0], 0.5, 20, 2.0, percentiles=(0, 100))
    assert np.ptp(prepared.images, axis=0).max() == 0  # alike in every slice
    for axis in (1, 2):
        np.testing.assert_allclose(np.diff(prepared.images, axis=axis), -4 * 0.5 / (5 * 13 + 6 * 10), atol=1e-6)


def test_percentiles_are_of_the_whole_volume(tmp_path):
    """Of all slices and the whole field of view, although five slices and a few pixels of it are returned."""
    image = scan(heart())
    image[:, :, 8] = 2000
    image[0] = -3000
    write_case(tmp_path, image=image, spacing=(1.5, 1.5, 2.0))
    prepared = mmwhs.prepare(read(tmp_path)[0], 1.5, 4, 2.0, percentiles=(0, 100))
    expected = (displayed(image)[2:7, 3:7, 5:9] + 3000) / 5000
    np.testing.assert_allclose(prepared.images, expected, atol=1e-6)


def test_the_crop_is_about_the_volumes_centre(tmp_path):
    """A label in a corner is cut away; its slice stays, as it is labelled."""
    truth = np.zeros((21, 16, 3), np.int16)
    truth[0, 0, 1] = 600
    write_case(tmp_path, truth=truth, spacing=(1.0, 1.0, 3.0))
    small, large = (mmwhs.prepare(read(tmp_path)[0], 1.0, side, 1.0) for side in (8, 30))
    assert small.table.slice.tolist() == [1] and not small.labels.any()
    assert np.argwhere(large.labels[0]).tolist() == [[15 + 15 - 8, 20 + 15 - 10]]  # behind, on the patient's left


def test_the_same_case_gives_the_same_bytes(tmp_path):
    write_case(tmp_path)
    first, second = (mmwhs.prepare(read(tmp_path)[0], 1.37, 20, 3.0) for _ in range(2))
    assert first.images.tobytes() == second.images.tobytes()
    assert first.labels.tobytes() == second.labels.tobytes() and first.table.equals(second.table)


# Complaints: what is done to ct_train_1001, the file that the line must begin with, and how the line goes on


def rewrite(file, array, **options):
    return lambda folder: save(folder / file, array, **options)


def content(file, data):
    return lambda folder: (folder / file).write_bytes(data)


def field(file, **fields):
    return lambda folder: edit_header(folder / file, **fields)


def remove(file):
    return lambda folder: (folder / file).unlink()


def spoilt(array, value, dtype=np.float32):
    array = array.astype(dtype)
    array[3, 4, 2:7] = value
    return array


IMAGE, LABEL = "ct_train_1001_image.nii.gz", "ct_train_1001_label.nii.gz"
NOTHING = {"qform_code": 0, "sform_code": 0}
UNKNOWN = "has labels other than MM-WHS's 0, 500, 600, 205, 420, 421, 550, 850, 820"
RELABEL = "relabel these voxels, or restore the file as released"
AGAIN = "copy or unpack it again"
REGRID = "bring it onto that grid, or restore its header"
CASES = {
    "empty": (content(IMAGE, b""), IMAGE, f"empty; {AGAIN}"),
    "text": (content(LABEL, b"no gzip"), LABEL, "truncated: 7 bytes do not hold a NIfTI-1 header; copy"),
    "no nifti": (content(IMAGE, gzip.compress(bytes(500))), IMAGE, f"not a NIfTI-1 file; {AGAIN}, or convert it"),
    "2D": (field(IMAGE, dim=[2, 14, 11, 1, 1, 1, 1, 1]), IMAGE, "has 2 axes where a volume has 3; give a volume"),
    "one slice": (rewrite(IMAGE, scan(heart())[:, :, :1]), LABEL, "shape (14, 11, 9), not (14, 11, 1), differs"),
    "4D": (rewrite(IMAGE, np.stack([scan(heart())] * 2, 3)), IMAGE, "has 4 axes where 3 are expected; give one of 3"),
    "4D label": (rewrite(LABEL, np.stack([heart()] * 2, 3)), LABEL, "has 4 axes where 3 are expected; give one of 3"),
    "no orientation": (
        field(IMAGE, **NOTHING),
        IMAGE,
        "has no orientation (neither qform nor sform); restore the header as released",
    ),
    "no orientation of labels": (field(LABEL, **NOTHING), LABEL, "has no orientation (neither qform nor sform); "),
    "nan affine": (
        field(LABEL, srow_x=[np.nan, 0, 0, 0], qform_code=0),
        LABEL,
        "has no orientation (its sform is not finite); restore the header as released",
    ),
    "shape": (
        rewrite(LABEL, heart((14, 12, 9))),
        LABEL,
        f"shape (14, 12, 9), not (14, 11, 9), differs from its image's; {REGRID}",
    ),
    "spacing": (
        field(LABEL, pixdim=[1, 1.25, 1.5, 2.01, 1, 1, 1, 1]),
        LABEL,
        f"spacing [1.25, 1.5, 2.01], not [1.25, 1.5, 2.0] mm, differs from its image's; {REGRID}",
    ),
    "affine": (rewrite(LABEL, heart(), shift=2e-3), LABEL, f"affine differs from its image's; {REGRID}"),
    "order": (
        rewrite(LABEL, heart()[::-1], order=((0, 1, 2), (-1, 1, 1))),
        LABEL,
        f"affine differs from its image's; {REGRID}",
    ),
    "label 1": (rewrite(LABEL, spoilt(heart(), 1, np.int16)), LABEL, f"{UNKNOWN} (1); {RELABEL}"),
    "label -500": (rewrite(LABEL, spoilt(heart(), -500, np.int16)), LABEL, f"{UNKNOWN} (-500); {RELABEL}"),
    "label 500.5": (rewrite(LABEL, spoilt(heart(), 500.5)), LABEL, "has labels that are not whole (500.5); "),
    "label nan": (rewrite(LABEL, spoilt(heart(), np.nan)), LABEL, "has NaN or infinite labels; "),
    "five labels": (
        rewrite(LABEL, spoilt(heart(), [9, 422, 1, 8, 7], np.int16)),
        LABEL,
        f"{UNKNOWN} (1, 7, 8, 9, 422); {RELABEL}",
    ),
    "an image": (
        rewrite(LABEL, np.arange(14 * 11 * 9, dtype=np.int16).reshape(SHAPE)),
        LABEL,
        f"{UNKNOWN} (1, 2, 3, 4, 5, ..); {RELABEL}",
    ),
    "no heart": (rewrite(LABEL, 0 * heart()), LABEL, "shows nothing but background; label it, or leave the case out"),
    "nan": (
        rewrite(IMAGE, spoilt(scan(heart()), np.nan)),
        IMAGE,
        "has NaN or infinite voxels; give these voxels numbers",
    ),
    "infinite": (
        rewrite(IMAGE, spoilt(scan(heart()), -np.inf)),
        IMAGE,
        "has NaN or infinite voxels; give these voxels numbers",
    ),
    "constant": (
        rewrite(IMAGE, np.full(SHAPE, -1000, np.int16)),
        IMAGE,
        "constant from its 5th to its 95th percentile; cut it to what it shows, or leave it out",
    ),
    "no label": (remove(LABEL), IMAGE, "has no labels; add ct_train_1001_label.nii.gz"),
    "no image": (remove(IMAGE), LABEL, "has no image; add ct_train_1001_image.nii.gz"),
    "zero spacing": (field(IMAGE, pixdim=[1, 1.25, 0, 2, 1, 1, 1, 1]), IMAGE, "spacing [1.25, 0.0, 2.0] mm is not"),
}


@pytest.mark.parametrize("case", CASES)
def test_complaint(case, tmp_path):
    spoil, file, text = CASES[case]
    folder = write_case(tmp_path)
    write_case(tmp_path, "mr_train_1002")
    spoil(folder)
    (line,) = problems(tmp_path)
    assert line.startswith(f"{folder.as_posix()}/{file}: {text}")
    assert line.count("; ") == 1 and "\n" not in line  # what is wrong; what to do


@pytest.mark.parametrize("modality", ["ct", "mr"])
def test_all_complaints_come_at_once(modality, tmp_path):
    """One case each, all in one report, in the order of the cases."""
    for number, (spoil, _, _) in enumerate(CASES.values(), start=1101):
        spoil(write_case(tmp_path))
        for path in list((tmp_path / "ct_train").iterdir()):
            name = path.name.replace("ct_train_1001", f"{modality}_train_{number}")
            (tmp_path / "all").mkdir(exist_ok=True)
            path.rename(tmp_path / "all" / name)
    found = problems(tmp_path)
    assert len(found) == len(CASES)
    for number, line, (_, file, text) in zip(itertools.count(1101), found, CASES.values(), strict=False):
        old, new = "ct_train_1001", f"{modality}_train_{number}"
        assert line.startswith(f"{tmp_path.as_posix()}/all/{file.replace(old, new)}: {text.replace(old, new)}")


def test_several_complaints_about_one_case(tmp_path):
    folder = write_case(tmp_path)
    save(folder / IMAGE, spoilt(scan(heart()), np.nan), forms=())
    save(folder / LABEL, spoilt(heart((14, 11, 8)), 3, np.int16))
    ends = ["has no orientation (neither", "has NaN", f"{UNKNOWN} (3)", "shape (14, 11, 8), not (14, 11, 9), differs"]
    found = problems(tmp_path)
    assert len(found) == 4 and all(end in line for end, line in zip(ends, found, strict=True))


def test_a_case_unpacked_twice(tmp_path):
    first = write_case(tmp_path / "a")
    second = write_case(tmp_path / "b")
    (second / LABEL).rename(second / LABEL.replace("ct", "CT", 1))
    assert sorted(problems(tmp_path)) == [
        f"{second.as_posix()}/CT_train_1001_label.nii.gz: also found as {first.as_posix()}/{LABEL}; keep one of them",
        f"{second.as_posix()}/{IMAGE}: also found as {first.as_posix()}/{IMAGE}; keep one of them",
    ]


def test_an_affine_without_direction(tmp_path):
    folder = write_case(tmp_path)
    for file in (IMAGE, LABEL):
        edit_header(folder / file, srow_z=[0, 0, 0, 0], qform_code=0)
    text = "has no orientation (its sform gives an axis no direction); restore the header as released"
    assert problems(tmp_path) == [f"{folder.as_posix()}/{file}: {text}" for file in (IMAGE, LABEL)]
    with pytest.raises(InputError, match="gives an axis no direction"):
        mmwhs.canonical(folder / IMAGE)


def test_labels_in_another_folder_and_other_forms_are_fine(tmp_path):
    """The image declares an sform, its labels a qform: the same place, up to the rounding of quaternions."""
    order = ((1, 2, 0), (1, -1, -1))
    save(tmp_path / "images" / IMAGE, scan(heart()), order=order, forms=("sform",))
    save(tmp_path / "labels" / LABEL, heart(), order=order, forms=("qform",))
    assert len(read(tmp_path)) == 1
    save(tmp_path / "labels" / LABEL, heart(), order=order, forms=("qform",), shift=0.1)
    assert [line.partition(": ")[2] for line in problems(tmp_path)] == [f"affine differs from its image's; {REGRID}"]


def test_only_the_affine_that_counts_is_compared(tmp_path):
    folder = write_case(tmp_path)
    edit_header(folder / LABEL, qoffset_x=0)
    assert len(read(tmp_path)) == 1
    edit_header(folder / LABEL, sform_code=0)
    assert len(problems(tmp_path)) == 1


@pytest.mark.parametrize("array", [np.stack([heart()] * 2, 3), heart()[..., None]])
def test_canonical_takes_three_axes(array, tmp_path):
    path = save(tmp_path / "a.nii.gz", array)
    if array.shape[3] == 1:
        np.testing.assert_array_equal(mmwhs.canonical(path)[0], heart())
    else:
        with pytest.raises(InputError, match=r"a\.nii\.gz: has 4 axes where 3 are expected"):
            mmwhs.canonical(path)


def test_no_volumes(tmp_path):
    (tmp_path / "readme.txt").write_text("nothing here", encoding="utf-8")
    assert problems(tmp_path) == [
        f"no volumes below {tmp_path.as_posix()}; expected ct_train/ct_train_1001_image.nii.gz and others, "
        "see data/README.md"
    ]


def test_any_damaged_header_is_read_or_refused_but_never_crashes(tmp_path, rng):
    folder = write_case(tmp_path)
    sound, manifest = (folder / LABEL).read_bytes(), Manifest.of("MM-WHS", "synthetic", tmp_path)
    refused = 0
    for _ in range(150):
        damaged = bytearray(gzip.decompress(sound))
        damaged[rng.integers(252, 328)] = rng.choice([0, 1, 127, 128, 255])  # the codes, quaternion and rows
        (folder / LABEL).write_bytes(gzip.compress(bytes(damaged), 1))
        try:
            (case,) = mmwhs.read(manifest)
            assert len(mmwhs.prepare(case, 2.0, 8, 2.0).labels) == 5
        except InputError:
            refused += 1
    assert 20 < refused < 145
