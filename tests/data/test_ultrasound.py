"""The HDF5 layout of fetal ultrasound, written small: reading, every complaint, crop and reduction."""

import os
import shutil
import tracemalloc
import zlib

import h5py
import numpy as np
import pandas as pd
import pytest

from whereabouts.data import prepared as store
from whereabouts.data import ultrasound
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError
from whereabouts.formats import hdf5
from whereabouts.phantoms import fetal

NAMES = ("4CH", "Lips", "Background")
COUNTS = {"train": 7, "val": 4, "test": 5}
SHAPE = (14, 18)
MEND = "write it as data/README.md says"
CORRECT = "correct them"


def content(dtype=np.uint8, shape=SHAPE, boxes=True):
    """What a file holds: noise, labels in turn, and boxes for all but one test frame."""
    rng = np.random.default_rng(0)
    arrays = {"label_names": np.array(NAMES, "S")}
    for split, count in COUNTS.items():
        arrays[f"x_{split}"] = rng.integers(0, 256, (count, 1, *shape)).astype(dtype)
        arrays[f"p_{split}"] = np.arange(count) % len(NAMES)
    if boxes:
        arrays["box_test"] = np.array([(2, 3, 12, 15), (-1, -1, -1, -1), (0, 0, *shape), (5, 6, 6, 7), (1, 8, 4, 12)])
    return arrays


def save(root, arrays=None, name="ultrasound.hdf5", **options):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for key, array in (content() if arrays is None else arrays).items():
            file.create_dataset(key, data=array, **(options if key.startswith("x_") else {}))
    return path


def read(root):
    return ultrasound.read(Manifest.of("Fetal ultrasound", "synthetic", root))


def prepare(*given):
    """Images, planes and boxes of a split, its pieces put together."""
    images, planes, boxes = zip(*ultrasound.prepare(*given), strict=True)
    return np.concatenate(images), np.concatenate(planes), None if boxes[0] is None else np.concatenate(boxes)


def problems(root):
    """Complaints, each without the file's name in front."""
    with pytest.raises(InputError) as error:
        read(root)
    start = f"{root.as_posix()}/ultrasound.hdf5: "
    assert all(line.startswith(start) for line in error.value.problems)
    return [line.removeprefix(start) for line in error.value.problems]


# Layout


@pytest.mark.parametrize("name", ["ultrasound.hdf5", "fetal data (1)/us.H5"])
def test_read(name, tmp_path):
    path = save(tmp_path, name=name)
    (tmp_path / "notes.txt").write_text("stray", encoding="utf-8")
    assert read(tmp_path) == ultrasound.Frames(path, NAMES, tuple(range(len(NAMES))), COUNTS, SHAPE, True)


def test_boxes_are_optional(tmp_path):
    save(tmp_path, content(boxes=False))
    frames = read(tmp_path)
    assert not frames.boxes
    assert prepare(frames, "test", SHAPE, SHAPE)[2] is None


def test_keys_of_other_people_are_left_alone(tmp_path):
    save(tmp_path, content() | {"box_train": np.zeros(3), "comment": np.array(1)})
    assert read(tmp_path).counts == COUNTS


@pytest.mark.parametrize("names", [np.array(NAMES, "S"), np.array(NAMES, "S20"), np.array(NAMES, object)])
def test_names_of_fixed_and_variable_length(names, tmp_path):
    save(tmp_path, content() | {"label_names": names})
    assert read(tmp_path).names == NAMES


def test_names_beyond_ascii(tmp_path):
    save(tmp_path, content() | {"label_names": np.array([name.encode() for name in ("Füße", "Lips", "Background")])})
    assert read(tmp_path).names == ("Füße", "Lips", "Background")


def test_the_background_comes_last_wherever_it_is_in_the_file(tmp_path):
    given, names = content(), ["Lips", " BACKGROUND", "Head"]
    save(tmp_path, given | {"label_names": np.array([name.encode() for name in names])})
    frames = read(tmp_path)
    assert frames.names == ("Lips", "Head", " BACKGROUND")
    planes = prepare(frames, "test", SHAPE, SHAPE)[1]
    assert [frames.names[k] for k in planes] == [names[k] for k in given["p_test"]]


@pytest.mark.parametrize(
    ("names", "found"), [((b"4CH", b"Lips", b"Rest"), "none"), ((b"background", b"Lips", b"Background"), "2")]
)
def test_one_name_is_the_background(names, found, tmp_path):
    save(tmp_path, content() | {"label_names": np.array(names)})
    with pytest.raises(InputError, match=f"label_names: {found} of .* is Background; {MEND}"):
        read(tmp_path)


# Preparation


def area_means(image, shape):
    """By loops: the mean over every whole pixel that an area touches."""
    result = np.zeros(shape)
    for row, column in np.ndindex(*shape):
        spans = [
            slice(index * length // side, -(-(index + 1) * length // side))
            for index, length, side in zip((row, column), image.shape, shape, strict=True)
        ]
        result[row, column] = image[*spans].mean()
    return result


@pytest.mark.parametrize(
    ("crop", "shape"),
    [((14, 18), (14, 18)), ((12, 16), (6, 4)), ((11, 13), (4, 5)), ((13, 18), (13, 7)), ((1, 1),) * 2],
)
def test_prepare_crops_the_middle_and_averages_over_areas(crop, shape, tmp_path):
    arrays = content()
    save(tmp_path, arrays)
    top, left = (14 - crop[0]) // 2, (18 - crop[1]) // 2
    for split, count in COUNTS.items():
        images, planes, _ = prepare(read(tmp_path), split, crop, shape)
        middle = arrays[f"x_{split}"][:, 0, top : top + crop[0], left : left + crop[1]].astype(float)
        expected = np.stack([area_means(image, shape) for image in middle])
        assert images.shape == (count, *shape)
        assert images.dtype == planes.dtype == np.uint8
        assert np.abs(images - expected).max() <= 0.5 + 1e-4
        np.testing.assert_array_equal(planes, arrays[f"p_{split}"])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16, ">i4"])
def test_any_numbers_from_0_to_255_will_do(dtype, tmp_path):
    save(tmp_path / "a")
    save(tmp_path / "b", content(dtype))
    first, second = (prepare(read(tmp_path / name), "train", (12, 16), (5, 7)) for name in "ab")
    np.testing.assert_array_equal(first[0], second[0])
    assert second[0].dtype == np.uint8


@pytest.mark.parametrize("options", [{}, {"chunks": (3, 1, 5, 18), "compression": "gzip"}, {"chunks": (7, 1, 14, 1)}])
@pytest.mark.parametrize("size", [1, 2 * 14 * 18, 4 * 14 * 18, 2**24])
def test_however_stored_and_in_parts_of_whatever_size(options, size, tmp_path, monkeypatch):
    arrays = content()
    arrays |= {f"x_{split}": np.tile(arrays[f"x_{split}"], (2, 1, 1, 1)) for split in COUNTS}  # chunks need 7 frames
    arrays |= {f"p_{split}": np.tile(arrays[f"p_{split}"], 2) for split in COUNTS}
    arrays["box_test"] = np.tile(arrays["box_test"], (2, 1))
    save(tmp_path, arrays, **options)
    monkeypatch.setattr(ultrasound, "_PART", size)
    images = prepare(read(tmp_path), "train", (12, 16), (12, 16))[0]
    np.testing.assert_array_equal(images, arrays["x_train"][:, 0, 1:13, 1:17])


@pytest.mark.parametrize(
    ("chunk", "size", "expected"),
    [(None, 6, [6, 6, 6, 2]), (4, 6, [4, 4, 4, 4, 4]), (3, 7, [6, 6, 6, 2]), (9, 6, [6, 6, 6, 2]), (4, 0.5, [1] * 20)],
)
def test_parts_are_bounded_and_end_with_chunks(chunk, size, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(ultrasound, "_PART", int(size * 2 * 5 * 7))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        chunks = chunk and (chunk, 1, 5, 7)
        dataset = file.create_dataset("x", data=np.zeros((20, 1, 5, 7), np.int16), chunks=chunks)
        parts = list(ultrasound._parts(dataset))
    assert [part.stop - part.start for part in parts] == expected
    np.testing.assert_array_equal(np.concatenate([np.arange(20)[part] for part in parts]), np.arange(20))


def test_boxes_follow_the_pixels(tmp_path):
    """A frame that is white within its box shows where the box has gone."""
    arrays = content(shape=(40, 60))
    arrays["box_test"] = np.array(
        [(10, 14, 22, 34), (4, 6, 36, 54), (12, 12, 14, 14), (16, 18, 20, 22), (6, 34, 12, 54)]
    )
    arrays["x_test"][...] = 0
    for image, (top, left, bottom, right) in zip(arrays["x_test"][:, 0], arrays["box_test"], strict=True):
        image[top:bottom, left:right] = 255
    save(tmp_path, arrays)
    images, _, boxes = prepare(read(tmp_path), "test", (32, 48), (16, 24))
    assert boxes.dtype == np.float32
    for image, box in zip(images, boxes, strict=True):
        rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        assert set(np.unique(image)) <= {0, 255}
        assert box.tolist() == [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]


def test_boxes_are_cut_at_the_crop_and_dropped_beyond_it(tmp_path):
    arrays = content(shape=(20, 30))
    arrays["box_test"] = np.array([(0, 0, 20, 30), (-1, -1, -1, -1), (0, 10, 2, 20), (3, 0, 9, 6), (10, 5, 11, 6)])
    save(tmp_path, arrays)
    _, _, boxes = prepare(read(tmp_path), "test", (16, 20), (4, 8))  # from row 2, column 5
    expected = [(0, 0, 4, 8), (-1,) * 4, (-1,) * 4, (0.25, 0, 1.75, 0.4), (2, 0, 2.25, 0.4)]
    np.testing.assert_allclose(boxes, expected, atol=1e-6)


def test_only_test_frames_have_boxes(tmp_path):
    save(tmp_path)
    frames = read(tmp_path)
    found = [prepare(frames, split, SHAPE, SHAPE)[2] is not None for split in COUNTS]
    assert found == [False, False, True]


def test_crop_and_shape_that_do_not_fit(tmp_path):
    save(tmp_path)
    frames = read(tmp_path)
    for crop, shape, expected in (
        ((15, 18), (2, 2), ["crop: 15 x 18 does not fit into the frames, 14 x 18; give less"]),
        ((12, 16), (12, 17), ["shape: 12 x 17 does not fit into the crop, 12 x 16; give less"]),
        ((12, 16), (0, 16), ["shape: 0 x 16 does not fit into the crop, 12 x 16; give less"]),
        (
            (14, 19),
            (14, 20),
            [
                "crop: 14 x 19 does not fit into the frames, 14 x 18; give less",
                "shape: 14 x 20 does not fit into the crop, 14 x 19; give less",
            ],
        ),
    ):
        with pytest.raises(InputError) as error:
            prepare(frames, "val", crop, shape)
        assert error.value.problems == expected


def test_memory_holds_one_piece_however_many_frames_there_are(tmp_path, monkeypatch):
    """tracemalloc counts NumPy's arrays on their way to the file, and from there to the other."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 72), np.uint8)
    monkeypatch.setattr(fetal, "draw", lambda *_: (noise, np.full(4, -1)))  # whose own memory is as the anatomy is
    monkeypatch.setattr(ultrasound, "_PART", 8 * 64 * 72)  # frames of 64 x 72 pixels, eight at a time

    def peak(frames, out):
        tracemalloc.start()
        fetal.write(out, dict.fromkeys(ultrasound.SPLITS, frames), (64, 72), np.random.default_rng(1))
        frames_of = read(out)
        with store.writing(out / "prepared") as pieces:
            for split in ultrasound.SPLITS:
                for images, _, _ in ultrasound.prepare(frames_of, split, (60, 64), (60, 64)):
                    pieces.add(images=images)
            pieces.finish(pd.DataFrame(), {}, "")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(store.array(out / "prepared", "images")) == 3 * frames
        return most

    peak(60, tmp_path / "first")  # what is made once and kept
    few, many = peak(60, tmp_path / "few"), peak(400, tmp_path / "many")
    assert many < 1.5 * few


# Complaints about the file


def test_no_file_and_several(tmp_path):
    (tmp_path / "ultrasound.hdf5.zip").write_text("stray", encoding="utf-8")
    with pytest.raises(InputError, match=r"^no HDF5 file below .*; expected ultrasound.hdf5, see data/README.md$"):
        read(tmp_path)
    save(tmp_path, name="b.h5")
    save(tmp_path, name="a/c.hdf5")
    with pytest.raises(InputError, match=r": 2 HDF5 files \(a/c.hdf5, b.h5\); keep one of them$"):
        read(tmp_path)


@pytest.mark.parametrize("kept", [0, 100, 0.5, -1])
def test_truncated(kept, tmp_path):
    path = save(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    assert problems(tmp_path) == ["truncated, damaged or not HDF5; copy it again"]


def test_not_hdf5(tmp_path):
    (tmp_path / "ultrasound.hdf5").write_bytes(b"PK\x03\x04" + bytes(5000))
    assert problems(tmp_path) == ["truncated, damaged or not HDF5; copy it again"]


def test_gone(tmp_path):
    path = save(tmp_path)
    manifest = Manifest.of("Fetal ultrasound", "synthetic", tmp_path)
    frames = ultrasound.read(manifest)
    path.unlink()
    for action in (lambda: ultrasound.read(manifest), lambda: prepare(frames, "val", SHAPE, SHAPE)):
        with pytest.raises(
            InputError, match=r"cannot be read \(No such file or directory\); mend that, or replace it$"
        ):
            action()


def test_damaged_inside(tmp_path):
    """Bytes of compressed chunks overwritten in two splits: both are named, and other problems with them."""
    path = save(tmp_path, content() | {"p_test": np.array([0, 1, 3, -1, 0])}, chunks=(2, 1, *SHAPE), compression="gzip")
    with h5py.File(path) as file:
        places = [file[key].id.get_chunk_info(1) for key in ("x_train", "x_val")]
    whole = bytearray(path.read_bytes())
    for place in places:
        whole[place.byte_offset + 20 : place.byte_offset + 60] = bytes(40)
    path.write_bytes(whole)
    damaged = "the chunk at (2, 0, 0, 0) does not unpack to its 504 bytes; copy it again"
    assert problems(tmp_path) == [
        f"x_train: {damaged}",
        f"x_val: {damaged}",
        f"p_test: 2 labels other than 0 to 2, the first at index 2; {CORRECT}",
    ]


# Complaints about keys, shapes and types


def test_missing_keys_are_named_at_once(tmp_path):
    arrays = content()
    for key in ("x_val", "p_val", "label_names"):
        arrays.pop(key)
    save(tmp_path, arrays | {"labels": np.zeros(3)})
    has = "box_test, labels, p_test, p_train, x_test, x_train"
    assert problems(tmp_path) == [f"lacks label_names, x_val, p_val, has {has}; {MEND}"]


def test_empty_file(tmp_path):
    save(tmp_path, {})
    assert problems(tmp_path) == [f"lacks {', '.join(ultrasound.KEYS)}, has nothing; {MEND}"]


def test_groups_and_types_are_no_data(tmp_path):
    path = save(tmp_path)
    with h5py.File(path, "a") as file:
        for key in ("p_train", "x_val", "box_test"):
            del file[key]
        file["p_train"] = np.dtype("u1")
        file.create_group("x_val")
        file.create_group("box_test")
    assert problems(tmp_path) == [f"{key}: no dataset, or damaged; {MEND}" for key in ("p_train", "x_val", "box_test")]


# Values of this file only


@pytest.mark.parametrize(
    "link",
    [
        h5py.SoftLink("/nowhere"),
        h5py.SoftLink("/x_val"),
        h5py.SoftLink("/x_train"),
        h5py.SoftLink("/elsewhere/x_train"),
        h5py.ExternalLink("../other.h5", "x_train"),
        h5py.ExternalLink("ultrasound.hdf5", "x_val"),
    ],
    ids=lambda link: link.path,
)
def test_links_are_not_followed(link, tmp_path):
    """Not even to what lies in the file: on its way may be a link to another, and that may be a FIFO."""
    path = save(tmp_path / "data")
    os.mkfifo(tmp_path / "other.h5")
    with h5py.File(path, "a") as file:
        del file["x_train"]
        file["elsewhere"] = h5py.ExternalLink("../other.h5", "/")
        file["x_train"] = link
    assert problems(tmp_path / "data") == [f"x_train: a link, maybe to another file; {MEND}"]


def test_a_second_name_is_as_good_as_the_first(tmp_path):
    path = save(tmp_path)
    with h5py.File(path, "a") as file:
        file["copy"] = file["x_train"]
    assert read(tmp_path).counts == COUNTS


def test_virtual_datasets_are_not_opened(tmp_path):
    path = save(tmp_path / "data")
    os.mkfifo(tmp_path / "other.h5")
    layout = h5py.VirtualLayout((7, 1, *SHAPE), np.uint8)
    layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "x", (7, 1, *SHAPE))
    with h5py.File(path, "a") as file:
        del file["x_train"]
        file.create_virtual_dataset("x_train", layout)
    assert problems(tmp_path / "data") == [f"x_train: its values are in other files; {MEND}"]


def test_external_storage_is_not_opened(tmp_path):
    path = save(tmp_path / "data")
    os.mkfifo(tmp_path / "values")
    with h5py.File(path, "a") as file:
        del file["x_train"]
        whole = [(tmp_path / "values", 0, 7 * 252)]
        file.create_dataset("x_train", (7, 1, *SHAPE), np.uint8, external=whole)
    assert problems(tmp_path / "data") == [f"x_train: its values are in other files; {MEND}"]


# Packed chunks


def packed(path, key, stream, *filters):
    """The first dataset of `key` again in chunks of two frames, each of them `stream` under any filters."""
    with h5py.File(path, "a") as file:
        shape = file[key].shape
        del file[key]
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((2, *shape[1:]))
        for code in filters:
            values = (0, 0, 2 * 252) if code == h5py.h5z.FILTER_LZF else (3,)
            plan.set_filter(code, h5py.h5z.FLAG_OPTIONAL, values)
        space = h5py.h5s.create_simple(shape)
        made = h5py.h5d.create(file.id, key.encode(), h5py.h5t.NATIVE_UINT8, space, plan)
        for index in range(0, len(stream) and shape[0], 2):
            made.write_direct_chunk((index, 0, 0, 0), stream)


@pytest.mark.parametrize(
    ("code", "name"),
    [(32015, " (Zstandard)"), (32001, " (Blosc)"), (307, " (bzip2)"), (4, " (szip)"), (6, " (scaleoffset)"), (311, "")],
)
def test_a_filter_that_is_not_there_is_named(code, name, tmp_path):
    packed(save(tmp_path), "x_val", bytes(100), code)
    how = "pack it with gzip where it can be read (h5repack -f GZIP=4)"
    assert problems(tmp_path) == [f"x_val: packed by the filter {code}{name}, which is not read here; {how}"]


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "lzf"},
        {"compression": "lzf", "shuffle": True, "fletcher32": True},
        {"compression": "gzip", "shuffle": True, "fletcher32": True},
        {"compression": "gzip", "compression_opts": 0},
        {"fletcher32": True, "chunks": True},
        {"shuffle": True, "chunks": True},
    ],
    ids=str,
)
def test_what_h5py_packs_is_read(options, tmp_path):
    arrays = content(np.int16)
    save(tmp_path, arrays, **options)
    images = prepare(read(tmp_path), "train", SHAPE, SHAPE)[0]
    np.testing.assert_array_equal(images, arrays["x_train"][:, 0])


DEFLATE, FLETCHER = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_FLETCHER32


@pytest.mark.parametrize("filters", [(DEFLATE,), (FLETCHER, DEFLATE), (DEFLATE, FLETCHER)])
@pytest.mark.parametrize("unpacked", [503, 2**26])
def test_chunks_that_unpack_to_another_size(unpacked, filters, tmp_path):
    packed(save(tmp_path), "x_val", zlib.compress(bytes(unpacked)), *filters)
    size = 508 if filters[0] == FLETCHER else 504
    tracemalloc.start()
    found = problems(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [f"x_val: the chunk at (0, 0, 0, 0) does not unpack to its {size} bytes; copy it again"]
    assert peak < 2**24


def test_chunks_that_are_packed_twice(tmp_path):
    packed(save(tmp_path), "x_val", zlib.compress(zlib.compress(bytes(504))), DEFLATE, DEFLATE)
    assert problems(tmp_path) == [f"x_val: packed more than once; {MEND}"]


def test_a_large_chunk_of_lzf(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "LARGEST", 2000)
    packed(save(tmp_path), "x_val", bytes(100), h5py.h5z.FILTER_LZF)
    assert problems(tmp_path) == ["x_val: the chunk at (0, 0, 0, 0) does not unpack to its 504 bytes; copy it again"]


def test_true_but_huge(tmp_path, monkeypatch):
    save(tmp_path)
    monkeypatch.setattr(hdf5, "BYTES", 252 * 6)
    assert problems(tmp_path) == [f"x_train: {252 * 7} bytes, more than {252 * 6}; divide it"]


@pytest.mark.parametrize(
    ("key", "array", "expected"),
    [
        ("x_val", np.ones((4, 14, 18), np.uint8), "shape (4, 14, 18) where (N, 1, rows, columns) is expected"),
        ("x_val", np.ones((4, 3, 14, 18), np.uint8), "shape (4, 3, 14, 18) where (N, 1, rows, columns) is expected"),
        ("x_val", np.ones((4, 1, 0, 18), np.uint8), "shape (4, 1, 0, 18) where (N, 1, rows, columns) is expected"),
        ("x_val", np.full((4, 1, 14, 18), b"a"), "values of type |S1 where uint8 is expected"),
        ("x_val", np.ones((4, 1, 14, 18), complex), "values of type complex128 where uint8 is expected"),
        ("p_val", np.zeros(3, int), "shape (3,) where (4,) is expected"),
        ("p_val", np.zeros((4, 1), int), "shape (4, 1) where (4,) is expected"),
        ("p_val", np.zeros(4), "values of type float64 where integers are expected"),
        ("box_test", np.zeros((5, 3), int), "shape (5, 3) where (5, 4) is expected"),
        ("box_test", np.zeros((4, 4), int), "shape (4, 4) where (5, 4) is expected"),
        ("box_test", np.ones((5, 4)), "values of type float64 where integers are expected"),
        ("label_names", np.arange(14), "not a list of names"),
        ("label_names", np.array([b"a"] * 257), "not a list of names"),
        ("label_names", np.array([[b"a"]]), "not a list of names"),
        ("label_names", np.array([], "S4"), "not a list of names"),
        ("p_val", h5py.Empty("i8"), "shape () where (4,) is expected"),
        ("x_val", h5py.Empty("i8"), "shape () where (N, 1, rows, columns) is expected"),
        ("p_val", np.zeros(4, bool), "values of type bool where integers are expected"),
        ("p_val", np.zeros(4, [("a", int)]), "values of type [('a', '<i8')] where integers are expected"),
        ("p_val", np.array([b"a"] * 4), "values of type |S1 where integers are expected"),
    ],
)
def test_shapes_and_types(key, array, expected, tmp_path):
    save(tmp_path, content() | {key: array})
    assert problems(tmp_path) == [f"{key}: {expected}; {MEND}"]


@pytest.mark.parametrize("kind", ["reference", "time"])
def test_types_that_are_no_numbers(kind, tmp_path):
    path = save(tmp_path)
    with h5py.File(path, "a") as file:
        del file["p_val"]
        space = h5py.h5s.create_simple((4,))
        kinds = {"reference": h5py.h5t.STD_REF_OBJ, "time": h5py.h5t.UNIX_D32LE}
        h5py.h5d.create(file.id, b"p_val", kinds[kind], space)
    (line,) = problems(tmp_path)
    assert line.startswith("p_val: values of ")


def test_labels_without_their_frames_are_still_checked(tmp_path):
    arrays = content() | {"p_val": np.zeros((4, 1), int)}
    arrays.pop("x_val")
    save(tmp_path, arrays)
    assert problems(tmp_path)[1:] == [f"p_val: shape (4, 1) where (N,) is expected; {MEND}"]


@pytest.mark.parametrize("split", COUNTS)
def test_no_frames(split, tmp_path):
    arrays = content(boxes=False)
    arrays |= {f"x_{split}": arrays[f"x_{split}"][:0], f"p_{split}": arrays[f"p_{split}"][:0]}
    save(tmp_path, arrays)
    assert problems(tmp_path) == [f"x_{split}: no frames; {MEND}"]


def test_splits_of_several_shapes(tmp_path):
    save(tmp_path, content() | {"x_val": content(shape=(18, 14))["x_val"]})
    shapes = "14 x 18 in x_train, 18 x 14 in x_val, 14 x 18 in x_test"
    assert problems(tmp_path) == [f"frames of several shapes, {shapes}; {MEND}"]


# Complaints about sizes


@pytest.mark.parametrize(
    "options", [{}, {"chunks": (16, 1, 14, 18)}, {"chunks": (16, 1, 14, 18), "compression": "gzip"}]
)
def test_a_shape_that_the_file_cannot_hold(options, tmp_path):
    """Datasets of 25 TB that were never written; both splits are named."""
    arrays = content()
    del arrays["x_train"], arrays["p_train"], arrays["x_val"], arrays["p_val"]
    path, count = save(tmp_path, arrays), 10**11
    with h5py.File(path, "a") as file:
        for split in ("train", "val"):
            file.create_dataset(f"x_{split}", (count, 1, 14, 18), np.uint8, **options)
            file.create_dataset(f"p_{split}", (count,), np.int64)
    expected = [
        f"{key}: announces {size} bytes, of which the file holds 0; copy it again"
        for split in ("train", "val")
        for key, size in ((f"x_{split}", 252 * count), (f"p_{split}", 8 * count))
    ]
    assert problems(tmp_path) == expected


def test_one_chunk_of_a_shape_that_the_file_cannot_hold(tmp_path):
    path = save(tmp_path)
    with h5py.File(path, "a") as file:
        frames = file["x_train"][:]
        del file["x_train"], file["p_train"]
        file.create_dataset("x_train", (10**6, 1, *SHAPE), np.uint8, chunks=(7, 1, *SHAPE))[:7] = frames
        file.create_dataset("p_train", data=np.zeros(10**6, np.uint8))
    expected = f"announces {252 * 10**6} bytes, of which the file holds {252 * 7}"
    assert problems(tmp_path) == [f"x_train: {expected}; copy it again"]


def test_a_header_that_lies_about_what_is_stored(tmp_path):
    """Dimensions and size of the contiguous frames rewritten in the file itself; HDF5 refuses them."""
    path, many = save(tmp_path), 10**9
    whole = path.read_bytes()
    for old, new in (((4, 1, *SHAPE), (many, 1, *SHAPE)), ((4 * 252,), (many * 252,))):
        old, new = (np.array(values, "<u8").tobytes() for values in (old, new))
        assert old in whole
        whole = whole.replace(old, new)
    path.write_bytes(whole)
    assert problems(tmp_path) == [f"x_val: no dataset, or damaged; {MEND}"]


def test_well_compressed_labels_are_believed(tmp_path):
    arrays = content()
    arrays |= {"x_train": np.tile(arrays["x_train"], (1000, 1, 1, 1)), "p_train": np.repeat([0, 1], 3500)}
    path = save(tmp_path, arrays)
    with h5py.File(path, "a") as file:
        del file["p_train"]
        labels = file.create_dataset("p_train", data=arrays["p_train"], compression="gzip", compression_opts=9)
        assert labels.nbytes > 100 * labels.id.get_storage_size()
    assert read(tmp_path).counts["train"] == 7000


# Complaints about values


def test_labels_without_a_name(tmp_path):
    save(tmp_path, content() | {"p_train": np.array([0, 1, 3, 2, -1, 0, 99]), "p_test": np.array([0, 1, 2, 2, 3])})
    assert problems(tmp_path) == [
        f"p_train: 3 labels other than 0 to 2, the first at index 2; {CORRECT}",
        f"p_test: 1 labels other than 0 to 2, the first at index 4; {CORRECT}",
    ]


@pytest.mark.parametrize("size", [1, 2**24])
def test_frames_that_are_no_images(size, tmp_path, monkeypatch):
    monkeypatch.setattr(ultrasound, "_PART", size)
    arrays = content(np.float32)
    arrays["x_train"][3, 0, 2, 2] = np.nan
    arrays["x_train"][[4, 6], 0, 0, 0] = np.inf, -np.inf
    arrays["x_train"][[2, 5]] = 17
    arrays["x_test"][1] = 0
    save(tmp_path, arrays)
    again = "remove them or write them again"
    assert problems(tmp_path) == [
        f"x_train: 3 frames with NaN or infinite pixels, the first at index 3; {again}",
        f"x_train: 2 frames of one value only, the first at index 2; {again}",
        f"x_test: 1 frames of one value only, the first at index 1; {again}",
    ]


@pytest.mark.parametrize(
    ("dtype", "scale", "shift", "expected"),
    [
        (np.int16, 1, -1, "-1 to 254"),
        (np.uint16, 1, 1, "1 to 256"),
        (np.float32, 1 / 255, 0, "0 to 1"),
        (np.float64, 0.5, -64.5, "-64.5 to 63"),
    ],
)
def test_values_that_are_no_grey_values(dtype, scale, shift, expected, tmp_path):
    frames = content()["x_val"].astype(float)
    frames[0, 0, 0, :2] = 0, 255
    save(tmp_path, content(dtype) | {"x_val": (frames * scale + shift).astype(dtype)})
    assert problems(tmp_path) == [f"x_val: values from {expected} where 0 to 255 are expected; scale them"]


def test_dark_frames_of_whole_numbers_are_no_mistake(tmp_path):
    save(tmp_path, content() | {"x_val": content()["x_val"] % 2})
    assert read(tmp_path).counts == COUNTS


@pytest.mark.parametrize("box", [(0, 0, 15, 4), (0, 0, 4, 19), (-1, 2, 4, 5), (2, -1, 4, 5), (-1, -1, -1, 3)])
def test_boxes_beyond_the_frame(box, tmp_path):
    arrays = content()
    arrays["box_test"][2] = box
    save(tmp_path, arrays)
    first = f"box_test: 1 boxes reach beyond the frame, 14 x 18, the first at index 2; {CORRECT}"
    assert problems(tmp_path)[0] == first


def test_a_box_beyond_all_numbers(tmp_path):
    """2**64 - 1 is not -1, which stands for no box."""
    boxes = np.abs(content()["box_test"]).astype(np.uint64)
    boxes[2] = 2**64 - 1
    save(tmp_path, content() | {"box_test": boxes})
    assert "box_test: 1 boxes reach beyond the frame, 14 x 18, the first at index 2" in problems(tmp_path)[0]


def test_empty_boxes(tmp_path):
    arrays = content()
    arrays["box_test"][1], arrays["box_test"][3] = (5, 5, 5, 8), (3, 9, 8, 4)
    save(tmp_path, arrays)
    assert problems(tmp_path) == [f"box_test: 2 boxes are empty, the first at index 1; {CORRECT}"]


def test_names_that_are_no_text(tmp_path):
    save(tmp_path, content() | {"label_names": np.array([b"\xff\xfe", b"b", b"c"])})
    assert problems(tmp_path) == [f"label_names: not UTF-8; {MEND}"]


@pytest.mark.parametrize("name", ["", "4\n5", "\x1b[2J", "x" * 257])
def test_names_that_cannot_be_printed(name, tmp_path):
    save(tmp_path, content() | {"label_names": np.array([name, "b", "Background"], object)})
    text = "names that are empty, longer than 256 characters or not to be printed"
    assert problems(tmp_path) == [f"label_names: {text}; {MEND}"]


def test_everything_at_once(tmp_path):
    arrays = content()
    arrays["x_train"][0], arrays["x_val"][1], arrays["p_val"][2], arrays["box_test"][0] = 3, 4, 5, 6
    save(tmp_path, arrays)
    assert [line.split(":")[0] for line in problems(tmp_path)] == ["x_train", "x_val", "p_val", "box_test"]


def test_only_the_manifest_says_which_files_exist(tmp_path):
    path = save(tmp_path)
    manifest = Manifest.of("Fetal ultrasound", "synthetic", tmp_path)
    shutil.copy(path, tmp_path / "other.h5")
    assert ultrasound.read(manifest).path == path
