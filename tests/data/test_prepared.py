"""Prepared data: read as written, and every damage noticed."""

import errno
import json
import tracemalloc
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest

from equality import hashes
from whereabouts.data import prepared
from whereabouts.errors import InputError


@pytest.fixture
def folder(tmp_path):
    arrays = {"images": np.arange(24, dtype=np.float32).reshape(2, 3, 4), "labels": np.eye(5, dtype=np.uint8)}
    table = pd.DataFrame({"volume": ["a", "b"], "fold": [0, 1]})
    prepared.write(tmp_path / "prepared", arrays, table, {"classes": 2, "window": (1, 2)}, "X (synthetic, 1)")
    return tmp_path / "prepared"


def test_read_as_written(folder):
    facts = prepared.facts(folder)
    assert len(facts.pop("sha256")) == 64
    assert facts == {"classes": 2, "window": [1, 2], "label": "X (synthetic, 1)"}
    assert prepared.table(folder).to_dict("list") == {"volume": ["a", "b"], "fold": [0, 1]}
    images = prepared.array(folder, "images")
    assert images.dtype == np.float32 and np.array_equal(images, np.arange(24).reshape(2, 3, 4))
    assert not images.flags.writeable
    assert {path.name for path in folder.iterdir()} == {"images.npy", "labels.npy", "table.csv", "facts.json"}


READ = {
    "images.npy": lambda folder: prepared.array(folder, "images"),
    "table.csv": prepared.table,
    "facts.json": prepared.facts,
}


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("damage", ["empty", "truncated", "appended", "not text"])
def test_damage_is_noticed_where_it_is(name, damage, folder):
    path = folder / name
    content = path.read_bytes()
    changed = {"empty": b"", "truncated": content[:-3], "appended": content + b"}", "not text": b"\xff" + content}
    path.write_bytes(changed[damage])
    with pytest.raises(InputError) as caught:
        READ[name](folder)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}: damaged")
    assert problem.endswith("; delete its folder and run `dvc repro` to prepare the data again")


@pytest.mark.parametrize("position", [0.0, 0.1, 0.6, 1.0])
@pytest.mark.parametrize("name", READ)
def test_one_flipped_bit_is_noticed(name, position, folder):
    content = bytearray((folder / name).read_bytes())
    content[int(position * (len(content) - 1))] ^= 4
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: damaged"):
        READ[name](folder)


def test_what_is_not_there(folder):
    with pytest.raises(InputError, match=r"masks\.npy: no such file"):
        prepared.array(folder, "masks")
    (folder / "images.npy").unlink()
    with pytest.raises(InputError, match=r"images\.npy: no such file"):
        prepared.array(folder, "images")
    with pytest.raises(
        InputError, match=r"nowhere/facts\.json: no such file; run `make repro` at its scale to prepare the data"
    ):
        prepared.table(folder.parent / "nowhere")


def test_facts_of_another_kind_of_file(folder):
    (folder / "facts.json").write_text(json.dumps({"classes": 2}), encoding="utf-8")
    with pytest.raises(InputError, match=r"facts\.json: damaged"):
        prepared.facts(folder)


@pytest.mark.parametrize("cuts", [(), (0,), (1, 4), (4, 4, 7)])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8, bool, "U3"])
def test_pieces_make_the_bytes_of_the_whole(cuts, dtype, tmp_path):
    whole = np.random.default_rng(0).integers(0, 9, (7, 3, 2)).astype(dtype)
    with prepared.writing(tmp_path / "cut") as pieces:
        for piece in np.split(whole, cuts):
            pieces.add(x=np.asfortranarray(piece), row=np.ones(len(piece), dtype))
        assert not (tmp_path / "cut" / "x.npy").exists()
        pieces.finish(pd.DataFrame({"a": [1]}), {}, "X")
    prepared.write(tmp_path / "whole", {"x": whole, "row": np.ones(7, dtype)}, pd.DataFrame({"a": [1]}), {}, "X")
    np.save(tmp_path / "x.npy", whole)
    assert hashes(tmp_path / "cut") == hashes(tmp_path / "whole")
    assert (tmp_path / "cut" / "x.npy").read_bytes() == (tmp_path / "x.npy").read_bytes()


@pytest.mark.parametrize("piece", [np.zeros((1, 3, 4)), np.zeros((1, 4, 4), np.float32), np.float32(1)])
def test_pieces_are_alike(piece, tmp_path):
    with prepared.writing(tmp_path) as pieces:
        pieces.add(x=np.zeros((2, 3, 4), np.float32))
        with pytest.raises(ValueError, match=r"^x: float.* after float32 \(3, 4\)$"):
            pieces.add(x=piece)


@pytest.mark.parametrize("fault", [KeyboardInterrupt, None])
def test_what_is_not_finished_leaves_what_was_there(fault, folder):
    before, expected = hashes(folder), pytest.raises(fault) if fault else nullcontext()
    with expected, prepared.writing(folder) as pieces:
        pieces.add(images=np.zeros((5, 3, 4), np.float32))
        if fault:
            raise fault
    assert hashes(folder) == before


def test_a_folder_that_takes_nothing(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(InputError) as caught:
        prepared.write(tmp_path / "p", {"x": np.zeros(3)}, pd.DataFrame(), {}, "")
    text = "cannot be written (No space left on device); what was there is left; mend that and run again"
    assert caught.value.problems == [f"{tmp_path}/p: {text}"]
    assert not list((tmp_path / "p").iterdir())


def test_what_is_replaced_stays_as_open_as_it_was(folder):
    (folder / "images.npy").chmod(0o640)
    prepared.write(folder, {"images": np.zeros(3)}, pd.DataFrame({"a": [1]}), {}, "")
    assert (folder / "images.npy").stat().st_mode & 0o777 == 0o640


def test_memory_holds_a_piece_however_many_there_are(tmp_path):
    def peak(count):
        tracemalloc.start()
        with prepared.writing(tmp_path / str(count)) as pieces:
            for number in range(count):
                pieces.add(x=np.full((1, 256, 256), number, np.float32))
            pieces.finish(pd.DataFrame(), {}, "")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(2)
    assert peak(60) < 1.1 * peak(6)


def test_objects_are_never_pickled(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        prepared.write(tmp_path, {"x": np.array([{}])}, pd.DataFrame(), {}, "")
