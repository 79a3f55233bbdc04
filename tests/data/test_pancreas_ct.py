"""Pancreas-CT as TCIA ships it, written small: order of slices, orientation, HU, every complaint."""

import gzip
import io
import itertools
import shutil
import struct
import tracemalloc

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    MPEG2MPML,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from whereabouts.data import pancreas_ct
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError
from whereabouts.formats import dicom, dicom_pixels
from whereabouts.paths import RAW
from whereabouts.phantoms import pancreas_ct as phantom

REAL = RAW / "pancreas-ct"
SHAPE = (12, 10, 7)  # columns to the patient's left, rows to the back, slices to the head
SPACING = (1.0, 2.0, 3.0)
ORIGIN = (-30.0, -20.0, 100.0)
AXIAL = (1, 0, 0, 0, 1, 0)
RELABEL = "relabel these voxels, or restore the file as released"
AGAIN = "copy or unpack it again"
IN_PLANE = [
    tuple(int(v) for v in (*x, *y))
    for x, y in itertools.permutations(np.concatenate([np.eye(3)[:2], -np.eye(3)[:2]]), 2)
    if x @ y == 0
]


def outline(shape=SHAPE):
    """A pancreas in one octant, without symmetry: under any flip it lies elsewhere."""
    labels = np.zeros(shape, np.uint8)
    labels[1:4, 1:3, 1:3] = 1
    labels[4, 1, 1] = 1
    return labels


def body(labels, noise=10):
    """HU: fat, with 90 where the pancreas is and a little noise, air in the last column."""
    rng = np.random.default_rng(3)
    hu = np.where(labels == 1, 90, -100) + rng.integers(-noise, noise + 1, labels.shape)
    hu[-1] = -1000
    return hu.astype(np.int16)


def save_slice(path, pixels, position, syntax=ExplicitVRLittleEndian, **tags):
    """One file of (columns, rows) stored values."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3.5"
    meta.TransferSyntaxUID = syntax if syntax != RLELossless else ExplicitVRLittleEndian
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.SeriesInstanceUID, dataset.InstanceNumber = "CT", "1.2.3.4", 1
    dataset.Columns, dataset.Rows = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, int(pixels.dtype == np.int16)
    dataset.PixelSpacing = [SPACING[1], SPACING[0]]  # between rows, between columns
    dataset.ImageOrientationPatient, dataset.ImagePositionPatient = list(AXIAL), [float(v) for v in position]
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.add_new("PixelData", "OW", pixels.T.astype(">u2" if syntax == ExplicitVRBigEndian else "<u2").tobytes())
    for tag, value in tags.items():
        setattr(dataset, tag, value)
    if syntax == RLELossless:
        dataset.compress(RLELossless)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def save_series(folder, stored, orientation=AXIAL, spacing=SPACING, origin=ORIGIN, **tags):
    """(columns, rows, slices) in slices whose names and numbers say nothing of their order; the k-th as file_of(k)."""
    x, y = np.reshape(orientation, (2, 3))
    head = np.cross(x, y) * np.sign(np.cross(x, y)[2])
    for k in range(stored.shape[2]):
        position = np.add(origin, k * spacing[2] * head)
        own = {tag: value[k] if isinstance(value, list) else value for tag, value in tags.items()}
        own |= {"ImageOrientationPatient": list(orientation), "PixelSpacing": [spacing[1], spacing[0]]}
        save_slice(folder / file_of(k), stored[:, :, k], position, InstanceNumber=(5 * k) % 7 + 1, **own)


def file_of(k):
    return f"1-{(3 * k + 2) % 7}.dcm"


def save_labels(path, labels, affine=None):
    """Labels with an affine that says nothing true."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(labels, np.diag([-0.3, 0.4, -9, 1]) if affine is None else affine)
    path.write_bytes(gzip.compress(image.to_bytes(), 1))


def series_of(root, number="0001"):
    return root / "Pancreas-CT" / f"PANCREAS_{number}" / "11-24-2015-PANCREAS" / "Pancreas-18957"


def labels_of(root, number="0001"):
    return root / "TCIA_pancreas_labels-02-05-2017" / f"label{number}.nii.gz"


def write_case(root, number="0001", labels=None, stored=None, **options):
    """One case in TCIA's layout below `root`."""
    labels = outline() if labels is None else labels
    save_series(series_of(root, number), body(labels) if stored is None else stored, **options)
    save_labels(labels_of(root, number), labels)
    return root


def edit(path, **tags):
    """Set tags of a file, or delete those that are None."""
    dataset = pydicom.dcmread(path)
    for tag, value in tags.items():
        if value is None:
            delattr(dataset, tag)
        else:
            setattr(dataset, tag, value)
    dataset.save_as(path)


def read(root):
    return pancreas_ct.read(Manifest.of("Pancreas-CT", "synthetic", root))


def load(root):
    (case,) = read(root)
    return pancreas_ct.load(case)


def problems(root):
    with pytest.raises(InputError) as error:
        read(root)
    return error.value.problems


# Layout and order


@pytest.mark.parametrize("prefix", ["", "TCIA/2024", "PANCREAS"])
def test_layout(prefix, tmp_path):
    for number in ("0082", "0003"):
        write_case(tmp_path / prefix, number)
    (series_of(tmp_path / prefix, "0003") / "LICENSE").write_text("CC BY 3.0", encoding="utf-8")
    (tmp_path / prefix / "metadata.csv").write_text("stray", encoding="utf-8")
    first, second = read(tmp_path)
    assert (first.name, second.name) == ("PANCREAS_0003", "PANCREAS_0082")
    assert first.truth == labels_of(tmp_path / prefix, "0003")
    assert first.slices == tuple(series_of(tmp_path / prefix, "0003") / file_of(k) for k in range(SHAPE[2]))


@pytest.mark.parametrize("ending", ["", ".DCM", ".IMA", ".1.2.840.1"])
def test_files_may_lie_elsewhere(ending, tmp_path):
    """Straight below PANCREAS_0001, with any ending or none, beside what is no slice; labels beside that folder."""
    folder = tmp_path / "PANCREAS_0001"
    save_series(folder, body(outline()))
    for path in list(folder.iterdir()):
        path.rename(path.with_name(path.stem + ending))
    shutil.copy(next(folder.iterdir()), folder / "DICOMDIR")
    (folder / "LICENSE").write_text("CC BY 3.0", encoding="utf-8")
    (folder / "empty").write_bytes(b"")
    save_labels(tmp_path / "label0001.nii.gz", outline())
    assert len(read(tmp_path)[0].slices) == SHAPE[2]


def test_only_the_manifest_says_which_files_exist(tmp_path):
    write_case(tmp_path)
    manifest = Manifest.of("Pancreas-CT", "synthetic", tmp_path)
    write_case(tmp_path, "0002")
    assert [case.name for case in pancreas_ct.read(manifest)] == ["PANCREAS_0001"]


def test_withdrawn_cases_are_left_out_and_named(tmp_path, capsys):
    write_case(tmp_path)
    write_case(tmp_path, "0025")
    save_labels(labels_of(tmp_path, "0070"), 0 * outline())  # of these, not even what is wrong is looked at
    assert [case.name for case in read(tmp_path)] == ["PANCREAS_0001"]
    shown = tmp_path.as_posix()
    assert capsys.readouterr().out.splitlines() == [
        f"{shown}/Pancreas-CT/PANCREAS_0025: left out, TCIA withdrew case 0025 as a duplicate of 0002",
        f"{shown}/TCIA_pancreas_labels-02-05-2017/label0025.nii.gz: left out, TCIA withdrew case 0025 as a duplicate "
        "of 0002",
        f"{shown}/TCIA_pancreas_labels-02-05-2017/label0070.nii.gz: left out, TCIA withdrew case 0070 as a duplicate "
        "of 0002",
    ]


# Geometry and HU


def test_load_is_to_the_right_front_and_head(tmp_path):
    """Columns run to the left and rows to the back, so both are reversed; slices run upwards already."""
    write_case(tmp_path)
    scan = load(tmp_path)
    np.testing.assert_array_equal(scan.image, body(outline())[::-1, ::-1])
    np.testing.assert_array_equal(scan.labels, outline()[::-1, ::-1])
    assert (scan.name, scan.spacing) == ("PANCREAS_0001", SPACING)
    assert (scan.image.dtype, scan.labels.dtype) == (np.int16, np.uint8)
    assert all(type(step) is float for step in scan.spacing)


@pytest.mark.parametrize("orientation", IN_PLANE)
@pytest.mark.parametrize("spacing", [(1.0, 2.0, 3.0), (2.0, 1.0, 0.5)])
def test_every_axial_orientation_by_world_coordinates(orientation, spacing, tmp_path):
    """HU are written as a function of where a voxel lies in mm, and must come out as that function of RAS+."""
    x, y = np.reshape(orientation, (2, 3))
    i, j, k = np.indices(SHAPE)
    lps = np.moveaxis([ORIGIN[a] + i * spacing[0] * x[a] + j * spacing[1] * y[a] for a in range(3)], 0, -1)
    lps[..., 2] += k * spacing[2]
    right, front, up = -lps[..., 0], -lps[..., 1], lps[..., 2]
    corner = [v.min() for v in (right, front, up)]
    ramp = 4 * (right - corner[0]) + 2 * (front - corner[1]) + (up - corner[2])
    labels = (ramp < 30).astype(np.uint8)
    write_case(tmp_path, labels=labels, stored=(2 * ramp).astype(np.int16), orientation=orientation, spacing=spacing)
    scan = load(tmp_path)
    ahead = spacing[:2] if x[0] else spacing[1::-1]
    assert scan.spacing == (*ahead, spacing[2])
    a, b, c = (index * step for index, step in zip(np.indices(scan.image.shape), scan.spacing, strict=True))
    np.testing.assert_array_equal(scan.image, 2 * (4 * a + 2 * b + c))
    np.testing.assert_array_equal(scan.labels, 4 * a + 2 * b + c < 30)


def test_neither_names_nor_numbers_but_positions_order_the_slices(tmp_path):
    write_case(tmp_path)
    (case,) = read(tmp_path)
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in case.slices]
    heights = [header.ImagePositionPatient[2] for header in headers]
    assert heights == [100, 103, 106, 109, 112, 115, 118]
    assert [header.InstanceNumber for header in headers] == [1, 6, 4, 2, 7, 5, 3]
    assert sorted(case.slices) != list(case.slices)


def test_slices_below_zero_and_far_off_are_in_order(tmp_path):
    """As text, -9 comes after -12 and 100 before 20."""
    write_case(tmp_path, origin=(400.0, -900.0, -9.0))
    np.testing.assert_array_equal(load(tmp_path).image, body(outline())[::-1, ::-1])


def test_rounding_may_make_a_direction_longer_than_1(tmp_path):
    write_case(tmp_path, orientation=(1.0000001, 0, 0, 0, 1.0000001, 0))
    np.testing.assert_array_equal(load(tmp_path).labels, outline()[::-1, ::-1])


def test_a_little_tilt_and_uneven_steps_are_rounding(tmp_path):
    cos, sin = np.cos(np.radians(0.4)).round(6), np.sin(np.radians(0.4)).round(6)
    write_case(tmp_path, orientation=(cos, sin, 0, -sin, cos, 0))
    edit(series_of(tmp_path) / file_of(3), ImagePositionPatient=[-30, -20, 109.7])
    assert load(tmp_path).spacing == (1.0, 2.0, pytest.approx(3.0, abs=1e-3))


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype", "expected"),
    [
        (1, -1024, np.uint16, np.int16),
        (2, 24, np.int16, np.int16),
        (0.5, -0.25, np.int16, np.float32),
        (1, -40000, np.uint16, np.float32),  # does not fit into 16 bits
        ([1, 1, 1, 0.5, 1, 1, 1], 0, np.int16, np.float32),  # of one slice
    ],
)
def test_hounsfield_units(slope, intercept, dtype, expected, tmp_path):
    hu = body(outline()) // 2 * 2.0
    if intercept == -0.25:
        hu += 0.25
    if intercept == -40000:
        hu[0, 0] = -39000
    if isinstance(slope, list):
        hu[:, :, 3] += 0.5
    slopes = np.array(slope if isinstance(slope, list) else [slope] * SHAPE[2])
    stored = ((hu - intercept) / slopes).astype(dtype)
    write_case(tmp_path, stored=stored, RescaleSlope=slope, RescaleIntercept=intercept)
    scan = load(tmp_path)
    assert scan.image.dtype == expected
    np.testing.assert_array_equal(scan.image, hu[::-1, ::-1])


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
    ],
    ids=lambda syntax: syntax.keyword,
)
def test_transfer_syntaxes(syntax, tmp_path):
    write_case(tmp_path, syntax=syntax)
    np.testing.assert_array_equal(load(tmp_path).image, body(outline())[::-1, ::-1])


@pytest.mark.parametrize(("declared", "kind"), [(-2000, "SS"), (63536, "US")])
def test_dark_padding_keeps_its_value(declared, kind, tmp_path):
    pad(2, -2000, declared, kind)(write_case(tmp_path))
    assert (load(tmp_path).image[:, -1, 2] == -2000).all()


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_values_count_and_not_what_a_screen_makes_of_them(kind, tmp_path):
    write_case(tmp_path, PhotometricInterpretation=kind, RescaleType="US", SliceThickness=7, ImagerPixelSpacing="9\\9")
    scan = load(tmp_path)
    np.testing.assert_array_equal(scan.image, body(outline())[::-1, ::-1])
    assert scan.spacing == SPACING


def packed(syntax, frame):
    """The third slice's pixels are `frame`, packed."""

    def spoil(root):
        path = series_of(root) / file_of(2)
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = pydicom.encaps.encapsulate([frame])
        dataset["PixelData"].VR = "OB"
        dataset.save_as(path)

    return spoil


def picture(kind, shape, **options):
    buffer = io.BytesIO()
    Image.fromarray(np.full(shape, 7, np.uint8)).save(buffer, kind, **options)
    return buffer.getvalue()


RUNS = struct.pack("<16I", 2, 64, 64 + 2 * 2000, *[0] * 13) + b"\x81\0" * 4000
ELSEWISE = "its pixels are 90 x 80 where 12 x 10 are announced; export it again"
JPEG = picture("JPEG", (10, 12))
BOMBS = {
    "RLE": (RLELossless, RUNS, "its pixels unpack to more than the 240 bytes announced; export it again"),
    "JPEG": (JPEGBaseline8Bit, picture("JPEG", (80, 90)), ELSEWISE),
    "JPEG 2000": (JPEG2000Lossless, picture("JPEG2000", (80, 90), no_jp2=True), ELSEWISE),
    "JP2": (JPEG2000Lossless, picture("JPEG2000", (10, 12)), "its pixels are no JPEG 2000 codestream; decompress it"),
    "scans": (
        JPEGBaseline8Bit,
        JPEG[:-2] + b"\xff\xda\0\x08\1\1\0\0\x3f\0" * 9 + JPEG[-2:],
        "its pixels are not in a few scans, as a baseline JPEG's; decompress it",
    ),
}


@pytest.mark.parametrize("case", BOMBS)
def test_packed_pixels_are_measured_before_they_are_unpacked(case, tmp_path, monkeypatch):
    syntax, frame, text = BOMBS[case]
    packed(syntax, frame)(write_case(tmp_path))
    monkeypatch.setattr(dicom_pixels, "hounsfield", lambda dataset: "was unpacked; never")
    assert f"{file_of(2)}: {text}" in "\n".join(problems(tmp_path))


@pytest.mark.parametrize(("syntax", "kind"), [(JPEGBaseline8Bit, "JPEG"), (JPEG2000Lossless, "JPEG2000")])
def test_lossy_and_lossless_pictures_are_read(syntax, kind, tmp_path):
    write_case(tmp_path, RescaleIntercept=-1024)
    options = {"no_jp2": True} if kind == "JPEG2000" else {}
    packed(syntax, picture(kind, (10, 12), **options))(tmp_path)
    edit(series_of(tmp_path) / file_of(2), BitsAllocated=8, BitsStored=8, HighBit=7, PixelRepresentation=0)
    faults = []
    hu = dicom.hounsfield((series_of(tmp_path) / file_of(2),), faults)
    assert not faults and (hu == 7 - 1024).all()


def test_compressed_air_may_be_much_larger_than_its_file(tmp_path):
    """512 x 512 pixels of one value, deflated to less than a hundredth."""
    labels = np.zeros((512, 512, 2), np.uint8)
    labels[100:200, 300:350, 0] = 1
    stored = np.where(labels == 1, 80, -1000).astype(np.int16)
    write_case(tmp_path, labels=labels, stored=stored, syntax=DeflatedExplicitVRLittleEndian)
    assert max(path.stat().st_size for path in series_of(tmp_path).iterdir()) < 512 * 512 * 2 / 100
    assert load(tmp_path).image.shape == (512, 512, 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64, ">f4"])
@pytest.mark.parametrize("affine", [np.eye(4), np.diag([1, -1, -1, 1])])
def test_labels_of_any_type_and_affine(dtype, affine, tmp_path):
    write_case(tmp_path)
    save_labels(labels_of(tmp_path), outline().astype(dtype), affine)
    np.testing.assert_array_equal(load(tmp_path).labels, outline()[::-1, ::-1])


def test_what_pydicom_only_warns_of_is_no_fault(tmp_path, capsys):
    """An identifier with a letter, an orientation of too many digits, more pixels than there are."""
    write_case(tmp_path, SeriesInstanceUID="1.2.3.4444")
    for path in series_of(tmp_path).iterdir():
        edit(path, PixelData=pydicom.dcmread(path).PixelData + bytes(8))
        content = path.read_bytes()
        path.write_bytes(
            content.replace(b"1.2.3.4444", b"1.2.three4").replace(b"1\\0\\0\\0\\1\\0 ", b"1\\0\\0\\0\\1\\-0")
        )
        with pytest.warns(UserWarning):
            assert pydicom.dcmread(path).pixel_array.size
    np.testing.assert_array_equal(load(tmp_path).image, body(outline())[::-1, ::-1])
    assert capsys.readouterr().out == ""


def test_pixels_are_read_once(tmp_path, monkeypatch):
    write_case(tmp_path)
    real, whole = dicom._read, []
    monkeypatch.setattr(
        dicom,
        "_read",
        lambda path, **options: (options.get("stop_before_pixels") or whole.append(path), real(path, **options))[1],
    )
    (case,) = read(tmp_path)
    assert sorted(whole) == sorted(case.slices)


# Complaints: what is done to case 0001, the path that the line must begin with, and how the line goes on


def rewrite(labels):
    return lambda root: save_labels(labels_of(root), labels)


def change(k, **tags):
    return lambda root: edit(series_of(root) / file_of(k), **tags)


def change_all(**tags):
    return lambda root: [edit(path, **tags) for path in series_of(root).iterdir()]


def place(position):
    """The k-th slice somewhere else."""
    return lambda root: [
        edit(series_of(root) / file_of(k), ImagePositionPatient=list(position(k))) for k in range(SHAPE[2])
    ]


def pad(k, value, declared, kind="SS"):
    """The first row holds `value`, and padding is declared, with a sign or without."""

    def spoil(root):
        dataset = pydicom.dcmread(series_of(root) / file_of(k))
        pixels = dataset.pixel_array.copy()
        pixels[0] = value
        dataset.PixelData = pixels.tobytes()
        dataset.add_new("PixelPaddingValue", kind, declared)
        dataset.save_as(series_of(root) / file_of(k))

    return spoil


def content(k, data):
    return lambda root: (series_of(root) / file_of(k)).write_bytes(data)


def cut(k, count):
    def spoil(root):
        path = series_of(root) / file_of(k)
        path.write_bytes(path.read_bytes()[:count])

    return spoil


def remove(k):
    return lambda root: (series_of(root) / file_of(k)).unlink()


def claim(k, syntax):
    """Say that the file is compressed, without compressing it."""

    def spoil(root):
        path = series_of(root) / file_of(k)
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = pydicom.encaps.encapsulate([b"no picture"])
        dataset.save_as(path)

    return spoil


def corrupt(k, old, new):
    def spoil(root):
        path = series_of(root) / file_of(k)
        assert path.read_bytes().count(old) == 1
        path.write_bytes(path.read_bytes().replace(old, new))

    return spoil


def copy(k, name, **tags):
    def spoil(root):
        path = series_of(root) / name
        path.write_bytes((series_of(root) / file_of(k)).read_bytes())
        edit(path, **tags)

    return spoil


def turn(orientation):
    return change_all(ImageOrientationPatient=list(orientation))


def spoilt(value):
    labels = outline().astype(np.float32)
    labels[5, 5, 1 : 1 + np.size(value)] = value
    return labels


def slice_(k):
    return f"Pancreas-CT/PANCREAS_0001/11-24-2015-PANCREAS/Pancreas-18957/{file_of(k)}"


FOLDER = "Pancreas-CT/PANCREAS_0001"
LABELS = "TCIA_pancreas_labels-02-05-2017/label0001.nii.gz"
COS, SIN = np.cos(np.radians(12)), np.sin(np.radians(12))
DAMAGED = "truncated or damaged"
CASES = {
    "empty": (content(2, b""), slice_(2), "not a DICOM file; replace or remove it"),
    "text": (content(2, b"no DICOM file at all " * 20), slice_(2), "not a DICOM file; replace or remove it"),
    "header cut off": (cut(2, 300), slice_(2), "has no usable Modality, SeriesInstanceUID, PhotometricInterpretation"),
    "pixels cut off": (cut(2, -7), slice_(2), f"{DAMAGED} (ValueError); {AGAIN}"),
    "no pixels": (change(2, PixelData=None, Rows=2000), slice_(2), "12 x 2000 pixels do not go into "),
    "MR": (change(2, Modality="MR"), slice_(2), "MR where CT is expected; remove it"),
    "no modality": (change(2, Modality=None), slice_(2), "has no usable Modality; copy or export it again"),
    "empty position": (
        change(2, ImagePositionPatient=""),
        slice_(2),
        "has no usable ImagePositionPatient; copy or export it again",
    ),
    "two positions": (
        change(2, ImagePositionPatient=[1, 2]),
        slice_(2),
        "has no usable ImagePositionPatient; copy or export it again",
    ),
    "no slope": (change(2, RescaleSlope=None), slice_(2), "has no usable RescaleSlope; copy or export it again"),
    "no geometry": (
        change(2, PixelSpacing=None, ImageOrientationPatient=None),
        slice_(2),
        "has no usable PixelSpacing, ImageOrientationPatient; copy or export it again",
    ),
    "zero spacing": (change(2, PixelSpacing=[1, 0]), slice_(2), "has no usable PixelSpacing; copy or export it again"),
    "no rows": (change(2, Rows=0), slice_(2), "has no usable Rows; copy or export it again"),
    "spacing in words": (
        corrupt(2, b"2.0\\1.0 ", b"2.0\\one "),
        slice_(2),
        "has no usable PixelSpacing; copy or export it again",
    ),
    "colour": (change(2, SamplesPerPixel=3), slice_(2), "is not one grey slice; remove it, or export one grey slice"),
    "frames": (change(2, NumberOfFrames=2), slice_(2), "is not one grey slice; remove it, or export one grey slice"),
    "video": (
        claim(2, MPEG2MPML),
        slice_(2),
        "its compression (MPEG2 Main Profile / Main Level) cannot be decoded; decompress it",
    ),
    "broken RLE": (claim(2, RLELossless), slice_(2), f"{DAMAGED} ("),
    "huge": (change(2, Rows=60000, Columns=60000), slice_(2), "60000 x 60000 pixels do not go into "),
    "two series": (
        change(2, SeriesInstanceUID="1.2.3.77"),
        FOLDER,
        f"has 2 series (see ROOT/{slice_(4)} and ROOT/{slice_(2)}); keep the one that the labels belong to",
    ),
    "mixed spacing": (
        change(2, PixelSpacing=[2, 1.1]),
        slice_(2),
        "1.1, 2 mm between pixels, the other slices 1, 2; replace or remove it",
    ),
    "mixed shape": (
        change(2, Columns=10, Rows=12),
        slice_(2),
        "10, 12 pixels, the other slices 12, 10; replace or remove it",
    ),
    "mixed orientation": (
        change(2, ImageOrientationPatient=[-1, 0, 0, 0, -1, 0]),
        slice_(2),
        "-1, 0, 0, 0, -1, 0 for orientation, the other slices 1, 0, 0, 0, 1, 0; replace or remove it",
    ),
    "gantry tilt": (turn((1, 0, 0, 0, COS, SIN)), FOLDER, "its slices are oblique by 12.0 degrees, not axial; "),
    "turned in plane": (turn((COS, SIN, 0, -SIN, COS, 0)), FOLDER, "its slices are oblique by 12.0 degrees, not axial"),
    "coronal": (turn((1, 0, 0, 0, 0, -1)), FOLDER, "its slices are coronal, not axial; take the axial series"),
    "sagittal": (turn((0, 1, 0, 0, 0, -1)), FOLDER, "its slices are sagittal, not axial; take the axial series"),
    "no plane": (turn((1, 0, 0, 1, 0, 0)), FOLDER, "its slices are oblique by 90.0 degrees, not axial; "),
    "gap": (
        remove(2),
        FOLDER,
        f"no slice between 103.00 and 109.00 mm ({file_of(1)} and {file_of(3)}), others are 3.00 mm apart; add it",
    ),
    "doubled": (
        copy(2, "9.dcm"),
        slice_(2).replace(file_of(2), "9.dcm"),
        f"at 106.00 mm, where ROOT/{slice_(2)} lies; keep one of them",
    ),
    "nearly doubled": (
        copy(2, "9.dcm", ImagePositionPatient=[-30, -20, 107.2]),
        slice_(2).replace(file_of(2), "9.dcm"),
        f"at 107.20 mm, where ROOT/{slice_(2)} lies; keep one of them",
    ),
    "one position": (
        change_all(ImagePositionPatient=list(ORIGIN)),
        FOLDER,
        "has slices at one position only; export the series again",
    ),
    "constant": (
        change_all(RescaleIntercept=-1024, PixelData=bytes(2 * SHAPE[0] * SHAPE[1])),
        slice_(2).rpartition("/")[0],
        "constant, every voxel has -1024 HU; replace it",
    ),
    "no positive slope": (change(2, RescaleSlope=0), slice_(2), "its RescaleSlope is 0, not positive; export it again"),
    "two series in one slice": (
        change(2, SeriesInstanceUID=["1.2.3.4", "1.2.3.5"]),
        slice_(2),
        "has no usable SeriesInstanceUID; copy or export it again",
    ),
    "colour of one channel": (
        change(2, PhotometricInterpretation="PALETTE COLOR"),
        slice_(2),
        "is PALETTE COLOR where MONOCHROME2 is expected; export it again",
    ),
    "electron densities": (
        change(2, RescaleType="ED"),
        slice_(2),
        "its values are in 'ED', not in HU; take the series of HU",
    ),
    "bits elsewhere": (
        change(2, HighBit=14),
        slice_(2),
        "says of its pixels what does not fit (BitsStored 16 of 16); ",
    ),
    "bits beyond": (
        change(2, BitsStored=8, HighBit=7),
        slice_(2),
        "has values beyond the 8 bits that are said to be stored; export it again",
    ),
    "half the bits": (
        change(2, BitsAllocated=8, BitsStored=8, HighBit=7),
        slice_(2),
        "240 bytes of pixels where 120 are announced; export it again",
    ),
    "unsigned for signed": (
        change(2, PixelRepresentation=0),
        slice_(2),
        "has values up to 65446 HU, perhaps unsigned for signed (PixelRepresentation); export it again",
    ),
    "bright padding": (
        pad(2, 3000, 3000),
        slice_(2),
        "pads with 3000 HU, brighter than air; set these pixels to air",
    ),
    "true but huge": (
        change(2, PixelData=bytes(2 * 3000 * 3000), Rows=3000, Columns=3000),
        slice_(2),
        "3000 x 3000 pixels, more than 4194304; reduce or remove it",
    ),
    "gantry said to be tilted": (
        change_all(GantryDetectorTilt=-12),
        FOLDER,
        "its slices are of a gantry tilted by -12 degrees, not axial; take the axial series",
    ),
    "sheared": (
        place(lambda k: (-30, -20 + 0.2 * k, 100 + 3 * k)),
        FOLDER,
        "its slices are shifted against one another by 1.20 mm; resample it, or take another series",
    ),
    "two steps": (
        place(lambda k: (-30, -20, 100 + 3 * k + 1.4 * max(k - 3, 0))),
        FOLDER,
        "its slices are 3.00 to 4.40 mm apart; resample it, or take another series",
    ),
    "infinite": (change(2, RescaleSlope="1e300"), slice_(2), "has NaN or infinite HU; export it again"),
    "no labels": (lambda root: labels_of(root).unlink(), FOLDER, "has no labels; add label0001.nii.gz"),
    "no images": (
        lambda root: [path.unlink() for path in series_of(root).iterdir()],
        LABELS,
        "has no images; add PANCREAS_0001 or remove it",
    ),
    "shape": (
        rewrite(outline()[:, :, :-1]),
        LABELS,
        "shape (12, 10, 6), not (12, 10, 7) as its slices; replace it by the labels of this series",
    ),
    "transposed": (
        rewrite(outline().swapaxes(0, 1)),
        LABELS,
        "shape (10, 12, 7), not (12, 10, 7) as its slices; replace it by the labels of this series",
    ),
    "4D labels": (rewrite(np.stack([outline()] * 2, 3)), LABELS, "has 4 axes where 3 are expected; give one of 3"),
    "label 2": (rewrite(spoilt(2)), LABELS, f"has labels other than 0 and 1 (2); {RELABEL}"),
    "labels between": (rewrite(spoilt([0.5, 0.3])), LABELS, "has labels that are not whole (0.3, 0.5); "),
    "label nan": (rewrite(spoilt(np.nan)), LABELS, "has NaN or infinite labels; "),
    "many labels": (
        rewrite(spoilt([9, 4, -1, 3, 2, 8])),
        LABELS,
        f"has labels other than 0 and 1 (-1, 2, 3, 4, 8, ..); {RELABEL}",
    ),
    "no pancreas": (rewrite(0 * outline()), LABELS, "shows nothing but background; label it, or leave the case out"),
    "no gzip": (
        lambda root: labels_of(root).write_bytes(b"x"),
        LABELS,
        f"truncated: 1 bytes do not hold a NIfTI-1 header; {AGAIN}",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_complaint(case, tmp_path):
    spoil, path, text = CASES[case]
    write_case(write_case(tmp_path), "0002")
    spoil(tmp_path)
    (line,) = problems(tmp_path)
    assert line.startswith(f"{tmp_path.as_posix()}/{path}: {text.replace('ROOT', tmp_path.as_posix())}")
    assert line.count("; ") == 1 and "\n" not in line  # what is wrong; what to do


def test_all_complaints_come_at_once(tmp_path):
    """One case each, all in one report, in the order of the cases."""
    expected = []
    for number, (spoil, path, text) in zip(map("{:04d}".format, range(101, 200)), CASES.values(), strict=False):
        spoil(write_case(tmp_path))
        (tmp_path / FOLDER).rename(tmp_path / FOLDER.replace("0001", number))
        if labels_of(tmp_path).exists():
            labels_of(tmp_path).rename(labels_of(tmp_path, number))
        line = f"ROOT/{path}: {text}".replace("0001", number)
        expected.append(line.replace("ROOT", tmp_path.as_posix()))
    found = problems(tmp_path)
    assert len(found) == len(CASES)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True))


def test_labels_that_are_unpacked_are_named(tmp_path):
    labels_of(write_case(tmp_path)).rename(labels_of(tmp_path).with_suffix(""))
    line = f"{tmp_path.as_posix()}/{FOLDER}: has no labels but label0001.nii; add label0001.nii.gz"
    assert problems(tmp_path) == [line]


def test_several_complaints_about_one_case(tmp_path):
    """A damaged slice hides neither what is wrong with others nor with the labels, and no gap is made of it."""
    write_case(tmp_path)
    for spoil in (content(1, b"x" * 200), change(4, Modality="PT"), rewrite(spoilt(3))):
        spoil(tmp_path)
    assert sorted(line.partition(": ")[2] for line in problems(tmp_path)) == [
        "PT where CT is expected; remove it",
        f"has labels other than 0 and 1 (3); {RELABEL}",
        "not a DICOM file; replace or remove it",
    ]


def test_damaged_pixels_and_labels_are_both_found(tmp_path):
    write_case(tmp_path)
    for spoil in (cut(1, -7), cut(5, -7), rewrite(0 * outline())):
        spoil(tmp_path)
    ends = [f"{file_of(1)}: {DAMAGED} ", f"{file_of(5)}: {DAMAGED} ", "label0001.nii.gz: shows nothing"]
    assert [end in line for end, line in zip(ends, problems(tmp_path), strict=True)] == [True] * 3


def test_pixels_are_read_where_labels_are_missing(tmp_path):
    write_case(tmp_path)
    labels_of(tmp_path).unlink()
    cut(1, -7)(tmp_path)
    assert len(problems(tmp_path)) == 2


def test_gaps_and_doubles_together(tmp_path):
    write_case(tmp_path)
    for spoil in (remove(1), remove(5), copy(3, "8.dcm"), copy(3, "9.dcm")):
        spoil(tmp_path)
    found = problems(tmp_path)
    words = ["between 100.00 and 106.00", "8.dcm: at 109.00", "9.dcm: at 109.00", "between 112.00 and 118.00"]
    assert [word in line for word, line in zip(words, found, strict=True)] == [True] * 4


def test_a_series_that_was_copied_has_doubles_and_no_gaps(tmp_path):
    write_case(tmp_path)
    for k in range(SHAPE[2]):
        copy(k, f"copy-{k}.dcm")(tmp_path)
    found = problems(tmp_path)
    assert len(found) == SHAPE[2] and all("keep one of them" in line for line in found)


def test_the_odd_slices_are_named_not_the_others(tmp_path):
    write_case(tmp_path)
    for k in (4, 3, 6):  # the first of all names is among them
        change(k, PixelSpacing=[3, 3])(tmp_path)
    (line,) = problems(tmp_path)
    first = min(slice_(k) for k in (4, 3, 6))
    assert line.startswith(f"{tmp_path.as_posix()}/{first} and 2 more: 3, 3 mm between pixels, the other slices 1, 2; ")


def test_a_case_unpacked_twice(tmp_path):
    for folder in ("a", "b"):
        write_case(tmp_path / folder)
    root = tmp_path.as_posix()
    assert problems(tmp_path) == [
        f"{root}/b/{name}: also found as {root}/a/{name}; keep one of them" for name in (FOLDER, LABELS)
    ]


def test_no_cases(tmp_path):
    save_labels(labels_of(tmp_path), outline())
    assert problems(tmp_path) == [
        f"no cases below {tmp_path.as_posix()}; expected PANCREAS_0001/<study>/<series>/*.dcm and others, "
        "see data/README.md"
    ]


def test_a_missing_file_is_named(tmp_path):
    write_case(tmp_path)
    manifest = Manifest.of("Pancreas-CT", "synthetic", tmp_path)
    remove(2)(tmp_path)
    with pytest.raises(InputError, match=rf"{file_of(2)}: cannot be read \(No such file or directory\); mend"):
        pancreas_ct.read(manifest)


@pytest.mark.skipif(pydicom.pixels.get_decoder(JPEGLosslessSV1).is_available, reason="a decoder is installed")
def test_compression_without_decoder(tmp_path):
    claim(2, JPEGLosslessSV1)(write_case(tmp_path))
    (line,) = problems(tmp_path)
    assert "its compression (JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14" in line


@pytest.mark.parametrize("spoil", [cut(2, -1), claim(2, RLELossless)])
def test_declared_sizes_take_no_memory(spoil, tmp_path):
    """60000 x 60000 pixels, plain and compressed, would be 7 GB."""
    spoil(write_case(tmp_path))
    edit(series_of(tmp_path) / file_of(2), Rows=60000, Columns=60000)
    tracemalloc.start()
    (line,) = problems(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "60000 x 60000 pixels do not go into" in line and peak < 20e6


# Where the labels lie

FLIPS = list(itertools.product((False, True), repeat=3))[1:]


def flipped(labels, flips):
    return np.flip(labels, np.flatnonzero(flips))


@pytest.fixture(scope="module")
def abdomens(tmp_path_factory):
    """Three synthetic scans, which fit their labels as they are."""
    root = tmp_path_factory.mktemp("abdomens")
    phantom.write(root, 3, 6.0, np.random.default_rng(1))
    assert len(read(root)) == 3
    return root


@pytest.mark.parametrize("axis", range(3))
def test_a_flip_is_found_though_most_of_the_labels_lie_on_soft_tissue_all_the_same(axis, abdomens, tmp_path):
    """As they do in an abdomen, where the other side is soft as well."""
    shutil.copytree(abdomens, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.rglob("label*.nii.gz"):
        image = nib.load(path)
        nib.save(nib.Nifti1Image(np.flip(np.asarray(image.dataobj), axis), image.affine), path)
    lines = problems(tmp_path)
    assert len(lines) == 3 and all(
        f": on soft tissue with {'xyz'[axis]} flipped (as stored: " in line for line in lines
    )


@pytest.mark.parametrize("flips", FLIPS)
@pytest.mark.parametrize("swapped", [False, True])
def test_the_flip_is_named(flips, swapped, tmp_path):
    right = outline((11, 11, 7))
    wrong = flipped(right, flips)
    write_case(tmp_path, labels=wrong.swapaxes(0, 1) if swapped else wrong, stored=body(right))
    words = ", ".join(f"{axis} flipped" for axis, flip in zip("xyz", flips, strict=True) if flip)
    words = f"x and y swapped, {words}" if swapped else words
    (line,) = problems(tmp_path)
    start = f"{labels_of(tmp_path).as_posix()}: on soft tissue with {words} (as stored: median -"
    assert line.startswith(start) and line.endswith("% within -50 to 250); restore it as released, or change it so")


def test_swapped_axes_are_named(tmp_path):
    labels = np.zeros((11, 11, 7), np.uint8)
    labels[1:3, 6:10, 1:3] = 1
    write_case(tmp_path, labels=labels.swapaxes(0, 1), stored=body(labels))
    (line,) = problems(tmp_path)
    assert ": on soft tissue with x and y swapped (as stored: median -100 HU, 0% within -50 to 250); " in line


def test_of_changes_that_fit_alike_the_smallest_is_named(tmp_path):
    """Labels in the middle slice look the same with z flipped."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:4, 1:3, SHAPE[2] // 2] = 1
    write_case(tmp_path, labels=labels[::-1], stored=body(labels))
    (line,) = problems(tmp_path)
    assert ": on soft tissue with x flipped (as stored: " in line


def test_of_changes_that_fit_the_one_that_fits_best_is_named(tmp_path):
    """With x flipped, 10 of 13 voxels lie on soft tissue; with x and z flipped, all."""
    stored = body(flipped(outline(), (True, False, True)))
    stored[tuple(np.argwhere(flipped(outline(), (True, False, False)))[:10].T)] = 90
    write_case(tmp_path, stored=stored)
    (line,) = problems(tmp_path)
    assert ": on soft tissue with x flipped, z flipped (as stored: " in line


def test_labels_that_never_fit(tmp_path):
    """Their x goes beyond the range of y, so that the two cannot be swapped."""
    labels = outline()
    labels[11, 0, 0] = 1
    write_case(tmp_path, labels=labels, stored=body(0 * outline(), noise=0))
    assert problems(tmp_path) == [
        f"{labels_of(tmp_path).as_posix()}: not on soft tissue, flipped or not (median -100 HU, 0% within -50 to 250, "
        "where 0 to 200 and at least 70% are expected); replace it by the labels of this case"
    ]


@pytest.mark.parametrize(
    ("hu", "share", "sound"),
    [
        ((0, -100), 0.72, True),  # the share is of what lies within, its ends included
        ((0, -100), 0.68, False),
        ((-50, -50), 1.0, False),  # all within, but the median is too low
        ((-1, -1), 1.0, False),
        ((200, 200), 1.0, True),
        ((201, 201), 1.0, False),
        ((100, 250), 0.6, True),
        ((10, -50), 0.6, True),
        ((100, 251), 0.6, False),
    ],
)
def test_what_counts_as_soft_tissue(hu, share, sound, tmp_path):
    labels = np.zeros((10, 10, 5), np.uint8)
    labels[:, :, 0] = 1  # 100 voxels
    stored = np.full(labels.shape, -1000, np.int16)
    stored[:, :, 0] = np.where(np.arange(100) < 100 * share, *hu).reshape(10, 10)
    write_case(tmp_path, labels=labels, stored=stored)
    if sound:
        assert load(tmp_path).labels.sum() == 100
    else:
        assert "not on soft tissue" in problems(tmp_path)[0]


def test_noise_fat_and_stents_within_are_tolerated(tmp_path):
    rng = np.random.default_rng(5)
    stored = body(outline())
    inside = outline() == 1
    stored[inside] = rng.normal(90, 40, inside.sum())
    stored[1:3, 1, 1] = (2500, -110)
    write_case(tmp_path, stored=stored)
    assert load(tmp_path).image.max() == 2500


# Damage


def test_any_damaged_slice_is_read_or_refused_but_never_crashes(tmp_path):
    labels = outline()[:, :, :3]
    write_case(tmp_path, labels=labels)
    rng, manifest = np.random.default_rng(0), Manifest.of("Pancreas-CT", "synthetic", tmp_path)
    path = series_of(tmp_path) / file_of(1)
    sound, refused = path.read_bytes(), 0
    for _ in range(150):
        damaged = bytearray(sound)
        for place in rng.integers(128, len(sound) - 240, 3):
            damaged[place] = rng.choice([0, 1, 32, 127, 128, 255])
        path.write_bytes(damaged)
        try:
            (case,) = pancreas_ct.read(manifest)
            assert pancreas_ct.load(case).image.shape == labels.shape
        except InputError:
            refused += 1
    assert 30 < refused < 145


@pytest.mark.skipif(not REAL.exists(), reason="no real Pancreas-CT under data/raw")
def test_real_cases():
    first = read(REAL)[0]
    scan = pancreas_ct.load(first)
    assert scan.image.shape[:2] == (512, 512) and 0 < np.median(scan.image[scan.labels == 1]) < 200
