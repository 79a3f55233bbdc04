"""The Decathlon's official layout, written small: one task, every complaint, the orders of axes, the real one."""

import gzip
import itertools
import json
import math

import nibabel as nib
import numpy as np
import pytest

from whereabouts.data import decathlon
from whereabouts.data.decathlon import Task
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError
from whereabouts.paths import RAW

REAL = RAW / "decathlon"
TASK = "Task09_Spleen"
SHAPE = (9, 8, 6)  # right, anterior, superior
SPACING = (0.75, 1.5, 5.0)
NAMES = ("spleen_2", "spleen_10")
ORDERS = [(axes, signs) for axes in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)]
AXIAL = ((0, 1, 2), (1, 1, 1))
AGAIN = "copy or unpack it again"
REGRID = "bring it onto that grid, or restore its header"
MEND = "write it as the challenge does"


def organ(shape=SHAPE):
    """Labels 1 and 2 in RAS+ order, without symmetry."""
    x, y, z = np.indices(shape)
    labels = np.where(x + 2 * y > 12, 2, (x > 3).astype(int))
    labels[(z == 0) | (y + z > 10)] = 0
    return labels.astype(np.uint8)


def image_of(labels, dtype=np.int16):
    """A ramp on which no two orders of axes agree."""
    x, y, z = np.indices(labels.shape)
    return (100 * labels.astype(float) + 7 * x - 11 * y + 3 * z).astype(dtype)


def affine_of(order, spacing=SPACING, origin=(20.0, -30.0, 40.0)):
    axes, signs = order
    affine = np.zeros((4, 4))
    affine[:3, 3], affine[3, 3] = origin, 1
    for stored, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        affine[axis, stored] = sign * spacing[axis]
    return affine


def save(path, array, order=AXIAL, spacing=SPACING, shift=0.0, codes=(1, 1)):
    """Write a volume that is given in RAS+ order with its axes stored in `order`."""
    axes, signs = order
    stored = array.transpose(*axes, *range(3, array.ndim))[tuple(slice(None, None, sign) for sign in signs)]
    affine = affine_of(order, spacing)
    affine[0, 3] += shift
    image = nib.Nifti1Image(stored, affine)
    image.set_qform(affine, codes[0])
    image.set_sform(affine, codes[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(image.to_bytes(), 1))


def description(names=NAMES, **fields):
    """dataset.json as released, in the order of the release, which is no order."""
    entries = [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in names]
    return {
        "name": "Spleen",
        "tensorImageSize": "3D",
        "licence": "CC-BY-SA 4.0",
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "Spleen", "2": "Accessory Spleen"},
        "numTraining": len(names),
        "training": entries,
        "test": ["./imagesTs/spleen_1.nii.gz"],
    } | fields


def write_list(folder, **fields):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(description(**fields)), encoding="utf-8")


def write_case(folder, name, labels=None, image=None, **options):
    labels = organ() if labels is None else labels
    save(folder / "imagesTr" / f"{name}.nii.gz", image_of(labels) if image is None else image, **options)
    save(folder / "labelsTr" / f"{name}.nii.gz", labels, **options)


def write(root, task=TASK, names=NAMES, **options):
    """A task below `root`; returns its folder."""
    write_list(root / task, names=names)
    for name in names:
        write_case(root / task, name, **options)
    return root / task


def read(root, task=TASK):
    return decathlon.read(Manifest.of("Decathlon", "synthetic", root), task)


def problems(root, task=TASK):
    with pytest.raises(InputError) as error:
        read(root, task)
    return error.value.problems


# Layout


@pytest.mark.parametrize("prefix", ["", "MSD", "data/decathlon/unpacked (1)"])
def test_a_task(prefix, tmp_path):
    folder = write(tmp_path / prefix)
    found = read(tmp_path)
    assert isinstance(found, Task)
    assert (found.name, found.modality, found.licence) == (TASK, "CT", "CC-BY-SA 4.0")
    assert found.structures == ("spleen", "accessory spleen")
    assert [case.name for case in found.cases] == ["spleen_10", "spleen_2"]
    assert found.cases[1].image == folder / "imagesTr" / "spleen_2.nii.gz"
    assert found.cases[1].truth == folder / "labelsTr" / "spleen_2.nii.gz"


def test_structures_are_in_the_order_of_their_numbers(tmp_path):
    """Of more than ten, as text "10" comes before "2"; one name too many is not asked for in any case."""
    folder = write(tmp_path)
    labels = {str(number): f"Organ {number}" for number in reversed(range(13))} | {"0": "Background"}
    write_list(folder, labels=labels)
    assert read(tmp_path).structures == tuple(f"organ {number}" for number in range(1, 13))


def test_only_the_task_asked_for_is_read(tmp_path):
    write(tmp_path)
    write(tmp_path, "Task02_Heart", ("la_003",), image=np.zeros(SHAPE, np.int16))
    assert len(read(tmp_path).cases) == 2
    assert len(problems(tmp_path, "Task02_Heart")) == 1
    assert problems(tmp_path, "Task10_Colon") == [
        f"Task10_Colon: no such task below {tmp_path.as_posix()}; choose one of: Task02_Heart, {TASK}"
    ]


def test_what_else_lies_there_is_left_alone(tmp_path):
    folder = write(tmp_path)
    for name in ("._dataset.json", "imagesTr/._spleen_2.nii.gz", "labelsTr/._spleen_7.nii.gz", "imagesTr/notes.txt"):
        (folder / name).write_text("stray", encoding="utf-8")
    save(folder / "imagesTs" / "spleen_1.nii.gz", organ())
    save(folder / "imagesTs" / "._spleen_1.nii.gz", organ())
    (tmp_path / "dataset.json").write_text("beside the tasks", encoding="utf-8")
    assert len(read(tmp_path).cases) == 2


def test_only_the_manifest_says_which_files_exist(tmp_path):
    folder = write(tmp_path)
    manifest = Manifest.of("Decathlon", "synthetic", tmp_path)
    save(folder / "imagesTr" / "spleen_3.nii.gz", organ())
    assert len(decathlon.read(manifest, TASK).cases) == 2
    (folder / "labelsTr" / "spleen_2.nii.gz").unlink()
    with pytest.raises(InputError, match=r"labelsTr/spleen_2\.nii\.gz: cannot be read \(No such file"):
        decathlon.read(manifest, TASK)


def test_a_licence_may_be_missing(tmp_path):
    folder = write(tmp_path)
    content = description()
    del content["licence"]
    (folder / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    assert read(tmp_path).licence == ""


# Orientation


@pytest.mark.parametrize("order", ORDERS)
def test_load_undoes_every_order_of_axes(order, tmp_path):
    found = read(write(tmp_path, names=("spleen_2",), order=order).parent)
    scan = decathlon.load(found.cases[0], found.structures)
    np.testing.assert_array_equal(scan.image, image_of(organ()))
    np.testing.assert_array_equal(scan.labels, organ())
    assert (scan.name, scan.spacing) == ("spleen_2", SPACING)
    assert (scan.image.dtype, scan.labels.dtype) == (np.int16, np.uint8)
    same = nib.as_closest_canonical(nib.load(found.cases[0].image))
    np.testing.assert_array_equal(scan.image, np.asanyarray(same.dataobj))


@pytest.mark.parametrize("codes", [(1, 0), (0, 2)])
def test_either_form_of_the_affine_will_do(codes, tmp_path):
    found = read(write(tmp_path, order=ORDERS[29], codes=codes).parent)
    np.testing.assert_array_equal(decathlon.load(found.cases[0], found.structures).labels, organ())


@pytest.mark.parametrize("tip", [-1e-6, 0, 1e-6])
def test_at_45_degrees_image_and_labels_turn_together(tip, tmp_path):
    """The labels' affine is a rounding error away from the image's; both orders of axes are as close."""
    folder = write(tmp_path, names=("spleen_2",), labels=organ((9, 9, 6)))
    for kind, error in (("imagesTr", 0), ("labelsTr", tip)):
        path, turn = folder / kind / "spleen_2.nii.gz", np.eye(4)
        cos, sin = math.cos(math.pi / 4 + error), math.sin(math.pi / 4 + error)
        turn[:2, :2] = [[cos, -sin], [sin, cos]]
        stored = nib.load(path)
        image = nib.Nifti1Image(np.asanyarray(stored.dataobj), turn)
        image.set_qform(None, 0)
        path.write_bytes(gzip.compress(image.to_bytes(), 1))
    found = read(tmp_path)
    scan = decathlon.load(found.cases[0], found.structures)
    labels = organ((9, 9, 6))
    assert any(
        np.array_equal(np.rot90(labels, turns), scan.labels)
        and np.array_equal(np.rot90(image_of(labels), turns), scan.image)
        for turns in range(4)
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32, ">i2"])
def test_whole_numbers_of_any_type_are_labels(dtype, tmp_path):
    folder = write(tmp_path)
    save(folder / "labelsTr" / "spleen_2.nii.gz", organ().astype(dtype))
    found = read(tmp_path)
    scan = decathlon.load(found.cases[1], found.structures)
    np.testing.assert_array_equal(scan.labels, organ())
    assert scan.labels.dtype == np.uint8


# Complaints about one case: what is done, the file that the line must begin with, and how the line goes on


def rewrite(kind, array, **options):
    return lambda folder: save(folder / kind / "spleen_2.nii.gz", array, **options)


def spoilt(array, value):
    array = array.astype(np.float32)
    array[3, 4, 1 : 1 + np.size(value)] = value
    return array


IMAGE, LABEL = "imagesTr/spleen_2.nii.gz", "labelsTr/spleen_2.nii.gz"
UNKNOWN = "has labels other than dataset.json's 0 to 2"
RELABEL = "relabel these voxels, or restore the file as released"
CASES = {
    "empty": (lambda folder: (folder / IMAGE).write_bytes(b""), IMAGE, f"empty; {AGAIN}"),
    "no gzip": (
        lambda folder: (folder / LABEL).write_bytes(b"x"),
        LABEL,
        f"truncated: 1 bytes do not hold a NIfTI-1 header; {AGAIN}",
    ),
    "4D": (rewrite("imagesTr", np.stack([organ()] * 2, 3)), IMAGE, "has 4 axes where 3 are expected; give one of 3"),
    "nan": (
        rewrite("imagesTr", spoilt(organ(), np.nan)),
        IMAGE,
        "has NaN or infinite voxels; give these voxels numbers",
    ),
    "infinite": (
        rewrite("imagesTr", spoilt(organ(), -np.inf)),
        IMAGE,
        "has NaN or infinite voxels; give these voxels numbers",
    ),
    "constant": (rewrite("imagesTr", 0 * organ() + 7), IMAGE, "constant; cut it to what it shows, or leave it out"),
    "label 3": (rewrite("labelsTr", spoilt(organ(), 3)), LABEL, f"{UNKNOWN} (3); {RELABEL}"),
    "label -1": (rewrite("labelsTr", spoilt(organ(), -1)), LABEL, f"{UNKNOWN} (-1); {RELABEL}"),
    "fractions": (
        rewrite("labelsTr", spoilt(organ(), [0.5, 1.4])),
        LABEL,
        "has labels that are not whole (0.5, 1.4); ",
    ),
    "nan label": (rewrite("labelsTr", spoilt(organ(), np.nan)), LABEL, "has NaN or infinite labels; "),
    "an image": (
        rewrite("labelsTr", np.arange(3, 3 + math.prod(SHAPE)).reshape(SHAPE).astype(np.int16)),
        LABEL,
        f"{UNKNOWN} (3, 4, 5, 6, 7, ..); {RELABEL}",
    ),
    "background": (
        rewrite("labelsTr", 0 * organ()),
        LABEL,
        "shows nothing but background; label it, or leave the case out",
    ),
    "shape": (
        rewrite("labelsTr", organ()[:, :, :5]),
        LABEL,
        f"shape (9, 8, 5), not (9, 8, 6), differs from its image's; {REGRID}",
    ),
    "spacing": (
        rewrite("labelsTr", organ(), spacing=(0.75, 1.5, 5.1)),
        LABEL,
        f"spacing [0.75, 1.5, 5.1], not [0.75, 1.5, 5.0] mm, differs from its image's; {REGRID}",
    ),
    "affine": (rewrite("labelsTr", organ(), shift=0.1), LABEL, f"affine differs from its image's; {REGRID}"),
    "no orientation": (rewrite("imagesTr", image_of(organ()), codes=(0, 0)), IMAGE, "has no orientation (neither "),
    "labels without": (rewrite("labelsTr", organ(), codes=(0, 0)), LABEL, "has no orientation (neither qform nor"),
}


@pytest.mark.parametrize("case", CASES)
def test_complaint(case, tmp_path):
    spoil, file, text = CASES[case]
    folder = write(tmp_path)
    spoil(folder)
    (line,) = problems(tmp_path)
    assert line.startswith(f"{folder.as_posix()}/{file}: {text}")
    assert line.count("; ") == 1 and "\n" not in line  # what is wrong; what to do


def test_all_complaints_come_at_once(tmp_path):
    folder, names = tmp_path / TASK, [f"spleen_{number}" for number in range(100, 100 + len(CASES))]
    for name, (spoil, _, _) in zip(names, CASES.values(), strict=True):
        write_case(folder, "spleen_2")
        spoil(folder)
        for kind in ("imagesTr", "labelsTr"):
            (folder / kind / "spleen_2.nii.gz").rename(folder / kind / f"{name}.nii.gz")
    write_list(folder, names=names)
    found = problems(tmp_path)
    assert len(found) == len(CASES)
    for name, line, (_, file, text) in zip(names, found, CASES.values(), strict=True):
        assert line.startswith(f"{folder.as_posix()}/{file.replace('spleen_2', name)}: {text}")


def test_load_complains_too(tmp_path):
    """Both of image and labels, and of labels that the structures it is given do not have."""
    folder = write(tmp_path)
    case = read(tmp_path).cases[1]
    with pytest.raises(InputError, match=r"labels other than dataset\.json's 0 to 1 \(2\); "):
        decathlon.load(case, ("spleen",))
    save(folder / IMAGE, spoilt(organ(), np.nan), codes=(0, 0))
    save(folder / LABEL, spoilt(organ()[1:], 9))
    with pytest.raises(InputError) as error:
        decathlon.load(case, ("spleen", "accessory spleen"))
    ends = ["has no orientation", "has NaN", f"{UNKNOWN} (9)", "shape (8, 8, 6), not (9, 8, 6), differs"]
    assert [end in line for end, line in zip(ends, error.value.problems, strict=True)] == [True] * 4


# Complaints about the list


def test_a_partial_copy_is_told_to_shorten_its_list(tmp_path):
    folder = write(tmp_path)
    write_list(folder, names=(*NAMES, "spleen_3", "spleen_4", "spleen_5"))
    shown = f"{folder.as_posix()}/dataset.json"
    assert problems(tmp_path) == [
        f"{shown}: lists imagesTr/spleen_3.nii.gz, imagesTr/spleen_4.nii.gz, imagesTr/spleen_5.nii.gz, "
        "labelsTr/spleen_3.nii.gz, labelsTr/spleen_4.nii.gz and 1 more, which are missing; add them, or shorten "
        "the list"
    ]


def test_files_that_are_not_listed_or_listed_twice(tmp_path):
    folder = write(tmp_path)
    save(folder / "imagesTr" / "spleen_9.nii.gz", 0 * organ())
    save(folder / "labelsTr" / "spleen_8.nii.gz", 0 * organ())
    entries = description()["training"]
    entries[1]["label"] = entries[0]["label"]
    write_list(folder, training=entries)
    shown = f"{folder.as_posix()}/dataset.json"
    assert problems(tmp_path) == [
        f"{shown}: lists labelsTr/spleen_2.nii.gz more than once; list each of them once",
        f"{shown}: does not list imagesTr/spleen_9.nii.gz, labelsTr/spleen_10.nii.gz, labelsTr/spleen_8.nii.gz, which "
        "are there; list or remove them",
    ]


def test_lists_and_cases_are_complained_of_together(tmp_path):
    folder = write(tmp_path)
    (folder / "imagesTr" / "spleen_10.nii.gz").unlink()
    save(folder / LABEL, 0 * organ())
    assert [line.partition(": ")[2] for line in problems(tmp_path)] == [
        "lists imagesTr/spleen_10.nii.gz, which are missing; add them, or shorten the list",
        "shows nothing but background; label it, or leave the case out",
    ]


@pytest.mark.parametrize("path", ["/etc/hostname", "../Task02_Heart/imagesTr/la_003.nii.gz", "imagesTr"])
def test_a_list_cannot_lead_outside_its_task(path, tmp_path):
    write(tmp_path, "Task02_Heart", ("la_003",))
    entries = description()["training"]
    entries[0]["image"] = path
    write_list(write(tmp_path), training=entries)
    first, second = problems(tmp_path)
    assert f": lists {path}, which are missing; " in first and "does not list imagesTr/spleen_2.nii.gz, " in second


BROKEN = {
    "two channels": (
        {"modality": {"0": "T2", "1": "ADC"}},
        "2 channels a volume (T2, ADC), only single-channel tasks are supported; choose another task",
    ),
    "no modality": ({"modality": {}}, f'"modality" must name channel 0; {MEND}'),
    "modality as text": ({"modality": "CT"}, f'"modality" must name channel 0; {MEND}'),
    "a gap": (
        {"labels": {"0": "background", "2": "spleen"}},
        f'"labels" must name 0 "background", 1 and so on without a gap, to 255 at most; {MEND}',
    ),
    "only background": ({"labels": {"0": "background"}}, '"labels" must name 0 "background", 1 and so on'),
    "no background": ({"labels": {"0": "spleen", "1": "liver"}}, '"labels" must name 0 "background", 1 and so on'),
    "from 1": ({"labels": {"1": "spleen", "2": "liver"}}, '"labels" must name 0 "background", 1 and so on'),
    "the other way round": ({"labels": {"background": 0, "spleen": 1}}, '"labels" must name 0 "background", 1 and'),
    "a list": ({"labels": ["background", "spleen"]}, '"labels" must name 0 "background", 1 and so on'),
    "an empty name": ({"labels": {"0": "background", "1": " "}}, '"labels" must name 0 "background", 1 and so on'),
    "one name twice": (
        {"labels": {"0": "background", "1": "Spleen", "2": "spleen "}},
        '"labels" name spleen more than once; give each label a name of its own',
    ),
    "more than go into uint8": (
        {"labels": {"0": "background"} | {str(number): f"s{number}" for number in range(1, 257)}},
        '"labels" must name 0 "background", 1 and so on without a gap, to 255 at most; ',
    ),
    "no cases": ({"training": []}, f'"training" must list an image and a label for each case; {MEND}'),
    "cases as numbers": ({"training": 3}, '"training" must list an image and a label for each case; '),
    "cases as text": ({"training": ["./imagesTr/a.nii.gz"]}, '"training" must list an image and a label for each case'),
    "no label": ({"training": [{"image": "a"}]}, '"training" must list an image and a label for each case; '),
    "label 7": ({"training": [{"image": "a", "label": 7}]}, '"training" must list an image and a label for each case'),
    "licence": ({"licence": ["CC"]}, f'"licence" must be text; {MEND}'),
}


@pytest.mark.parametrize("fields", BROKEN)
def test_a_broken_description(fields, tmp_path):
    folder = write(tmp_path)
    change, text = BROKEN[fields]
    write_list(folder, **change)
    (line,) = problems(tmp_path)
    assert line.startswith(f"{folder.as_posix()}/dataset.json: {text}")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "cannot be read (JSONDecodeError)"),
        (b"{'labels': 1}", "cannot be read (JSONDecodeError)"),
        (b'{"name": "\xff"}', "cannot be read (UnicodeDecodeError)"),
        (b"[" * 200_000, "cannot be read (RecursionError)"),
        (b"[]", "does not describe a task"),
    ],
)
def test_no_description(content, text, tmp_path):
    folder = write(tmp_path)
    (folder / "dataset.json").write_bytes(content)
    (line,) = problems(tmp_path)
    assert line.startswith(f"{folder.as_posix()}/dataset.json: {text}; ")


def test_everything_wrong_with_a_description_at_once(tmp_path):
    write_list(write(tmp_path), labels={}, modality={"0": "A", "1": "B"}, training=None, licence=1)
    assert [line.partition(": ")[2].split()[0] for line in problems(tmp_path)] == [
        '"labels"',
        "2",
        '"licence"',
        '"training"',
    ]


def test_a_task_unpacked_twice(tmp_path):
    first, second = (write(tmp_path / prefix) for prefix in ("a", "b"))
    assert problems(tmp_path) == [f"{second.as_posix()}: also found as {first.as_posix()}; keep one of them"]


def test_no_tasks(tmp_path):
    (tmp_path / "dataset.json").write_text("{}", encoding="utf-8")
    assert problems(tmp_path) == [
        f"no tasks below {tmp_path.as_posix()}; expected Task04_Hippocampus/dataset.json and others, see data/README.md"
    ]


# The real one


@pytest.mark.skipif(not any(REAL.rglob("Task04_Hippocampus")), reason="no real Task04_Hippocampus under data/raw")
def test_the_real_hippocampus():
    """Labels of every case, and the anterior part in front of the posterior one: axis 1 runs forwards."""
    task = decathlon.read(Manifest.of("Decathlon", "real", REAL), "Task04_Hippocampus")
    assert task.structures == ("anterior", "posterior") and task.modality == "MRI"
    assert task.licence == "CC-BY-SA 4.0" and len(task.cases) > 100
    for case in task.cases[::10]:
        scan = decathlon.load(case, task.structures)
        assert scan.image.shape == scan.labels.shape and scan.spacing == (1, 1, 1)
        anterior, posterior = (np.argwhere(scan.labels == label).mean(axis=0) for label in (1, 2))
        assert anterior[1] > posterior[1] + 5
