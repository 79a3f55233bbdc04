"""Weights on disk: read back exactly, the same bytes each time, one line about whatever is wrong with the file."""

import hashlib
import json
import os
import pickle

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.methods.networks.inside import acdc_network, clevr_network
from whereabouts.training import weights
from whereabouts.training.loop import build

pytestmark = pytest.mark.usefixtures("on_the_cpu")

FACTS = {"arm": "inside-phase", "condition": 2, "size": 16, "filters": 2}


@pytest.fixture
def model():
    model = build(lambda: acdc_network(**FACTS), seed=4)
    model(torch.rand(3, 1, 16, 16), torch.rand(3, 2))  # the batch statistics too are no longer those of the start
    return model


@pytest.fixture
def path(tmp_path, model):
    weights.write(tmp_path / "seed0.safetensors", model, FACTS)
    return tmp_path / "seed0.safetensors"


def test_read_is_what_was_written(path, model):
    again, facts = weights.read(path, acdc_network)
    assert facts == FACTS
    assert not again.training
    assert list(again.state_dict()) == list(model.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), model.state_dict().values(), strict=True))
    x, z = torch.rand(2, 1, 16, 16), torch.rand(2, 2)
    torch.testing.assert_close(again(x, z), model.eval()(x, z), rtol=1e-5, atol=1e-6)  # convolutions round by layout


def test_what_it_is_used_for_is_kept(path, model, tmp_path):
    assert weights.said(path) == (FACTS, {})
    data = {
        "label": "X (synthetic, 1)",
        "structures": ("a", "b"),
        "input": {"layout": "acdc", "side": 16},
        "folds": [1],
    }
    use = weights.use("acdc_network", data | {"folds": [1]}, window=(1, 2))
    weights.write(tmp_path / "other.safetensors", model, FACTS, use)
    assert weights.said(tmp_path / "other.safetensors")[1] == {
        "network": "acdc_network",
        "label": "X (synthetic, 1)",
        "structures": ["a", "b"],
        "input": {"layout": "acdc", "side": 16},
        "window": [1, 2],
    }
    assert weights.read(tmp_path / "other.safetensors", acdc_network)[1] == FACTS
    assert weights.use("clevr_network", {"label": "films"}) == {}


def test_safetensors_reads_it_too(path, model):
    tensors = load_file(path)
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        n: t.shape for n, t in model.state_dict().items()
    }


def test_the_same_weights_give_the_same_bytes(path, tmp_path):
    again, facts = weights.read(path, acdc_network)
    for trial in range(5):
        other = tmp_path / f"{trial}.safetensors"
        weights.write(other, again.to(memory_format=torch.contiguous_format), dict(reversed(facts.items())))
        assert other.read_bytes() == path.read_bytes()


def spoil(change):
    return lambda path: path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    "damage",
    [
        spoil(lambda content: b""),
        spoil(lambda content: content[:5]),
        spoil(lambda content: content[:-1]),
        spoil(lambda content: content[: len(content) // 2]),
        spoil(lambda content: b"\xff" * 8 + content[8:]),
        spoil(lambda content: content[:9] + b"?" + content[10:]),
        spoil(lambda content: b"<html>404</html>"),
    ],
)
def test_damaged_weights(damage, path):
    damage(path)
    with pytest.raises(InputError) as error:
        weights.read(path, clevr_network)
    (problem,) = error.value.problems
    assert problem.startswith(
        (f"{path}: unreadable weights (", f"{path}: no safetensors, or one with a header of more")
    )
    assert problem.endswith("; give a .safetensors file as a training here wrote it")
    assert "\n" not in problem


def altered(**change):
    """The file with its own tensors, changed, and what it says as it was, signed again."""

    def alter(path):
        facts, use = weights.said(path)
        tensors = load_file(path) | change
        said = {"facts": facts, "use": use, "data": {}}
        about = said | {"sha256": weights._digest(tensors, said)}
        save_file(tensors, path, {"about": json.dumps(about)})

    return alter


HEAD = "head.bias"


@pytest.mark.parametrize(
    ("replace", "words"),
    [
        (lambda path: save_file({"a": torch.zeros(1)}, path), "another program's weights"),
        (lambda path: save_file({"a": torch.zeros(1)}, path, {"format": "pt"}), "another program's weights"),
        (lambda path: torch.save({"a": torch.zeros(1)}, path), "a pickle, which could run commands"),
        (lambda path: path.write_bytes(pickle.dumps({"a": [0] * 99}, 2)), "a pickle, which could run commands"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "a FIFO, where a file of weights is expected"),
        (lambda path: (path.unlink(), path.mkdir()), "a folder, where a file of weights is expected"),
        (lambda path: os.truncate(path, 2**33), "8,589,934,592 bytes, more than"),
        (altered(**{HEAD: torch.full((4,), torch.nan)}), "has NaN or infinite weights"),
        (altered(**{HEAD: torch.zeros(4, dtype=torch.float64)}), "weights of another network"),
        (altered(**{HEAD: torch.zeros(5)}), "weights of another network"),
        (altered(more=torch.zeros(1)), "weights of another network"),
    ],
)
def test_files_that_are_whole_and_no_weights_of_ours(replace, words, path):
    replace(path)
    with pytest.raises(InputError) as error:
        weights.read(path, acdc_network)
    (problem,) = error.value.problems
    assert problem.startswith(f"{path}: {words}") and "\n" not in problem


def test_no_tensor_is_read_before_its_shape_is_right(path, monkeypatch):
    """What a file announces takes no memory."""
    facts, use = weights.said(path)
    about = {"facts": facts | {"filters": 4096}, "use": use, "data": {}, "sha256": ""}
    save_file(load_file(path), path, {"about": json.dumps(about)})
    monkeypatch.setattr(weights, "_digest", lambda *_: pytest.fail("tensors were read"))
    with pytest.raises(InputError, match="weights of another network"):
        weights.read(path, acdc_network)


@pytest.mark.parametrize("position", [0.0, 0.002, 0.01, 0.05, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("bit", [0, 3, 7])
def test_one_flipped_bit_anywhere_is_noticed(position, bit, path):
    content = bytearray(path.read_bytes())
    content[int(position * (len(content) - 1))] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        weights.read(path, acdc_network)
    (problem,) = error.value.problems
    assert problem.startswith(f"{path}: ") and problem.endswith(
        "; give a .safetensors file as a training here wrote it"
    )


def test_missing_weights(tmp_path):
    with pytest.raises(InputError) as error:
        weights.read(tmp_path / "gone.safetensors", clevr_network)
    (problem,) = error.value.problems
    assert problem == f"{tmp_path}/gone.safetensors: no such file; give a .safetensors file as a training here wrote it"


def test_only_what_the_pipeline_made_is_to_be_deleted(path, tmp_path, monkeypatch):
    """Whoever gives any other file may need it."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    (tmp_path / "build").mkdir()
    for name in ("README.md", "build/README.md", "w.safetensors", "build/w.safetensors"):
        (tmp_path / name).write_bytes(path.read_bytes()[:-1])
    (tmp_path / "folder").mkdir()

    def advice(name):
        with pytest.raises(InputError) as error:
            weights.read(tmp_path / name, acdc_network)
        (problem,) = error.value.problems
        assert problem.startswith(f"{name}: ")
        return problem.rpartition("; ")[2]

    for name in ("README.md", "build/README.md", "w.safetensors", "folder", "gone.safetensors"):
        assert advice(name) == "give a .safetensors file as a training here wrote it"
    assert advice("build/w.safetensors") == "delete it and run `dvc repro` to make it again"
    assert advice("build/gone.safetensors") == "run `make repro` at its scale to make it"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"arm": "baseline"}, "weights of another network; "),
        ({"arm": "nobody-phase"}, "weights of another network ("),
        ({"unheard": 1}, "weights of another network ("),
        ({"filters": "2"}, "weights of another network ("),
        ({"filters": 4096}, "weights of another network; "),  # a gigabyte or more, if it were made
        ({"filters": 200_000}, "weights of another network (filters beyond 4096)"),
        ({"size": float("inf")}, "unreadable weights (Infinity)"),
    ],
    ids=str,
)
def test_weights_of_another_network(change, words, model, path):
    weights.write(path, model, FACTS | change)
    with pytest.raises(InputError) as error:
        weights.read(path, acdc_network)
    (problem,) = error.value.problems
    assert problem.startswith(f"{path}: {words}") and "\n" not in problem


def test_weights_know_their_data(model, path):
    """Of another run, or of data prepared otherwise, they are not read together with these."""
    data = {"scale": "smoke", "label": "ACDC (synthetic, 1)", "sha256": "1", "folds": []}
    weights.write(path, model, FACTS, data=data)
    assert weights.read(path, acdc_network, data)[1] == weights.read(path, acdc_network)[1] == FACTS
    with pytest.raises(InputError) as error:
        weights.read(path, acdc_network, {"scale": "demo", "label": "ACDC (synthetic, 2)", "sha256": "2"})
    said = "trained on ACDC (synthetic, 1) at smoke scale, not on ACDC (synthetic, 2) at demo scale"
    assert error.value.problems == [f"{path}: {said}; read what one run made"]


def test_weights_of_another_version(path, monkeypatch):
    """Whole, but they do not say what is asked for here."""
    monkeypatch.setattr(weights, "_digest", lambda tensors, said: "1")
    save_file(load_file(path), path, {"about": json.dumps({"facts": FACTS, "sha256": "1"})})
    with pytest.raises(InputError, match="weights of another version; give"):
        weights.said(path)


def test_curve(tmp_path):
    curve = pd.DataFrame({"step": [5, 10], "loss": [1 / 3, 0.25], "dice": [0.5, 2 / 3]})
    weights.write_curve(tmp_path / "curve.tsv", curve)
    assert (tmp_path / "curve.tsv").read_text(
        encoding="utf-8"
    ) == "step\tloss\tdice\n5\t0.333333\t0.5\n10\t0.25\t0.666667\n"
    digest = hashlib.sha256((tmp_path / "curve.tsv").read_bytes()).hexdigest()
    weights.write_curve(tmp_path / "curve.tsv", curve)
    assert hashlib.sha256((tmp_path / "curve.tsv").read_bytes()).hexdigest() == digest
