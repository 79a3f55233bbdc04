"""The plain layout of chest radiographs, written small: reading and every complaint."""

import io
import struct
import unicodedata
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from whereabouts.data import chest, radiographs
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError

SHAPE = (60, 80)
GREY = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
BOXES = {"right lung": np.s_[10:50, 10:35], "left lung": np.s_[10:50, 42:70], "heart": np.s_[25:55, 30:52]}


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def mask(structure, inside=255, shape=SHAPE):
    array = np.zeros(shape, np.uint8)
    array[BOXES[structure]] = inside
    return array


def write_table(root, *rows, header="id,original,licence,patient"):
    (root / "sources.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


ROWS = ["a,x.jpg,CC BY,12", "b,y.png,CC BY-SA,12", "c,z.png,CC BY-NC-SA,7"]


def write(root, names="abc", suffix="png"):
    for name in names:
        save(root / "images" / f"{name}.{suffix}", GREY)
        for structure in BOXES:
            save(root / "masks" / structure / f"{name}.png", mask(structure))
    write_table(root, *ROWS)
    return root


def read(root):
    return radiographs.read(Manifest.of("Chest radiographs", "synthetic", root))


def problems(root):
    with pytest.raises(InputError) as error:
        read(root)
    return error.value.problems


# Layout


@pytest.mark.parametrize("prefix", ["", "cxr", "a/b c"])
@pytest.mark.parametrize("suffix", ["png", "PNG", "jpg", "jpeg"])
def test_every_layout_is_found(prefix, suffix, tmp_path):
    folder = write(tmp_path / prefix, suffix=suffix)
    (folder / "readme.txt").write_text("stray", encoding="utf-8")
    save(folder / "thumbnails" / "a.png", GREY)
    save(folder / "masks" / "spine" / "a.png", GREY)
    found = read(tmp_path)
    assert [(one.name, one.patient, one.licence) for one in found] == [
        ("a", "12", "CC BY"),
        ("b", "12", "CC BY-SA"),
        ("c", "7", "CC BY-NC-SA"),
    ]
    assert found[1].image == folder / "images" / f"b.{suffix}"
    assert found[1].masks == {name: folder / "masks" / name / "b.png" for name in chest.STRUCTURES}


@pytest.mark.parametrize(
    "content",
    [
        '\ufeffpatient, remark, licence, id\r\n 007 , "two\r\nlines, one cell", "CC\u00a0BY, 4.0", a\r\n\r\n',
        "\ufeffID;Licence;Patient;;\r\na;CC BY, 4.0;007;;\r\n;;;;\r\n",
        'sep=;\r\nid;licence;patient\r\n"a";"CC BY, 4.0";"007"\r\n',
        "id\tlicence\tpatient\ra\tCC BY, 4.0\t007\r",
        '"id","licence","patient"\n\n"a","CC BY, 4.0","007"',
    ],
)
def test_the_table_may_come_from_a_spreadsheet(content, tmp_path):
    root = write(tmp_path, "a")
    (root / "sources.csv").write_bytes(content.encode())
    (found,) = read(root)
    assert (found.patient, found.licence, found.name) == ("007", "CC BY, 4.0", "a")


def renamed(root, old, new):
    for path in [*root.glob(f"images/{old}.*"), *root.glob(f"masks/*/{old}.*")]:
        path.rename(path.with_name(f"{new}{path.suffix}"))


@pytest.mark.parametrize("name", ["001", "NA", "nan", "1e5", "True", "None", "-a", "$x$_[b]*"])
def test_names_are_text(name, tmp_path):
    root = write(tmp_path, "a")
    renamed(root, "a", name)
    write_table(root, f"{name},{name},{name}", header="id,licence,patient")
    assert [(one.name, one.licence, one.patient) for one in read(root)] == [(name,) * 3]


@pytest.mark.parametrize(("on_disk", "in_table"), [("NFD", "NFC"), ("NFC", "NFD"), ("NFD", "NFD")])
def test_names_in_either_unicode_form_are_the_same(on_disk, in_table, tmp_path):
    root = write(tmp_path, "a")
    forms = {form: unicodedata.normalize(form, "M\u00fcller") for form in ("NFC", "NFD")}
    renamed(root, "a", forms[on_disk])
    (root / f"masks/heart/{forms[on_disk]}.png").rename(root / f"masks/heart/{forms[in_table]}.png")
    write_table(root, f"{forms[in_table]},CC0,{forms[in_table]}", header="id,licence,patient")
    (one,) = read(root)
    assert (one.name, one.patient) == (forms["NFC"],) * 2
    assert one.image.name == f"{forms[on_disk]}.png" and one.image.exists()


def test_zeros_that_a_spreadsheet_drops(tmp_path):
    root = write(tmp_path, "a")
    renamed(root, "a", "007")
    write_table(root, "7,CC0,1", header="id,licence,patient")
    assert problems(root)[1:] == [f"{root.as_posix()}/sources.csv: 7 has no image; 007 may be meant, correct it"]


def test_files_with_another_ending_or_in_a_misnamed_folder_are_named(tmp_path):
    root = write(tmp_path).as_posix()
    (tmp_path / "masks/heart/a.png").rename(tmp_path / "masks/heart/a.jpg")
    (tmp_path / "masks/left lung").rename(tmp_path / "masks/Left_Lung")
    so = "masks are expected as masks/<structure>/<id>.png or .gif; save or rename it so"
    assert problems(tmp_path) == [
        *(f"{root}/masks/Left_Lung/{name}.png: {so}" for name in "abc"),
        f"{root}/masks/heart/a.jpg: {so}",
    ]
    for name in "abc":
        (tmp_path / f"images/{name}.png").rename(tmp_path / f"images/{name}.tif")
    assert problems(tmp_path) == [
        f"no images but images/a.tif below {root}; expected images/<id>.png or .jpg, see data/README.md"
    ]


@pytest.mark.parametrize("name", ["Sources.xlsx", "sources.tsv"])
def test_a_table_of_another_ending_is_named(name, tmp_path):
    (write(tmp_path) / "sources.csv").rename(tmp_path / name)
    (line,) = problems(tmp_path)
    assert line.startswith(f"{tmp_path.as_posix()}/{name}: no sources.csv; save it as CSV under that name, with a row")


@pytest.mark.parametrize("tag", range(2, 9))
def test_turned_images_lie_upright_under_their_masks(tag, tmp_path):
    back = {5: 5, 6: 8, 7: 7, 8: 6}.get(tag, tag)  # the turn that undoes it
    exif, undo = Image.Exif(), Image.Exif()
    exif[274], undo[274] = tag, back
    root, buffer = write(tmp_path, "a"), io.BytesIO()
    Image.fromarray(GREY).save(buffer, "PNG", exif=undo)
    ImageOps.exif_transpose(Image.open(buffer)).save(root / "images/a.png", exif=exif)
    write_table(root, ROWS[0])
    np.testing.assert_array_equal(radiographs.image(read(root)[0].image), GREY / np.float32(255))


def test_masks_of_half_the_size_and_any_kind_are_fine(tmp_path):
    root = write(tmp_path)
    for structure in BOXES:
        (root / "masks" / structure / "a.png").unlink()
        save(root / "masks" / structure / "a.gif", mask(structure, 1)[::2, ::2])
    small = chest.read_mask(read(root)[0].masks["heart"])
    np.testing.assert_array_equal(small, mask("heart")[::2, ::2] > 0)


@pytest.mark.parametrize(
    ("stored", "largest"),
    [(GREY, 255), (GREY.astype(np.uint16) * 200, 65535), (np.repeat(GREY[..., None], 3, axis=2), 255)],
)
def test_intensities_are_shares_of_the_largest_value(stored, largest, tmp_path):
    save(tmp_path / "a.png", stored)
    image = radiographs.image(tmp_path / "a.png")
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, (stored if stored.ndim == 2 else GREY) / largest, atol=1e-6)


def test_a_problem_of_one_image_alone(tmp_path):
    with pytest.raises(InputError) as error:
        radiographs.image(tmp_path / "none.png")
    assert error.value.problems == [
        f"{tmp_path.as_posix()}/none.png: cannot be read (No such file or directory); mend that, or replace it"
    ]


# Complaints: what is done to a sound data set, the file that the line must begin with, and what the line must say

IMAGE, HEART, TABLE = "images/a.png", "masks/heart/a.png", "sources.csv"


def rewrite(file, array):
    return lambda root: save(root / file, array)


def content(file, data):
    return lambda root: (root / file).write_bytes(data)


def remove(file):
    return lambda root: (root / file).unlink()


def table(*rows, **options):
    return lambda root: write_table(root, *rows, **options)


def bomb():
    """A PNG that announces 100 million pixels in as few bytes as can be."""
    content = b"\x89PNG\r\n\x1a\n"
    for chunk in (b"IHDR" + struct.pack(">IIBBBBB", 10_000, 10_000, 1, 0, 0, 0, 0), b"IDAT"):
        content += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return content


colour = np.repeat(GREY[..., None], 3, axis=2)
colour[2, 3, 1] ^= 1
spoilt = mask("heart")
spoilt[30, 40] = 254
CASES = {
    "colour": (rewrite(IMAGE, colour), IMAGE, "has colours where grey is expected"),
    "unreadable": (content(IMAGE, b"no image"), IMAGE, "is no PNG or GIF or JPEG; replace it by one"),
    "bomb": (content(IMAGE, bomb()), IMAGE, "more than 25165824 pixels are refused"),
    "blank": (rewrite(IMAGE, np.full(SHAPE, 9, np.uint8)), IMAGE, "blank, every pixel has the same value"),
    "unreadable mask": (content(HEART, b""), HEART, "empty; copy or unpack it again"),
    "mask bomb": (content(HEART, bomb()), HEART, "more than 25165824 pixels are refused"),
    "not binary": (rewrite(HEART, spoilt), HEART, "is not binary, it holds 0, 254, 255"),
    "empty mask": (rewrite(HEART, np.zeros(SHAPE, np.uint8)), HEART, "empty, it shows no heart"),
    "aspect": (
        rewrite(HEART, mask("heart", shape=(60, 82))),
        HEART,
        "82 x 60 pixels, another aspect than its image's 80 x 60",
    ),
    "size": (
        rewrite(HEART, mask("heart", shape=(120, 160))),
        HEART,
        "160 x 120 pixels, the image's other masks have 80 x 60",
    ),
    "no mask": (remove(HEART), IMAGE, "has no mask of the heart"),
    "no image": (
        rewrite("masks/heart/cxr9.png", mask("heart")),
        "masks/heart/cxr9.png",
        "no image is called cxr9; add its image or remove it",
    ),
    "no row": (table(*ROWS[1:]), IMAGE, "sources.csv; add it"),
    "no image of a row": (table(*ROWS, "d,x,CC BY,3"), TABLE, "d has no image; add it to images/ or remove the row"),
    "id twice": (table(*ROWS, "a,x,CC BY,3"), TABLE, "line 5 has the id a again; keep one row an image"),
    "ending in the table": (table("a.png,x,CC BY,12", *ROWS[1:]), None, "a.png has no image; a may be meant, correct"),
    "no column": (
        table("a,1", "b,2", "c,3", header="id,patients"),
        TABLE,
        "has no column licence, patient but id, patients; name them so, one each",
    ),
    "a column twice": (
        table("a,1,CC BY,3", header="id,patient,licence,patient"),
        TABLE,
        "has several columns patient; name them so, one each",
    ),
    "empty table": (content(TABLE, b""), TABLE, "has no column id, licence, patient but none; "),
    "a comma too many": (
        table("a,x,CC BY, 4.0,12", *ROWS[1:]),
        None,
        "line 2 has 5 cells where there are 4 columns; put quotes around a cell with a comma",
    ),
    "control characters": (
        table("a\x1b[2J,x,CC BY,12", *ROWS[1:]),
        None,
        "line 2 holds what cannot be printed; correct it",
    ),
    "dark": (
        rewrite(IMAGE, GREY.astype(np.uint16) * 16),
        IMAGE,
        "uses 12 of its 16 bits, so that it is displayed nearly black; multiply its values by 16",
    ),
    "no patient": (table("a,x,CC BY, ", *ROWS[1:]), TABLE, "line 2 has an empty cell; fill in"),
    "no licence": (table(*ROWS[:2], "c,,,7"), TABLE, "line 4 has an empty cell; fill in"),
    "short row": (table("a,x,CC BY", *ROWS[1:]), TABLE, "line 2 has an empty cell; fill in"),
    "row without an id": (table(*ROWS, ",x,CC BY,3"), TABLE, "line 5 has an empty cell; fill in"),
    "not UTF-8": (content(TABLE, b"id,licence,patient\na,\xff,1\n"), TABLE, "cannot be read (UnicodeDecodeError)"),
}


@pytest.mark.parametrize("case", CASES)
def test_complaint(case, tmp_path):
    spoil, file, text = CASES[case]
    spoil(write(tmp_path))
    lines = problems(tmp_path)
    (line,) = lines if file else [line for line in lines if not line.endswith("; add it")]
    assert line.startswith(f"{tmp_path.as_posix()}/{file or TABLE}: ")
    assert text in line
    assert "; " in line  # what is wrong; what to do


def test_a_misnamed_mask_is_told_what_it_may_be(tmp_path):
    root = write(tmp_path)
    for path in list(root.rglob("a.png")):
        path.rename(path.with_name("cxr001.png"))
    write_table(root, "cxr001,x,CC BY,12", *ROWS[1:])
    (root / "masks" / "heart" / "cxr001.png").rename(root / "masks" / "heart" / "cxr01.png")
    assert problems(root) == [
        f"{root.as_posix()}/images/cxr001.png: has no mask of the heart; add it or remove the image",
        f"{root.as_posix()}/masks/heart/cxr01.png: no image is called cxr01; cxr001 may be meant, rename it",
    ]


def test_an_image_in_two_formats(tmp_path):
    save(write(tmp_path) / "images" / "a.jpg", GREY)
    (line,) = problems(tmp_path)
    assert line == (
        f"{tmp_path.as_posix()}/images/a.png: also found as {tmp_path.as_posix()}/images/a.jpg; keep one of them"
    )


def test_two_tables(tmp_path):
    write(tmp_path)
    (tmp_path / "old").mkdir()
    write_table(tmp_path / "old")
    assert [line for line in problems(tmp_path) if "also found as" in line] == [
        f"{tmp_path.as_posix()}/sources.csv: also found as {tmp_path.as_posix()}/old/sources.csv; keep one of them"
    ]


def test_no_table(tmp_path):
    (write(tmp_path) / "sources.csv").unlink()
    assert problems(tmp_path) == [
        f"{tmp_path.as_posix()}: no sources.csv; add it, with a row an image and columns id, licence and patient"
    ]


def test_no_images(tmp_path):
    (tmp_path / "readme.txt").write_text("nothing here", encoding="utf-8")
    (line,) = problems(tmp_path)
    assert line == f"no images below {tmp_path.as_posix()}; expected images/<id>.png or .jpg, see data/README.md"


def test_all_complaints_come_at_once(tmp_path):
    root = write(tmp_path)
    for spoil in (CASES["colour"][0], CASES["not binary"][0], CASES["no image"][0], CASES["no image of a row"][0]):
        spoil(root)
    (root / "masks" / "left lung" / "b.png").unlink()
    save(root / "masks" / "right lung" / "c.png", mask("right lung", shape=(60, 100)))
    assert len(problems(root)) == 6
