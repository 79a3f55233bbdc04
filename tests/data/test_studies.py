"""Cine studies in their layout, written small: reading, every complaint, preparation."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from whereabouts.data import in_plane, studies
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError

SHAPE = (20, 17, 3)
SPACING = (1.5, 1.25, 6.0)
COLUMNS = ["subject", "sequence", "frame", "slice", "labelled", "volume", "millilitres"]


def heart(shape=SHAPE):
    """Labels 1, 2, 3 in nested boxes, different in every slice."""
    labels = np.zeros(shape, np.uint8)
    for k in range(shape[2]):
        labels[2:18, 2 : 14 - k, k] = 1
        labels[4:16, 4 : 13 - k, k] = 2
        labels[6:13, 6 : 11 - k, k] = 3
    return labels


def image(brightness=0, shape=SHAPE):
    return (np.array([100, 500, 300, 700])[heart(shape)] + np.indices(shape)[0] + brightness).astype(np.int16)


def save(path, array, spacing=SPACING, origin=0.0):
    affine = np.diag([*spacing, 1.0])
    affine[0, 3] = origin
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(nib.Nifti1Image(array, affine).to_bytes(), 1))


def write_study(root, subject="volunteer01", sequence="cine", frames=3, labelled=(1,)):
    """One study, whose frame n is 100 n brighter than the phantom; returns the subject's folder."""
    for frame in range(1, frames + 1):
        save(root / subject / f"{sequence}_frame{frame:02d}.nii.gz", image(100 * frame))
    for frame in labelled:
        save(root / subject / f"{sequence}_frame{frame:02d}_gt.nii.gz", heart())
    return root / subject


def read(root):
    return studies.read(Manifest.of("QMRI", "synthetic", root))


def problems(root):
    with pytest.raises(InputError) as error:
        read(root)
    return error.value.problems


# Layout


@pytest.mark.parametrize("prefix", ["", "training", "a/b_frame01/c"])
def test_studies_are_found_and_sorted(prefix, tmp_path):
    write_study(tmp_path / prefix, "canine10", "cine", 2, (1, 2))
    write_study(tmp_path / prefix, "canine02", "cine", 1)
    folder = write_study(tmp_path / prefix, "canine02", "bold", 12, (3, 12))
    found = read(tmp_path)
    assert [(study.subject, study.sequence) for study in found] == [
        ("canine02", "bold"),
        ("canine02", "cine"),
        ("canine10", "cine"),
    ]
    frames = found[0].frames
    assert list(frames) == list(range(1, 13))
    assert frames[2] == (folder / "bold_frame02.nii.gz", None)
    assert frames[12] == (folder / "bold_frame12.nii.gz", folder / "bold_frame12_gt.nii.gz")


def test_names(tmp_path):
    """A sequence may have underscores and a frame three digits; gaps are fine; strays are left alone."""
    folder = tmp_path / "dog 1"
    for name in ("lax_2ch_frame99", "lax_2ch_frame99_gt", "lax_2ch_frame100"):
        save(folder / f"{name}.nii.gz", heart() if "_gt" in name else image())
    for stray in (
        "cine_frame1.nii.gz",
        "cine_frame001.nii.gz",
        "notes.txt",
        "._cine_frame01.nii.gz",
    ):
        (folder / stray).write_text("stray", encoding="utf-8")
    (tmp_path / "cine_frame01.nii.gz").write_text("of no subject", encoding="utf-8")
    (study,) = read(tmp_path)
    assert (study.subject, study.sequence, list(study.frames)) == ("dog 1", "lax_2ch", [99, 100])


# Complaints: what is done to volunteer01, the file or study that the line must begin with, what the line must say


def rewrite(file, array, **options):
    return lambda folder: save(folder / file, array, **options)


def remove(*files):
    return lambda folder: [(folder / file).unlink() for file in files]


def spoilt(array, value):
    array = array.astype(np.float32)
    array[9, 8, 1] = value
    return array


FIRST, SECOND, TRUTH = "cine_frame01.nii.gz", "cine_frame02.nii.gz", "cine_frame01_gt.nii.gz"
CASES = {
    "truncated": (lambda folder: (folder / SECOND).write_bytes(b"\x1f\x8b"), SECOND, "truncated, damaged or not gzip"),
    "text": (
        lambda folder: (folder / TRUTH).write_text("no gzip", encoding="utf-8"),
        TRUTH,
        "truncated: 7 bytes do not hold a NIfTI-1 header",
    ),
    "2D": (rewrite(SECOND, image()[..., 0]), SECOND, "has 2 axes where a volume has 3"),
    "4D": (rewrite(SECOND, np.stack([image()] * 2, 3)), SECOND, "has 4 axes where 3 are expected"),
    "4D labels": (rewrite(TRUTH, np.stack([heart()] * 2, 3)), TRUTH, "has 4 axes where 3 are expected"),
    "nan": (rewrite(SECOND, spoilt(image(), np.nan)), SECOND, "has NaN or infinite voxels"),
    "inf": (rewrite(FIRST, spoilt(image(), np.inf)), FIRST, "has NaN or infinite voxels"),
    "constant": (rewrite(SECOND, np.full(SHAPE, 7, np.int16)), SECOND, "constant from its 5th to its 95th percentile"),
    "label 4": (rewrite(TRUTH, spoilt(heart(), 4)), TRUTH, "has labels other than 0, 1, 2 and 3"),
    "label 1.5": (rewrite(TRUTH, spoilt(heart(), 1.5)), TRUTH, "has labels that are not whole (1.5)"),
    "labels' shape": (
        rewrite(TRUTH, heart((20, 18, 3))),
        TRUTH,
        "shape (20, 18, 3), not (20, 17, 3), differs from its image's",
    ),
    "labels' spacing": (rewrite(TRUTH, heart(), spacing=(1.5, 1.25, 8)), TRUTH, "differs from its image's"),
    "labels' place": (rewrite(TRUTH, heart(), origin=2.0), TRUTH, "affine (sform) differs from its image's"),
    "no image": (
        rewrite("cine_frame04_gt.nii.gz", heart()),
        "cine_frame04_gt.nii.gz",
        "labels without their image; add it",
    ),
    "only labels": (remove(FIRST, SECOND, "cine_frame03.nii.gz"), TRUTH, "labels without their image"),
    "another shape": (
        rewrite(SECOND, image(shape=(20, 17, 4))),
        SECOND,
        "shape (20, 17, 4), not (20, 17, 3), differs from the study's first frame's",
    ),
    "another spacing": (
        rewrite("cine_frame03.nii.gz", image(), spacing=(1.5, 1.3, 6)),
        "cine_frame03.nii.gz",
        "spacing [1.5, 1.3, 6.0], not [1.5, 1.25, 6.0] mm, differs from the study's first frame's",
    ),
    "another place": (rewrite(SECOND, image(), origin=1.0), SECOND, "affine (sform) differs from the study's first"),
    "no labels": (remove(TRUTH), "cine", "no frame has labels; add cine_frameFF_gt.nii.gz for one at least"),
    "frame 0": (
        rewrite("cine_frame00.nii.gz", image()),
        "cine_frame00",
        "frames count from 01; number them anew",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_complaint(case, tmp_path):
    spoil, name, text = CASES[case]
    folder = write_study(tmp_path)
    write_study(tmp_path, "volunteer02")
    spoil(folder)
    (line,) = problems(tmp_path)
    assert line.startswith(f"{folder.as_posix()}/{name}: ")
    assert text in line and "; " in line  # what is wrong; what to do


def test_all_complaints_come_at_once(tmp_path):
    for number, (spoil, _, _) in enumerate(CASES.values()):
        spoil(write_study(tmp_path, f"subject{number:02d}"))
    found = problems(tmp_path)
    assert len(found) == len(CASES)
    for number, (line, (_, name, text)) in enumerate(zip(found, CASES.values(), strict=True)):
        assert f"/subject{number:02d}/{name}: " in line and text in line


def test_no_studies(tmp_path):
    (tmp_path / "readme.txt").write_text("nothing here", encoding="utf-8")
    (line,) = problems(tmp_path)
    assert line == (
        f"no studies below {tmp_path.as_posix()}; expected <subject>/<sequence>_frameFF.nii.gz, see data/README.md"
    )


def test_a_study_found_twice(tmp_path):
    for folder in ("b", "a"):
        write_study(tmp_path / folder)
    (line,) = problems(tmp_path)
    at = tmp_path.as_posix()
    assert line == f"{at}/b/volunteer01/cine: also found as {at}/a/volunteer01/cine; keep one of them"


# Preparation


def test_prepare(tmp_path):
    """Against the steps one by one: percentiles over all frames, so that their brightness still differs."""
    write_study(tmp_path, frames=3, labelled=(2,))
    (study,) = read(tmp_path)
    prepared = studies.prepare(study, 1.37, 24, (2, 3))
    assert prepared.images.dtype == np.float32 and prepared.labels.dtype == np.uint8
    assert prepared.images.shape == prepared.labels.shape == (9, 24, 24)
    seen, pixel = heart().swapaxes(0, 1), SPACING[1::-1]  # the file's first axis runs across
    shape = in_plane.resampled_shape(seen.shape, pixel, 1.37)
    frames = [in_plane.resize_in_plane(image(100 * n).swapaxes(0, 1).astype(float), shape, 1) for n in (1, 2, 3)]
    low, high = np.percentile(frames, (5, 95))
    expected = [np.clip((frame - low) / (high - low), 0, 1) for frame in frames]
    for n, frame in enumerate(expected):
        for k in range(3):
            np.testing.assert_allclose(
                prepared.images[3 * n + k], in_plane.centre_crop_or_pad(frame[..., k], 24, 0), atol=1e-6
            )
    middle = prepared.images.reshape(3, 3, 24, 24)[:, :, 12, 12]
    assert (middle[0] < middle[1]).all()
    truth = in_plane.centre_crop_or_pad(in_plane.resize_in_plane(seen, shape, 0), 24, 0)
    np.testing.assert_array_equal(prepared.labels[3:6], np.array([0, 0, 1, 2])[truth].transpose(2, 0, 1))
    assert not prepared.labels[:3].any() and not prepared.labels[6:].any()


def test_table(tmp_path):
    folder = write_study(tmp_path, frames=2, labelled=(1,))
    (folder / "cine_frame02.nii.gz").rename(folder / "cine_frame07.nii.gz")
    (study,) = read(tmp_path)
    table = studies.prepare(study, 1.37, 24, (2, 3)).table
    assert list(table.columns) == COLUMNS
    assert (table.subject == "volunteer01").all() and (table.sequence == "cine").all()
    assert table.frame.tolist() == [1, 1, 1, 7, 7, 7] and table.slice.tolist() == [0, 1, 2] * 2
    assert table.labelled.dtype == bool and table.labelled.tolist() == [True] * 3 + [False] * 3
    assert table.volume.tolist() == ["volunteer01-cine-01"] * 3 + ["volunteer01-cine-07"] * 3
    area = (20 * 1.5 / round(20 * 1.5 / 1.37)) * (17 * 1.25 / round(17 * 1.25 / 1.37))
    np.testing.assert_allclose(table.millilitres, area * 6 / 1000)


@pytest.mark.parametrize("spacing", [0.4, 0.53, 0.7])
def test_millilitres_measure_the_heart(spacing, tmp_path):
    """The left ventricle's box of 7 x 5, 4 and 3 pixels in slices of 6 mm, whatever the prepared pixel."""
    write_study(tmp_path)
    (study,) = read(tmp_path)
    prepared = studies.prepare(study, spacing, 90, (3,))
    found = (prepared.labels.sum((1, 2)) * prepared.table.millilitres).sum()
    assert found == pytest.approx(7 * (5 + 4 + 3) * 1.5 * 1.25 * 6 / 1000, rel=0.06)


@pytest.mark.parametrize("structures", [(1, 2, 3), (3, 1), (2,)])
def test_structures_are_numbered_in_their_order(structures, tmp_path):
    write_study(tmp_path)
    (study,) = read(tmp_path)
    labels = studies.prepare(study, 1.5, 20, structures).labels[:3]
    stored = studies.prepare(study, 1.5, 20, (1, 2, 3)).labels[:3]
    for value in (1, 2, 3):
        expected = structures.index(value) + 1 if value in structures else 0
        assert (labels[stored == value] == expected).all()
    assert not labels[stored == 0].any()


def test_percentiles(tmp_path):
    write_study(tmp_path)
    (study,) = read(tmp_path)
    images = studies.prepare(study, 1.5, 20, (2, 3), percentiles=(0, 100)).images
    assert images.max() == 1 and (images == 1).mean() < 0.01
    assert (studies.prepare(study, 1.5, 20, (2, 3)).images == 1).mean() > 0.03


def test_the_same_study_gives_the_same_bytes(tmp_path):
    write_study(tmp_path)
    first, second = (studies.prepare(read(tmp_path)[0], 1.37, 20, (2, 3)) for _ in range(2))
    assert first.images.tobytes() == second.images.tobytes()
    assert first.labels.tobytes() == second.labels.tobytes() and first.table.equals(second.table)
