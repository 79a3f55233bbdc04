"""ACDC's official layout, written small: reading, every complaint, slice positions, preparation."""

import gzip
import shutil

import nibabel as nib
import numpy as np
import pytest

from whereabouts.data import acdc, in_plane
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError
from whereabouts.paths import RAW

REAL = RAW / "acdc"
SHAPE = (20, 17, 5)
SPACING = (1.5, 1.25, 8.0)
FRAMES = 14


def heart(shape=SHAPE, apex_first=False):
    """Labels of concentric rings that shrink towards the apex; the slices at both ends show no heart."""
    y, x = np.indices(shape[:2])
    labels = np.zeros(shape, np.uint8)
    for index in range(1, shape[2] - 1):
        radius = 6 - 3 * index / shape[2]
        distance = np.hypot(y - shape[0] // 2, x - shape[1] // 2)
        labels[distance < radius, index] = 2
        labels[distance < radius - 1.5, index] = 3
        labels[(distance < radius) & (x < shape[1] // 2 - 3), index] = 1
    return labels[:, :, ::-1].copy() if apex_first else labels


def frame(labels):
    """An image in which each label has its own intensity, on a gentle ramp."""
    return (np.array([100, 500, 300, 700])[labels] + np.indices(labels.shape)[0]).astype(np.int16)


def beating(frames, labels=None):
    """A cycle in which each frame is 50 brighter than the one before, but for one bright corner."""
    still = frame(heart() if labels is None else labels)
    cycle = still[..., None] + 50 * np.arange(1, frames + 1, dtype=np.int16)
    cycle[0, 0] = 5000
    return cycle


def save(path, array, spacing=SPACING, affine=None):
    image = nib.Nifti1Image(array, np.diag([*spacing[: array.ndim], *[1] * (4 - len(spacing[: array.ndim]))]))
    if affine is not None:
        image.header.set_zooms((*spacing, 1)[: array.ndim])
        image.set_qform(affine, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(image.to_bytes(), 1))


def edit_header(path, **fields):
    content = bytearray(gzip.decompress(path.read_bytes()))
    header = nib.Nifti1Header(bytes(content[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    content[:348] = header.binaryblock
    path.write_bytes(gzip.compress(bytes(content)))


def write_patient(root, name="patient001", ed=1, es=12, group="DCM", labels=None, spacing=SPACING, cycle=False):
    """One patient in the official layout below `root`, with a 4D file where `cycle`; returns its folder."""
    folder = root / name
    labels = heart() if labels is None else labels
    for number in (ed, es):
        save(folder / f"{name}_frame{number:02d}.nii.gz", frame(labels), spacing)
        save(folder / f"{name}_frame{number:02d}_gt.nii.gz", labels, spacing)
    if cycle:
        save(folder / f"{name}_4d.nii.gz", beating(FRAMES, labels), spacing)
    lines = [f"ED: {ed}", f"ES: {es}", *([f"Group: {group}"] if group else []), "Height: 184.0", f"NbFrame: {FRAMES}"]
    (folder / "Info.cfg").write_text("\n".join(lines) + "\nWeight: 95.0\n", encoding="utf-8")
    return folder


def read(root):
    return acdc.read(Manifest.of("ACDC", "synthetic", root))


def problems(root):
    with pytest.raises(InputError) as error:
        read(root)
    return error.value.problems


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# Layout


@pytest.mark.parametrize("prefix", ["", "training", "database/training", "ACDC/database/testing"])
def test_every_layout_is_found(prefix, tmp_path):
    write_patient(tmp_path / prefix, "patient002", ed=4, es=9, group="RV", cycle=True)
    write_patient(tmp_path / prefix, "patient001", group=None)
    first, second = read(tmp_path)
    assert (first.name, first.group, first.ed, first.es, first.four_d) == ("patient001", None, 1, 12, None)
    assert (second.name, second.group, second.ed, second.es) == ("patient002", "RV", 4, 9)
    assert second.four_d == tmp_path / prefix / "patient002" / "patient002_4d.nii.gz"
    assert first.part == ("testing" if "testing" in prefix else "training")
    assert list(second.frames) == ["ED", "ES"]
    folder = tmp_path / prefix / "patient002"
    assert second.frames["ES"] == (folder / "patient002_frame09.nii.gz", folder / "patient002_frame09_gt.nii.gz")


def test_stray_files_and_further_frames_are_left_alone(tmp_path):
    folder = write_patient(tmp_path / "training")
    (folder / "._patient001_frame01.nii.gz").write_text("macOS", encoding="utf-8")
    (folder / "patient001_frame20.nii.gz").write_text("named by nobody", encoding="utf-8")
    (folder / "notes.txt").write_text("stray", encoding="utf-8")
    (folder / "patient001_frame01_copy.nii.gz").write_text("stray", encoding="utf-8")
    (tmp_path / "training" / "MANDATORY_CITATION.md").write_text("cite", encoding="utf-8")
    save(tmp_path / "patient009.nii.gz", heart())
    (tmp_path / "__MACOSX" / "patient003").mkdir(parents=True)
    (tmp_path / "__MACOSX" / "patient003" / "._Info.cfg").write_text("macOS", encoding="utf-8")
    (patient,) = read(tmp_path)
    assert patient.frames["ED"][0].name == "patient001_frame01.nii.gz"


def test_only_the_manifest_says_which_files_exist(tmp_path):
    write_patient(tmp_path, "patient001")
    manifest = Manifest.of("ACDC", "synthetic", tmp_path)
    write_patient(tmp_path, "patient002")
    assert [patient.name for patient in acdc.read(manifest)] == ["patient001"]
    shutil.rmtree(tmp_path / "patient001")
    with pytest.raises(InputError, match=r"Info\.cfg: cannot be read"):
        acdc.read(manifest)


def test_info_is_parsed_by_key(tmp_path):
    folder = write_patient(tmp_path, ed=7, es=1)
    (folder / "Info.cfg").write_bytes(b"\xef\xbb\xbfWeight: 70\r\nES:1\r\nremark\r\n  ED :  07 \r\nGroup:   MINF  \r\n")
    (patient,) = read(tmp_path)
    assert (patient.ed, patient.es, patient.group) == (7, 1, "MINF")


def test_testing_patients_may_lack_labels_and_training_patients_may_not(tmp_path):
    for part in ("training", "testing"):
        folder = write_patient(tmp_path / part, f"patient{len(part):03d}")
        for path in folder.glob("*_gt.nii.gz"):
            path.unlink()
    found = problems(tmp_path)
    assert len(found) == 2 and all("training/patient008" in line for line in found)
    shutil.rmtree(tmp_path / "training")
    (patient,) = read(tmp_path)
    assert patient.frames["ED"][1] is None and not patient.has_labels
    with pytest.raises(InputError, match="patient007: has no labels"):
        acdc.prepare(patient, 1.37, 16)


# Voxels


def test_volume_and_labels(tmp_path):
    write_patient(tmp_path, cycle=True)
    (patient,) = read(tmp_path)
    image, truth, spacing = acdc.frame(patient, "ED")  # slices as they are seen: the file's first axis runs across
    assert image.dtype == np.float32 and truth.dtype == np.uint8
    np.testing.assert_array_equal(image, frame(heart()).swapaxes(0, 1))
    np.testing.assert_array_equal(truth, heart().swapaxes(0, 1))
    np.testing.assert_array_equal(spacing, [SPACING[1], SPACING[0], SPACING[2]])
    whole, spacing = acdc.cycle(patient)
    np.testing.assert_array_equal(whole, beating(FRAMES).swapaxes(0, 1))
    np.testing.assert_array_equal(spacing, [SPACING[1], SPACING[0], SPACING[2]])


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_whole_numbers_of_any_type_are_labels(dtype, tmp_path):
    folder = write_patient(tmp_path)
    save(folder / "patient001_frame01_gt.nii.gz", heart().astype(dtype))
    (patient,) = read(tmp_path)
    np.testing.assert_array_equal(acdc.frame(patient, "ED")[1], heart().swapaxes(0, 1))


def test_single_fourth_axis_is_fine(tmp_path):
    folder = write_patient(tmp_path)
    save(folder / "patient001_frame01.nii.gz", frame(heart())[..., None])
    (patient,) = read(tmp_path)
    assert acdc.frame(patient, "ED")[0].shape == (SHAPE[1], SHAPE[0], SHAPE[2])


# Complaints: what is done to patient001, the file that the line must begin with, and what the line must say


def rewrite(file, array, **options):
    return lambda folder: save(folder / file, array, **options)


def content(file, data):
    return lambda folder: (folder / file).write_bytes(data)


def cut(file, end):
    return lambda folder: (folder / file).write_bytes((folder / file).read_bytes()[:end])


def field(file, **fields):
    return lambda folder: edit_header(folder / file, **fields)


def remove(file):
    return lambda folder: (folder / file).unlink()


def spoilt(value, dtype=np.float32):
    image = frame(heart()).astype(dtype)
    image[3, 4, 2] = value
    return image


def wrong_label(value, dtype):
    labels = heart().astype(dtype)
    labels[9, 8, 2] = value
    return labels


ED, TRUTH, CYCLE = "patient001_frame01.nii.gz", "patient001_frame01_gt.nii.gz", "patient001_4d.nii.gz"
PIXDIM = [1, *SPACING, 1, 1, 1, 1]
CASES = {
    "empty": (content(ED, b""), ED, "empty; copy or unpack it again"),
    "text": (content(TRUTH, b"no gzip"), TRUTH, "truncated: 7 bytes do not hold a NIfTI-1 header"),
    "truncated": (cut(ED, -40), ED, "truncated, damaged or not gzip"),
    "truncated inside": (content(ED, gzip.compress(b"\x5c\x01")), ED, "truncated: 2 bytes"),
    "no nifti": (content(ED, gzip.compress(bytes(500))), ED, "not a NIfTI-1 file"),
    "truncated cycle": (cut(CYCLE, 300), CYCLE, "truncated, damaged or not gzip"),
    "shape": (rewrite(TRUTH, heart((20, 18, 5))), TRUTH, "shape (20, 18, 5), not (20, 17, 5), differs"),
    "spacing": (
        rewrite(TRUTH, heart(), spacing=(1.5, 1.26, 8.0)),
        TRUTH,
        "spacing [1.5, 1.26, 8.0], not [1.5, 1.25, 8.0] mm, differs from its image's",
    ),
    "label 4": (rewrite(TRUTH, wrong_label(4, np.uint8)), TRUTH, "labels other than 0, 1, 2 and 3"),
    "label -1": (rewrite(TRUTH, wrong_label(-1, np.int16)), TRUTH, "labels other than 0, 1, 2 and 3"),
    "label 1.5": (rewrite(TRUTH, wrong_label(1.5, np.float32)), TRUTH, "has labels that are not whole (1.5)"),
    "label nan": (rewrite(TRUTH, wrong_label(np.nan, np.float32)), TRUTH, "has NaN or infinite labels"),
    "nan": (rewrite(ED, spoilt(np.nan)), ED, "NaN or infinite voxels"),
    "inf": (rewrite(ED, spoilt(np.inf)), ED, "NaN or infinite voxels"),
    "constant": (rewrite(ED, np.full(SHAPE, 7, np.int16)), ED, "constant from its 5th to its 95th percentile"),
    "nearly constant": (rewrite(ED, spoilt(9999, np.int16) // 9999), ED, "constant from its 5th"),
    "2D": (rewrite(TRUTH, heart()[:, :, 2]), TRUTH, "has 2 axes where a volume has 3"),
    "4D": (rewrite(ED, np.stack([frame(heart())] * 2, axis=3)), ED, "has 4 axes where 3 are expected"),
    "3D cycle": (rewrite(CYCLE, frame(heart())), CYCLE, "has 3 axes where 4 are expected"),
    "short cycle": (rewrite(CYCLE, beating(13)), CYCLE, "has 13 frames, but Info.cfg says NbFrame: 14; correct"),
    "cycle before ES": (
        lambda folder: [
            content("Info.cfg", b"ED: 1\nES: 12\n")(folder),
            rewrite(CYCLE, beating(11))(folder),
        ],
        CYCLE,
        "has 11 frames, but Info.cfg says ES: 12; correct",
    ),
    "nan cycle": (rewrite(CYCLE, beating(14) * np.float32(np.nan)), CYCLE, "NaN or infinite voxels"),
    "wider cycle": (
        rewrite(CYCLE, beating(14, heart((20, 18, 5)))),
        CYCLE,
        "shape (20, 18, 5), not (20, 17, 5), differs from its frames'",
    ),
    "deeper cycle": (rewrite(CYCLE, beating(14, heart((20, 17, 6)))), CYCLE, "shape (20, 17, 6), not (20, 17, 5),"),
    "coarser cycle": (
        rewrite(CYCLE, beating(14), spacing=(1.5, 1.3, 8.0)),
        CYCLE,
        "spacing [1.5, 1.3, 8.0], not [1.5, 1.25, 8.0] mm, differs from its frames'",
    ),
    "no image": (remove(ED), ED, "missing, Info.cfg names frame 1 as ED"),
    "no labels": (remove(TRUTH), TRUTH, "missing, training frames have labels"),
    "no info": (remove("Info.cfg"), "Info.cfg", "missing, it says which frames are ED and ES"),
    "no ES": (content("Info.cfg", b"ED: 1\nGroup: NOR\n"), "Info.cfg", "has no ES; add the line 'ES: <number"),
    "ED a word": (content("Info.cfg", b"ED: one\nES: 12\n"), "Info.cfg", "ED is 'one'; give the number of a frame"),
    "ED a fraction": (content("Info.cfg", b"ED: 1.0\nES: 12\n"), "Info.cfg", "ED is '1.0'; give"),
    "ED zero": (content("Info.cfg", b"ED: 0\nES: 12\n"), "Info.cfg", "ED is '0'; give"),
    "ED nothing": (content("Info.cfg", b"ED:\nES: 12\n"), "Info.cfg", "ED is ''; give"),
    "ED is ES": (content("Info.cfg", b"ED: 12\nES: 12\n"), "Info.cfg", "ED and ES are both frame 12"),
    "no frames": (
        content("Info.cfg", b"ED: 1\nES: 12\nNbFrame: 0\n"),
        "Info.cfg",
        "NbFrame is '0'; give the number of frames, a whole number from 1",
    ),
    "NbFrame a word": (content("Info.cfg", b"ED: 1\nES: 12\nNbFrame: many\n"), "Info.cfg", "NbFrame is 'many'; give"),
    "zero spacing": (field(ED, pixdim=[*PIXDIM[:3], 0, *PIXDIM[4:]]), ED, "spacing [1.5, 1.25, 0.0] mm is not"),
    "negative spacing": (field(ED, pixdim=[1, -1.5, *PIXDIM[2:]]), ED, "spacing [-1.5, 1.25, 8.0] mm is not"),
    "nan spacing": (field(ED, pixdim=[1, np.nan, *PIXDIM[2:]]), ED, "spacing [nan, 1.25, 8.0] mm is not"),
    "infinite spacing": (field(TRUTH, pixdim=[1, np.inf, *PIXDIM[2:]]), TRUTH, "spacing [inf, 1.25, 8.0] mm is not"),
}


@pytest.mark.parametrize("case", CASES)
def test_complaint(case, tmp_path):
    spoil, file, text = CASES[case]
    folder = write_patient(tmp_path / "training", cycle=True)
    write_patient(tmp_path / "training", "patient002")
    spoil(folder)
    (line,) = problems(tmp_path)
    assert line.startswith(f"{folder.as_posix()}/{file}: ")
    assert text in line
    assert "; " in line  # what is wrong; what to do


def test_all_complaints_come_at_once(tmp_path):
    """One patient a case, all in one report, in the order of the patients."""
    for number, (spoil, _, _) in enumerate(CASES.values(), start=1):
        folder = write_patient(tmp_path, "patient001", cycle=True)
        spoil(folder)
        for path in folder.iterdir():
            path.rename(folder / path.name.replace("patient001", f"patient{number + 100}"))
        folder.rename(tmp_path / f"patient{number + 100}")
    found = problems(tmp_path)
    assert len(found) == len(CASES)
    for number, (line, (_, file, text)) in enumerate(zip(found, CASES.values(), strict=True), start=1):
        assert text in line and f"patient{number + 100}/{file.replace('001', str(number + 100))}" in line


def test_several_complaints_about_one_patient(tmp_path):
    folder = write_patient(tmp_path)
    for spoil in (CASES["nan"][0], CASES["label 4"][0], remove("patient001_frame12.nii.gz")):
        spoil(folder)
    assert len(problems(tmp_path)) == 3


def test_no_patients(tmp_path):
    (tmp_path / "readme.txt").write_text("nothing here", encoding="utf-8")
    (line,) = problems(tmp_path)
    assert line == f"no patients below {tmp_path.as_posix()}; expected patientNNN/Info.cfg, see data/README.md"


def test_a_patient_unpacked_twice(tmp_path):
    write_patient(tmp_path / "database" / "training")
    write_patient(tmp_path / "training")
    (line,) = problems(tmp_path)
    assert line.endswith("database/training/patient001; keep one of them")


def test_affines_are_compared_like_with_like(tmp_path):
    """ACDC's sform has lost the spacing; only forms that both files declare can be compared, the qform first."""
    folder = write_patient(tmp_path)
    sound, moved = np.diag([-1.5, -1.25, 8, 1]), np.diag([-1.5, -1.25, 8, 1])
    moved[0, 3] = 2e-3
    save(folder / ED, frame(heart()), affine=sound)
    assert len(read(tmp_path)) == 1  # the image's qform says -x and its labels' only form, the sform, is the image's
    save(folder / TRUTH, heart(), affine=sound)
    edit_header(folder / TRUTH, srow_x=[-1, 0, 0, 0], srow_y=[0, -1, 0, 0], srow_z=[0, 0, 1, 0])
    assert len(read(tmp_path)) == 1
    save(folder / TRUTH, heart(), affine=moved)
    (line,) = problems(tmp_path)
    assert "patient001_frame01_gt.nii.gz: affine (qform) differs from its image's" in line
    edit_header(folder / TRUTH, qform_code=0, srow_z=[0, 0, -8, 0])
    (line,) = problems(tmp_path)
    assert "affine (sform) differs" in line
    edit_header(folder / TRUTH, qform_code=0, sform_code=0)
    assert len(read(tmp_path)) == 1


# Positions


@pytest.mark.parametrize("depth", [2, 6, 11])
@pytest.mark.parametrize("apex_first", [False, True])
def test_positions_run_from_apex_to_base(depth, apex_first):
    labels = heart((20, 17, depth + 2), apex_first)[:, :, 1:-1]
    expected = np.arange(depth) / (depth - 1)
    positions = acdc.slice_positions(labels, depth)
    assert positions.dtype == np.float32 and positions.shape == (depth,)
    np.testing.assert_allclose(positions, expected if apex_first else expected[::-1], atol=1e-6)


@pytest.mark.parametrize("apex_first", [False, True])
def test_empty_slices_at_one_end_do_not_turn_the_direction(apex_first):
    """Many slices above the base, all empty: over every slice, the area would grow towards the apex."""
    labels = np.concatenate([np.zeros((20, 17, 7), np.uint8), heart()[:, :, 1:-1]], axis=2)
    labels = labels[:, :, ::-1] if apex_first else labels
    assert acdc.slice_positions(labels, labels.shape[2])[0] == (0 if apex_first else 1)


def test_an_aneurysm_of_the_apex_does_not_turn_the_direction():
    """The left ventricle grows towards the apex, the right one has ended there (as in one real patient)."""
    labels = np.zeros((40, 40, 6), np.uint8)
    for index, (left, right) in enumerate([(13, 20), (13, 15), (14, 10), (15, 2), (15, 1), (14, 0)]):
        labels[:left, :20, index] = 3
        labels[:right, 20:, index] = 1
    assert acdc.slice_positions(labels, 6)[0] == 1
    assert acdc.slice_positions(labels[:, :, ::-1], 6)[0] == 0


@pytest.mark.parametrize("labels", [None, np.zeros((4, 4, 5), np.uint8), np.full((4, 4, 5), 3, np.uint8)])
def test_without_a_direction_index_0_is_basal(labels):
    np.testing.assert_allclose(acdc.slice_positions(labels, 5), [1, 0.75, 0.5, 0.25, 0])


@pytest.mark.parametrize("labels", [None, heart((20, 17, 3))[:, :, 1:2]])
def test_a_single_slice_lies_in_the_middle(labels):
    np.testing.assert_array_equal(acdc.slice_positions(labels, 1), [0.5])


# Preparation


@pytest.mark.parametrize(("spacing", "size"), [(1.37, 24), (1.37, 15), (3.0, 9)])
@pytest.mark.parametrize("resize", [False, True])
def test_prepare(spacing, size, resize, tmp_path):
    write_patient(tmp_path, labels=heart(apex_first=True))
    (patient,) = read(tmp_path)
    prepared = acdc.prepare(patient, spacing, size, resize)
    assert prepared.images.dtype == np.float32 and prepared.labels.dtype == np.uint8
    assert prepared.images.shape == prepared.labels.shape == (10, size, size)
    assert 0 <= prepared.images.min() < 0.01 and prepared.images.max() == 1
    assert set(np.unique(prepared.labels)) == {0, 1, 2, 3}
    table = prepared.table
    assert list(table.columns) == ["patient", "group", "phase", "slice", "position", "volume"]
    assert table.phase.tolist() == ["ED"] * 5 + ["ES"] * 5
    assert table.slice.tolist() == [0, 1, 2, 3, 4] * 2
    assert table.volume.tolist() == ["patient001-ED"] * 5 + ["patient001-ES"] * 5
    np.testing.assert_allclose(table.position, [0, 0.25, 0.5, 0.75, 1] * 2)
    assert (table.patient == "patient001").all() and (table.group == "DCM").all()


def test_prepare_as_murase_stretches_the_slice_and_clips_nothing(tmp_path):
    write_patient(tmp_path)
    (patient,) = read(tmp_path)
    prepared = acdc.prepare(patient, None, 2 * SHAPE[0], resize=True, percentiles=(0, 100))
    for phase, images in zip(("ED", "ES"), np.split(prepared.images, 2), strict=True):
        volume = acdc.frame(patient, phase)[0]
        zoomed = in_plane.resize_in_plane(volume, (2 * SHAPE[0], 2 * SHAPE[0]), order=1).transpose(2, 0, 1)
        expected = (zoomed - zoomed.min()) / (zoomed.max() - zoomed.min())
        np.testing.assert_allclose(images, expected, atol=1e-6)
        assert (images == 1).sum() < images.size / 20  # at the 95th percentile one in twenty would be


def test_prepare_keeps_sizes_in_mm(tmp_path):
    """A box of 12 x 9 mm in anisotropic pixels measures the same afterwards, image and labels alike."""
    labels = np.zeros((40, 40, 3), np.uint8)
    labels[16:24, 14:23] = 3  # 8 pixels of 1.5 mm, 9 pixels of 1 mm
    write_patient(tmp_path, labels=labels, spacing=(1.5, 1.0, 8.0))
    (patient,) = read(tmp_path)
    prepared = acdc.prepare(patient, 0.5, 100)
    box = prepared.labels[1] == 3
    assert (box.any(0).sum(), box.any(1).sum()) == (24, 18)  # across, down
    assert prepared.images[1][box].min() > 0.6 and np.median(prepared.images[1][~box]) < 0.1


def test_prepare_pads_with_background(tmp_path):
    write_patient(tmp_path)
    (patient,) = read(tmp_path)
    prepared = acdc.prepare(patient, 1.5, 64)  # 14 rows, 20 columns
    inside = np.zeros((64, 64), bool)
    inside[25:39, 22:42] = True
    assert (prepared.images[:, ~inside] == 0).all() and (prepared.labels[:, ~inside] == 0).all()
    assert (prepared.images[:, inside] > 0).mean() > 0.8


def test_the_same_patient_gives_the_same_bytes(tmp_path):
    write_patient(tmp_path)
    first, second = (acdc.prepare(read(tmp_path)[0], 1.37, 20) for _ in range(2))
    assert first.images.tobytes() == second.images.tobytes()
    assert first.labels.tobytes() == second.labels.tobytes() and first.table.equals(second.table)


# Unlabelled frames


def test_a_cycle_may_be_longer_than_announced_and_need_not_be_announced(tmp_path):
    folder = write_patient(tmp_path, cycle=True)
    (folder / "Info.cfg").write_text("ED: 1\nES: 12\n", encoding="utf-8")
    assert len(read(tmp_path)) == 1
    (folder / "Info.cfg").write_text("ED: 1\nES: 12\nNbFrame: 13\n", encoding="utf-8")
    assert len(read(tmp_path)) == 1


@pytest.mark.parametrize(
    ("excluded", "missing"), [({}, {1, 12}), ({"excluded": "labelled"}, {1, 12}), ({"excluded": "off by one"}, {2, 13})]
)
def test_unlabelled_frames(excluded, missing, tmp_path):
    """Which frames, in which order, with the percentiles of the whole cycle."""
    write_patient(tmp_path, cycle=True)
    (patient,) = read(tmp_path)
    images, table = acdc.prepare_unlabelled(patient, 1.37, 24, **excluded)
    kept = [number for number in range(1, FRAMES + 1) if number not in missing]
    assert images.dtype == np.float32 and images.shape == (len(kept) * SHAPE[2], 24, 24)
    assert list(table.columns) == ["patient", "frame", "slice"] and (table.patient == "patient001").all()
    assert table.frame.tolist() == np.repeat(kept, SHAPE[2]).tolist()
    assert table.slice.tolist() == list(range(SHAPE[2])) * len(kept)
    cycle = beating(FRAMES).astype(np.float32).swapaxes(0, 1)  # the file's first axis runs across
    shape = in_plane.resampled_shape(cycle.shape, SPACING[1::-1], 1.37)
    whole = np.stack([in_plane.resize_in_plane(cycle[..., n], shape, 1) for n in range(FRAMES)])
    low, high = np.percentile(whole, (5, 95))
    scaled = (np.clip(whole, low, high) - low) / (high - low)  # (frames, H, W, D)
    expected = [in_plane.centre_crop_or_pad(scaled[n - 1], 24, 0)[..., k] for n in kept for k in range(SHAPE[2])]
    np.testing.assert_allclose(images, expected, atol=1e-6)


def test_off_by_one_at_the_end_of_the_cycle_leaves_nothing_out(tmp_path):
    """ES + 1 lies beyond the last frame, so only ED + 1 is left out, as in the released code."""
    write_patient(tmp_path, ed=3, es=FRAMES, cycle=True)
    (patient,) = read(tmp_path)
    _, table = acdc.prepare_unlabelled(patient, 1.37, 24, excluded="off by one")
    assert table.frame.unique().tolist() == [number for number in range(1, FRAMES + 1) if number != 4]


def test_percentiles_of_unlabelled_frames(tmp_path):
    """0 and 100 clip nothing: only the corner that is brighter than the heart reaches 1."""
    write_patient(tmp_path, cycle=True)
    (patient,) = read(tmp_path)
    images, _ = acdc.prepare_unlabelled(patient, 1.5, 24, percentiles=(0, 100))
    assert images.max() == 1 and (images == 1).sum() < 4 * len(images)


def test_unlabelled_frames_need_a_cycle_and_a_known_reading(tmp_path):
    write_patient(tmp_path)
    (patient,) = read(tmp_path)
    with pytest.raises(InputError, match=r"^patient001: has no patient001_4d\.nii\.gz, which holds .*; add it$"):
        acdc.prepare_unlabelled(patient, 1.37, 24)
    with pytest.raises(InputError, match=r"^excluded: 'ED' is unknown; give one of 'labelled', 'off by one'$"):
        acdc.prepare_unlabelled(patient, 1.37, 24, excluded="ED")


# Real data, where it is at hand


@pytest.mark.skipif(not REAL.exists(), reason="no real ACDC under data/raw")
def test_real_patients(tmp_path):
    for folder in sorted((REAL / "database" / "training").iterdir())[:4]:
        (tmp_path / "training").mkdir(exist_ok=True)
        (tmp_path / "training" / folder.name).symlink_to(folder)
    patients = read(tmp_path)
    assert len(patients) == 4
    for patient in patients:
        prepared = acdc.prepare(patient, 1.37, 224)
        assert set(np.unique(prepared.labels)) == {0, 1, 2, 3}
        first = prepared.table.groupby("volume").first()
        assert (first.slice == 0).all() and (first.position == 1).all()  # slice 0 is basal
        blood, muscle = (prepared.images[prepared.labels == label].mean() for label in (3, 2))
        assert blood > muscle  # in cine-MR blood is bright
