"""Prepared data: read as written, and every damage noticed."""

import json

import numpy as np
import pandas as pd
import pytest

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


def test_objects_are_never_pickled(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        prepared.write(tmp_path, {"x": np.array([{}])}, pd.DataFrame(), {}, "")
