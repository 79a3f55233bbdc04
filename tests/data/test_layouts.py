"""Which files of a folder are volumes, which are their labels, and what is said of the rest."""

import gzip
import os
import unicodedata

import pytest

import sound
from whereabouts.data import acdc, decathlon, layouts, mmwhs, names, studies
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError

EXPECTED = "left out, this network expects"


def find(root, layout, *files):
    """Image -> labels, and what is said of the rest, all from `root`; of files that are never opened."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    left_out = []
    found = layouts.find(root, layout, left_out)
    pairs = {one.image.relative_to(root).as_posix(): one.truth for one in found}
    pairs = {image: truth and truth.relative_to(root).as_posix() for image, truth in pairs.items()}
    return pairs, [line.replace(f"{root.as_posix()}/", "") for line in left_out]


def test_every_ending_is_read(tmp_path):
    pairs, left_out = find(
        tmp_path, "decathlon", "a.nii.gz", "b.nii", "c.NII.GZ", "notes.txt", "d.nii.gz.part", ".e.nii"
    )
    assert pairs == dict.fromkeys(["a.nii.gz", "b.nii", "c.NII.GZ"])
    assert left_out == ["d.nii.gz.part, notes.txt: left out, no NIfTI volume"]


def test_volumes_beside_the_folders_and_labels_without_images_are_named(tmp_path):
    files = ("imagesTr/a.nii.gz", "labelsTr/a.nii", "labelsTr/z.nii.gz", "b.nii.gz", "imagesTs/c.nii.gz")
    pairs, (line,) = find(tmp_path, "decathlon", *files)
    assert pairs == {"imagesTr/a.nii.gz": "labelsTr/a.nii", "imagesTs/c.nii.gz": None}
    assert line.startswith(f"b.nii.gz, labelsTr/z.nii.gz: {EXPECTED} imagesTr/ and")


def test_labels_as_nnunet_names_them(tmp_path):
    files = [f"imagesTr/case_{number}.nii.gz" for number in ("1_0000", "1_0001", "2_0000", "0003", "0000")]
    pairs, (line,) = find(tmp_path, "decathlon", *files, "labelsTr/case_1.nii.gz", "labelsTr/case_0003.nii.gz")
    assert pairs == {
        "imagesTr/case_0000.nii.gz": None,
        "imagesTr/case_0003.nii.gz": "labelsTr/case_0003.nii.gz",
        "imagesTr/case_1_0000.nii.gz": "labelsTr/case_1.nii.gz",
        "imagesTr/case_2_0000.nii.gz": None,
    }
    assert line.startswith("imagesTr/case_1_0001.nii.gz: left out")


def test_one_name_in_two_unicode_forms(tmp_path):
    forms = [unicodedata.normalize(form, "Müller") for form in ("NFC", "NFD")]
    pairs, left_out = find(tmp_path, "decathlon", f"imagesTr/{forms[1]}.nii.gz", f"labelsTr/{forms[0]}.nii.gz")
    assert pairs == {f"imagesTr/{forms[1]}.nii.gz": f"labelsTr/{forms[0]}.nii.gz"} and not left_out
    with pytest.raises(InputError, match="also found as"):
        find(tmp_path, "decathlon", f"imagesTr/{forms[0]}.nii.gz")


@pytest.mark.parametrize(
    ("layout", "image", "truth", "other"),
    [
        ("acdc", "patient001_frame01.nii", "patient001_frame01_gt.nii.gz", "patient001_4d.nii.gz"),
        ("mmwhs", "ct_image.nii.gz", "ct_label.nii", "ct.nii.gz"),
        ("studies", "dog/bold_frame01.nii.gz", "dog/bold_frame01_gt.nii", "dog/bold_frame1.nii"),
    ],
)
def test_other_layouts_name_what_they_do_not_know(layout, image, truth, other, tmp_path):
    pairs, (line,) = find(tmp_path, layout, image, truth, other)
    assert pairs == {image: truth} and line.startswith(f"{other}: {EXPECTED}")


@pytest.mark.parametrize("name", ["a[1]*", "-x", "a b", "a,b", 'a"b', "a$b", "a\nb", "B\udce4r"])
def test_names_are_no_patterns(name, tmp_path):
    assert find(tmp_path, "decathlon", f"imagesTr/{name}.nii.gz", f"labelsTr/{name}.nii.gz")[0] == {
        f"imagesTr/{name}.nii.gz": f"labelsTr/{name}.nii.gz"
    }


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.write_bytes(b"\n" * 2**20),
        lambda path: path.write_bytes(b"\n" * 60_000 + b"x"),
        lambda path: None,
    ],
)
def test_an_info_that_says_nothing_leaves_the_phase_open(make, tmp_path):
    (tmp_path / "patient001_frame01.nii.gz").touch()
    make(tmp_path / "Info.cfg")
    assert layouts.find(tmp_path, "acdc")[0].phase is None


def test_the_phase_is_read_from_what_people_edit(tmp_path):
    (tmp_path / "patient001_frame01.nii.gz").touch()
    (tmp_path / "Info.cfg").write_bytes(b"\xef\xbb\xbfED : 01\r\nES: 12\r\n")
    assert layouts.find(tmp_path, "acdc")[0].phase == "ED"


# Data sets: what is missed lies there under another ending


def unpack(root, pattern):
    for path in root.rglob(pattern):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()


@pytest.mark.parametrize(
    ("format_", "pattern", "read", "texts"),
    [
        ("acdc", "*_frame01.nii.gz", acdc.read, ["it lies there as training/patient001/patient001_frame01.nii, pack"]),
        (
            "decathlon",
            "*_001.nii.gz",
            lambda m: decathlon.read(m, sound.TASK),
            ["lie there as imagesTr/abdomen_001.nii, "],
        ),
        ("mmwhs", "ct*_1001_label.nii.gz", mmwhs.read, ["_label.nii: does not end in .nii.gz; pack", "has no labels"]),
        ("mmwhs", "*.nii.gz", mmwhs.read, ["ct_train_1001_image.nii: does not end in .nii.gz; pack or rename it"]),
        ("studies", "bold_frame01.nii.gz", studies.read, ["bold_frame01.nii: does not end in .nii.gz;", "without"]),
    ],
)
def test_a_file_that_lies_there_unpacked_is_named(format_, pattern, read, texts, tmp_path):
    sound.FORMATS[format_].write(tmp_path)
    unpack(tmp_path, pattern)
    with pytest.raises(InputError) as caught:
        read(Manifest.of("X", "real", tmp_path))
    for line, text in zip(caught.value.problems, texts, strict=False):
        assert text in line


def test_the_list_of_a_task_may_be_in_another_unicode_form(tmp_path):
    sound.FORMATS["decathlon"].write(tmp_path)
    for path in tmp_path.rglob("abdomen_001.nii.gz"):
        path.rename(path.with_name(unicodedata.normalize("NFD", "Müller.nii.gz")))
    about = tmp_path / sound.TASK / "dataset.json"
    about.write_text(about.read_text(encoding="utf-8").replace("abdomen_001", "M\u00fcller"), encoding="utf-8")
    (case,) = decathlon.read(Manifest.of("X", "real", tmp_path), sound.TASK).cases
    assert case.name == "M\u00fcller"


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("a/b_1.nii", True),
        ("a/b_1_0000.nii.gz", True),
        ("A/B_1.NII.GZ", True),
        ("a/b_10.nii.gz", False),
        ("c/b_1.nii", False),
    ],
)
def test_a_file_under_another_name_is_found(other, same):
    assert names.elsewhere(["a/b_1.nii.gz"], [other]) == ({"a/b_1.nii.gz": other} if same else {})
