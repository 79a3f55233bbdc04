"""JSRT's and SCR's official layouts, in their true sizes: reading and every complaint."""

import io

import numpy as np
import pytest
from PIL import Image

from whereabouts.data import chest, jsrt
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError
from whereabouts.formats import limits

STORED = (np.add.outer(2 * np.arange(2048), np.arange(2048)) % 4096).astype(">u2")  # a ramp from 0 to 4095, again
BOXES = {  # rows, columns of 1024; the patient's right is on the image's left
    "right lung": np.s_[200:800, 100:450],
    "left lung": np.s_[200:800, 500:900],
    "heart": np.s_[500:850, 400:700],
}


def gif(array, palette=None):
    image, buffer = Image.fromarray(array), io.BytesIO()
    if palette:
        image.putpalette(palette)
    image.save(buffer, "GIF")
    return buffer.getvalue()


def mask(structure, shape=(1024, 1024), inside=255):
    array = np.zeros(shape, np.uint8)
    array[BOXES[structure]] = inside
    return array


MASKS = {structure: gif(mask(structure)) for structure in BOXES}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Two images, to which the data sets below link."""
    folder = tmp_path_factory.mktemp("raw")
    (folder / "sound.IMG").write_bytes(STORED.tobytes())
    (folder / "little.IMG").write_bytes(STORED.astype("<u2").tobytes())
    return folder


@pytest.fixture
def write(raw, tmp_path):
    """A function that writes one image with its masks, of odd numbers in fold 1, and returns the root."""

    def write(name, images="All247images", masks="SCR", suffix="IMG"):
        path = tmp_path / images / f"{name}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(raw / "sound.IMG")
        for structure, content in MASKS.items():
            path = tmp_path / masks / f"fold{2 - int(name[-1]) % 2}" / "masks" / structure / f"{name}.gif"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tmp_path

    return write


def read(root):
    return jsrt.read(Manifest.of("JSRT", "synthetic", root))


def problems(root):
    with pytest.raises(InputError) as error:
        read(root)
    return error.value.problems


# Layout


@pytest.mark.parametrize(("images", "masks"), [("", ""), ("All247images", "SCR/scratch"), ("JSRT/a b", "")])
def test_every_layout_is_found(images, masks, write):
    for name in ("JPCNN093", "JPCLN154"):
        root = write(name, images, masks)
    (root / "clinical.txt").write_text("stray", encoding="utf-8")
    (root / "._JPCLN001.IMG").write_text("macOS", encoding="utf-8")
    clavicle = root / masks / "fold1" / "masks" / "left clavicle" / "JPCLN154.gif"
    clavicle.parent.mkdir(parents=True)
    clavicle.write_bytes(b"not needed, so not read")
    nodule, healthy = read(root)
    assert (nodule.name, nodule.patient, nodule.licence) == ("JPCLN154", "JPCLN154", "")
    assert healthy.image == root / images / "JPCNN093.IMG"
    assert list(healthy.masks) == list(chest.STRUCTURES)
    assert healthy.masks["heart"] == root / masks / "fold1" / "masks" / "heart" / "JPCNN093.gif"
    assert nodule.masks["left lung"] == root / masks / "fold2" / "masks" / "left lung" / "JPCLN154.gif"
    np.testing.assert_array_equal(chest.read_mask(nodule.masks["left lung"]), mask("left lung") > 0)


def test_a_lower_case_suffix_is_fine(write):
    assert read(write("JPCLN001", suffix="img"))[0].image.name == "JPCLN001.img"


def test_a_palette_with_white_first_is_fine(write):
    root = write("JPCLN001")
    path = root / "SCR/fold1/masks/heart/JPCLN001.gif"
    path.write_bytes(gif((mask("heart") == 0).astype(np.uint8), [255] * 3 + [0] * 765))
    (radiograph,) = read(root)
    np.testing.assert_array_equal(chest.read_mask(radiograph.masks["heart"]), mask("heart") > 0)


def test_the_image_is_as_displayed(write):
    """Stored 0 is white and 4095 black; the bytes are big-endian."""
    root = write("JPCLN001")
    image = jsrt.image(root / "All247images/JPCLN001.IMG")
    assert image.dtype == np.float32 and image.shape == (2048, 2048)
    assert image.min() == 0 and image.max() == 1
    assert image[0, 0] == 1 and image[2047, 1] == 0
    np.testing.assert_allclose(image, 1 - STORED.astype(float) / 4095, atol=1e-6)


def test_labels_and_image_share_their_field_of_view(write):
    (radiograph,) = read(write("JPCLN001"))
    labels = chest.label({structure: chest.read_mask(path) for structure, path in radiograph.masks.items()})
    small = chest.resize_labels(labels, 64)
    assert chest.resize_image(jsrt.image(radiograph.image), 64).shape == small.shape
    assert (small[20, 10], small[20, 50], small[40, 35], small[0, 0]) == (1, 2, 3, 0)


# Complaints: what is done to JPCLN001, the file that the line must begin with, and what the line must say

IMAGE, HEART, RIGHT = "All247images/JPCLN001.IMG", "SCR/fold1/masks/heart/JPCLN001.gif", "SCR/fold1/masks/right lung"


def content(file, data):
    def spoil(root, _):
        (root / file).unlink(missing_ok=True)  # it may be a link
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(data)

    return spoil


def remove(file):
    return lambda root, _: (root / file).unlink()


def link(file, target):
    def spoil(root, raw):
        (root / file).unlink(missing_ok=True)
        (root / file).symlink_to(raw / target)

    return spoil


def rename(file, name):
    return lambda root, _: (root / file).rename((root / file).with_name(name))


half = mask("heart")
half[600, 500] = 128
CASES = {
    "cut": (content(IMAGE, bytes(8388606)), IMAGE, "8388606 bytes, not 8388608 (2048 x 2048 of 2 bytes); copy"),
    "header": (content(IMAGE, bytes(8388610)), IMAGE, "8388610 bytes, not 8388608"),
    "empty image": (content(IMAGE, b""), IMAGE, "0 bytes, not 8388608"),
    "little-endian": (link(IMAGE, "little.IMG"), IMAGE, "values above 4095, probably little-endian; restore"),
    "blank": (content(IMAGE, bytes(8388608)), IMAGE, "blank, every pixel has the same value"),
    "no mask": (remove(HEART), IMAGE, "has no mask of the heart; add it or remove the image"),
    "no image": (
        content("SCR/fold2/masks/heart/JPCNN090.gif", MASKS["heart"]),
        "SCR/fold2/masks/heart/JPCNN090.gif",
        "no image is called JPCNN090; add its image or remove it",
    ),
    "both folds": (
        content("SCR/fold2/masks/heart/JPCLN001.gif", MASKS["heart"]),
        "SCR/fold2/masks/heart/JPCLN001.gif",
        f"/{HEART}; keep one of them",
    ),
    "two images": (link("JPCLN001.IMG", "sound.IMG"), "JPCLN001.IMG", f"/{IMAGE}; keep one of them"),
    "not binary": (content(HEART, gif(half)), HEART, "is not binary, it holds 0, 128, 255; save it with"),
    "no gif": (content(HEART, b"no gif"), HEART, "is no PNG or GIF or JPEG; replace it"),
    "cut gif": (
        content(HEART, MASKS["heart"][:900]),
        HEART,
        "damaged, cannot be read to its end (OSError); copy or unpack",
    ),
    "empty mask": (content(HEART, gif(np.zeros((1024, 1024), np.uint8))), HEART, "empty, it shows no heart; draw it"),
    "aspect": (
        content(HEART, gif(mask("heart", (1024, 900)))),
        HEART,
        "900 x 1024 pixels, another aspect than its image's 2048 x 2048; replace it by the mask of this image",
    ),
    "other size": (
        content(HEART, gif(mask("heart", (2048, 2048)))),
        HEART,
        "2048 x 2048 pixels, the image's other masks have 1024 x 1024; save it so",
    ),
    "no such image": (
        link("All247images/JPCLN155.IMG", "sound.IMG"),
        "All247images/JPCLN155.IMG",
        "JSRT has JPCLN001 to 154 and JPCNN001 to 093; rename or remove it",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_complaint(case, write, raw):
    spoil, file, text = CASES[case]
    write("JPCLN001")
    root = write("JPCLN002")
    spoil(root, raw)
    (line,) = problems(root)
    assert line.startswith(f"{root.as_posix()}/{file}: ") or case in ("both folds", "two images")
    assert file in line and text in line
    assert "; " in line  # what is wrong; what to do


def test_the_complaint_about_two_folds_names_both(write):
    root = write("JPCLN001")
    content("SCR/fold2/masks/heart/JPCLN001.gif", MASKS["heart"])(root, None)
    (line,) = problems(root)
    folder = root.as_posix() + "/SCR"
    assert line == (
        f"{folder}/fold2/masks/heart/JPCLN001.gif: also found as {folder}/fold1/masks/heart/JPCLN001.gif; "
        "keep one of them"
    )


@pytest.mark.parametrize("name", ["JPCLN01", "JPCLN001_mask", "jpcLN001", "JPCLNO01"])
def test_a_misnamed_mask_is_told_what_it_may_be(name, write):
    root = write("JPCLN001")
    root = write("JPCLN003")
    rename(HEART, f"{name}.gif")(root, None)
    assert problems(root) == [
        f"{root.as_posix()}/{IMAGE}: has no mask of the heart; add it or remove the image",
        f"{root.as_posix()}/SCR/fold1/masks/heart/{name}.gif: no image is called {name}; "
        "JPCLN001 may be meant, rename it",
    ]


def test_all_complaints_come_at_once(write, raw):
    for name in ("JPCLN001", "JPCLN002", "JPCNN003"):
        root = write(name)
    for spoil in (
        CASES["little-endian"][0],
        CASES["not binary"][0],
        content("SCR/fold2/masks/left lung/JPCLN002.gif", b""),
        remove("SCR/fold1/masks/right lung/JPCNN003.gif"),
        CASES["no image"][0],
        CASES["no such image"][0],
    ):
        spoil(root, raw)
    assert len(problems(root)) == 6


def test_no_images(write):
    root = write("JPCLN001")
    (root / IMAGE).unlink()
    assert problems(root) == [
        f"no images below {root.as_posix()}; expected JPCLN001.IMG and others, see data/README.md"
    ]


def test_files_with_another_ending_are_named(write):
    root = write("JPCLN001")
    mask, image = root / HEART, root / IMAGE
    mask.rename(mask.with_suffix(".png"))
    assert problems(root) == [
        f"{root.as_posix()}/{HEART[:-3]}png: masks are expected as fold1|fold2/masks/<structure>/JPCLN001.gif; "
        "save or rename it so"
    ]
    image.rename(image.with_suffix(".png"))
    assert problems(root)[0].startswith(f"no images but {IMAGE[:-3]}png below {root.as_posix()}; ")


def test_a_structure_without_any_mask_is_one_complaint(write):
    write("JPCLN001")
    root = write("JPCLN003")
    for path in (root / RIGHT).iterdir():
        path.unlink()
    assert problems(root) == [f"{root.as_posix()}: no masks of the right lung; add its folder, see data/README.md"]


def test_a_file_of_the_wrong_size_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "JPCLN001.IMG"
    path.write_bytes(bytes(10))
    monkeypatch.setattr(limits, "read", lambda *_: pytest.fail("was read"))
    with pytest.raises(InputError, match="10 bytes, not 8388608"):
        jsrt.image(path)


def test_only_the_manifest_says_which_files_exist(write):
    root = write("JPCLN001")
    manifest = Manifest.of("JSRT", "synthetic", root)
    write("JPCLN002")
    assert [radiograph.name for radiograph in jsrt.read(manifest)] == ["JPCLN001"]
    (root / IMAGE).unlink()
    (root / HEART).unlink()
    with pytest.raises(InputError) as error:
        jsrt.read(manifest)
    assert [line.partition(": ")[2] for line in error.value.problems] == [
        "cannot be read (No such file or directory); mend that, or replace it"
    ] * 2
