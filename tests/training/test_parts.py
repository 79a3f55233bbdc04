"""Parts of an evaluation: computed once, whatever happens between, and never taken for another's."""

import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from whereabouts.errors import InputError
from whereabouts.pipeline import identity, interruption
from whereabouts.pipeline.interruption import Interrupted
from whereabouts.training.parts import Parts

EVALUATION = """
import os, signal, sys
import pandas as pd
from pathlib import Path
from whereabouts.training.parts import Parts

folder, fatal = Path(sys.argv[1]), sys.argv[2]
parts = Parts({"sha256": "a"}, [], folder / "checkpoints")

def evaluated(network, third):
    with open(folder / "computed", "a", encoding="utf-8") as file:
        file.write(network)
    if network == fatal:
        os.kill(os.getpid(), signal.SIGKILL)
    return pd.DataFrame({"network": network, "dice": [ord(network) / 7, third]})

rows = pd.concat(parts.of(evaluated, name, third=1 / 3) for name in "abcd")
(folder / "dice.csv").write_text(rows.to_csv(index=False), encoding="utf-8")
parts.discard()
"""


@pytest.fixture(autouse=True)
def run(monkeypatch):
    """The tests are one run of the pipeline."""
    monkeypatch.setenv(identity.CHANNEL, identity.of("text", {}))


def table(*_):
    numbers = np.array([0.1, 1 / 3, np.nan])
    columns = {"arm": ["a", "b", "c"], "seed": [1, 2, 3], "dice": numbers, "half": numbers.astype(np.float32)}
    return pd.DataFrame(columns | {"labelled": [True, False, True]}, index=[5, 2, 2])


def failing(*_):
    pytest.fail("computed again")


failing.__name__ = "table"


def test_killed_and_run_again(tmp_path):
    runs = [subprocess.run([sys.executable, "-c", EVALUATION, str(tmp_path), fatal]) for fatal in ("c", "")]
    assert [run.returncode for run in runs] == [-signal.SIGKILL, 0]
    assert (tmp_path / "computed").read_text(encoding="utf-8") == "abc" + "cd"
    expected = [f"{network},{dice}\n" for network in "abcd" for dice in (ord(network) / 7, 1 / 3)]
    assert (tmp_path / "dice.csv").read_text(encoding="utf-8") == "".join(["network,dice\n", *expected])
    assert os.listdir(tmp_path / "checkpoints") == []


def test_what_is_kept_is_what_was_computed(tmp_path):
    first = Parts({}, [], tmp_path).of(table, "x")
    again = Parts({}, [], tmp_path).of(failing, "x")
    pd.testing.assert_frame_equal(first, table().reset_index(drop=True), check_exact=True)
    pd.testing.assert_frame_equal(again, first, check_exact=True)


def test_a_part_of_something_else_is_not_taken_up(tmp_path, monkeypatch):
    weights, done = tmp_path / "a.safetensors", []

    def dice(*_):
        done.append(1)
        return table()

    def spread(*_):
        return dice()

    def computed(data, part, content, compute=dice, parameters=None):
        weights.write_bytes(content)
        monkeypatch.setenv(identity.CHANNEL, identity.of("text", parameters or {}))
        done.clear()
        Parts(data, [weights], tmp_path / "kept").of(compute, *part)
        return bool(done)

    given = ({"sha256": "a"}, ["unet", 1], b"1")
    others = [
        ({"sha256": "b"}, *given[1:]),
        (given[0], ["unet", 2], b"1"),
        (*given[:2], b"2"),
        (*given, spread),
        (*given, dice, {"noise_seed": 2}),
    ]
    assert [computed(*one) for one in (given, *others)] == [True] * 6
    assert not any(computed(*one) for one in (given, *others))


def test_missing_weights_are_left_to_what_reads_them(tmp_path):
    def evaluated():
        raise InputError("a.safetensors: no such file")

    with pytest.raises(InputError, match=r"^a\.safetensors: no such file$"):
        Parts({}, [tmp_path / "a.safetensors"], tmp_path).of(evaluated)


def test_told_to_end_it_ends_between_parts(tmp_path, monkeypatch):
    parts = Parts({}, [], tmp_path)
    parts.of(table, "x")
    monkeypatch.setattr(interruption, "asked", lambda: True)
    parts.of(failing, "x")  # is there, and costs nothing
    with pytest.raises(Interrupted, match="put away between two parts of an evaluation; run it again to go on"):
        parts.of(table, "y")


def test_by_hand_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.delenv(identity.CHANNEL)
    parts = Parts({}, [], tmp_path)
    expected = table().reset_index(drop=True)
    pd.testing.assert_frame_equal(parts.of(table, "x"), expected, check_exact=True)
    parts.discard()
    assert os.listdir(tmp_path) == []
