"""Checkpoints: whole or passed over, and named by all that a run depends on."""

import sys
import types

import pytest
import torch

from whereabouts import files
from whereabouts.pipeline import identity
from whereabouts.training import checkpoints
from whereabouts.training.checkpoints import Checkpoint, Checkpoints, code_digest

pytestmark = pytest.mark.usefixtures("on_the_cpu")


def state(step):
    generator = torch.Generator().manual_seed(step)
    tensors = {"w": torch.randn(3, 4, generator=generator), "n": torch.tensor(step), "h": torch.ones(2).bfloat16()}
    return {"model": tensors, "rows": [{"step": step, "dice": 0.1 * step}], "best": {"age": 0, "weights": None}}


def same(a, b):
    tensors = all(torch.equal(a["model"][name], b["model"][name]) for name in b["model"])
    return tensors and a["model"].keys() == b["model"].keys() and a["rows"] == b["rows"] and a["best"] == b["best"]


@pytest.fixture
def checkpoint(tmp_path):
    return Checkpoint(tmp_path / "checkpoints" / "run.pt")


def test_nothing_saved_nothing_loaded(checkpoint):
    assert checkpoint.load() is None


def test_the_newest_is_loaded_and_the_one_before_kept(checkpoint):
    for step in range(4):
        checkpoint.save(state(step))
        assert same(checkpoint.load(), state(step))
    assert {path.name for path in checkpoint.path.parent.iterdir()} == {"run.pt", "run.previous"}
    checkpoint.path.unlink()
    assert same(checkpoint.load(), state(2))


def test_the_same_state_gives_the_same_bytes(checkpoint, tmp_path):
    other = Checkpoint(tmp_path / "elsewhere" / "other.pt")
    checkpoint.save(state(1))
    other.save(state(1))
    assert other.path.read_bytes() == checkpoint.path.read_bytes()


def flip(position):
    def change(content):
        index = int(position * (len(content) - 1))
        return content[:index] + bytes([content[index] ^ 1]) + content[index + 1 :]

    return change


DAMAGE = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[:-1],
    "header only": lambda content: content[:65],
    "first byte": flip(0),
    "middle byte": flip(0.5),
    "last byte": flip(1),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(damage, checkpoint):
    checkpoint.save(state(1))
    checkpoint.save(state(2))
    checkpoint.path.write_bytes(DAMAGE[damage](checkpoint.path.read_bytes()))
    with pytest.warns(UserWarning, match=r"run.pt: damaged checkpoint passed over; its steps are run again") as warned:
        assert same(checkpoint.load(), state(1))
    assert len(warned) == 1
    damaged = DAMAGE[damage](checkpoint.previous.read_bytes())
    for path in (checkpoint.path, checkpoint.previous):
        path.write_bytes(damaged)
    with pytest.warns(UserWarning, match="damaged checkpoint passed over") as warned:
        assert checkpoint.load() is None
    assert len(warned) == 2


class Harmful:
    def __reduce__(self):
        return open, ("harm", "w")


def test_a_checkpoint_of_other_things_than_tensors_is_not_loaded(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint.save(state(1))
    checkpoint.save({"model": Harmful()})
    with pytest.warns(UserWarning, match="damaged checkpoint passed over"):
        assert same(checkpoint.load(), state(1))
    assert not (tmp_path / "harm").exists()


def test_a_failure_while_saving_loses_one_checkpoint_at_most(checkpoint, monkeypatch):
    checkpoint.save(state(1))

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(files, "write_bytes", fail)
    with pytest.raises(OSError, match="no space left"):
        checkpoint.save(state(2))
    assert same(checkpoint.load(), state(1))


def test_after_a_damaged_checkpoint_the_good_one_is_not_given_up(checkpoint, monkeypatch):
    """Saving must not put the damaged file in the place of the good one before the new one is whole."""
    checkpoint.save(state(1))
    checkpoint.save(state(2))
    checkpoint.path.write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="damaged checkpoint passed over"):
        checkpoint.load()

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(files, "write_bytes", fail)
    with pytest.raises(OSError, match="no space left"):
        checkpoint.save(state(2))
    assert same(checkpoint.load(), state(1))


def test_discard(checkpoint):
    checkpoint.save(state(1))
    checkpoint.save(state(2))
    checkpoint.discard()
    checkpoint.discard()
    assert list(checkpoint.path.parent.iterdir()) == []


# --------------------------------------------------------------------------------------------------------------- names


def test_a_run_is_named_by_its_configuration(tmp_path):
    runs = Checkpoints(tmp_path)
    base = {"seed": 0, "schedule": {"steps": 10, "batch": 4}, "data": "X (synthetic, 1)"}
    same_again = {"data": "X (synthetic, 1)", "schedule": {"batch": 4, "steps": 10}, "seed": 0}
    others = [base | {"seed": 1}, base | {"data": "X (real, 1)"}, base | {"schedule": {"steps": 10, "batch": 5}}, {}]
    assert runs.of(base).path == runs.of(same_again).path == Checkpoints(tmp_path).of(base).path
    assert len({runs.of(configuration).path for configuration in [base, *others]}) == 5
    assert runs.of(base).path.parent == tmp_path


def test_a_run_is_named_by_what_the_runner_was_given(tmp_path, monkeypatch):
    names = set()
    for notebook, values in (("a", {}), ("b", {}), ("a", {"steps": 3}), ("a", {"steps": 4}), ("a", {"steps": 3})):
        monkeypatch.setenv(identity.CHANNEL, identity.of(notebook, values))
        names.add(Checkpoints(tmp_path).of({}).path)
    assert len(names) == 4


def test_a_run_is_named_by_torchs_version(tmp_path, monkeypatch):
    before = Checkpoints(tmp_path).of({}).path
    monkeypatch.setattr(torch, "__version__", "1.0")
    assert Checkpoints(tmp_path).of({}).path != before


def test_a_run_is_named_by_the_code(tmp_path, monkeypatch):
    """Any module of `whereabouts` that is loaded counts, by content; others do not."""
    before, name = code_digest(), Checkpoints(tmp_path).of({}).path
    assert code_digest() == before
    source = tmp_path / "module.py"
    source.write_text("x = 1\n", encoding="utf-8")
    module = types.ModuleType("whereabouts.pretended")
    module.__file__ = str(source)
    monkeypatch.setitem(sys.modules, "pretended", module)
    assert code_digest() == before
    monkeypatch.setitem(sys.modules, "whereabouts.pretended", module)
    loaded = code_digest()
    source.write_text("x = 2\n", encoding="utf-8")
    changed = code_digest()
    assert len({before, loaded, changed}) == 3
    assert Checkpoints(tmp_path).of({}).path != name
    source.write_text("x = 1\n", encoding="utf-8")
    assert code_digest() == loaded


def test_the_code_includes_the_checkpoints_themselves(tmp_path, monkeypatch):
    before = code_digest()
    copy = tmp_path / "checkpoints.py"
    with open(checkpoints.__file__, encoding="utf-8") as file:
        copy.write_text(file.read() + "MORE = 1\n", encoding="utf-8")
    monkeypatch.setattr(checkpoints, "__file__", str(copy))
    assert code_digest() != before


def test_a_stage_discards_only_its_own(tmp_path, monkeypatch):
    """Those that another process of it wrote, too."""
    others = Checkpoints(tmp_path)
    monkeypatch.setenv(identity.CHANNEL, "another stage")
    ours = Checkpoints(tmp_path)
    for run in (ours.of({"seed": 0}), ours.of({"seed": 1}), others.of({"seed": 2})):
        run.save(state(1))
        run.save(state(2))
    Checkpoints(tmp_path).discard()
    assert {path.stem for path in tmp_path.iterdir()} == {others.of({"seed": 2}).path.stem}
