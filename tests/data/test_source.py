"""Which raw data a run takes: the switch decides, nothing falls back, and data/raw is never written."""

import shutil

import numpy as np
import pandas as pd
import pytest

from whereabouts import paths
from whereabouts.data import prepared, source
from whereabouts.data.examples import acdc_examples
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError
from whereabouts.pipeline import params


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A repository of its own, with an empty data/raw."""
    for module in (paths,):
        monkeypatch.setattr(module, "ROOT", tmp_path)
        monkeypatch.setattr(module, "RAW", tmp_path / "data" / "raw")
    paths.RAW.mkdir(parents=True)
    (paths.RAW / ".gitkeep").touch()
    return tmp_path


def write(raw):
    (raw / "patient001").mkdir()
    (raw / "patient001" / "Info.cfg").write_text("ED: 1\n", encoding="utf-8")


def test_synthetic_data_are_made_anew_and_data_raw_stays_as_it_is(root):
    write(paths.RAW)  # somebody's files
    stale = root / "build" / "acdc" / "raw" / "old"
    before = sorted(root.joinpath("data").rglob("*"))
    source.provide("acdc", "synthetic", "build/acdc", lambda raw: (raw / "old").touch())
    assert stale.exists()
    manifest = source.provide("acdc", "synthetic", "build/acdc", write)
    assert list(manifest.files) == ["patient001/Info.cfg"] and not stale.exists()
    assert manifest.root == "build/acdc/raw" and manifest.source == "synthetic"
    assert sorted(root.joinpath("data").rglob("*")) == before
    assert Manifest.read("build/acdc/manifest.json") == manifest


def test_a_synthetic_set_of_its_own_has_no_place_under_data_raw(root):
    """Such as a phantom that stands in for no data set: `make` knows its name only, and makes it anew each time."""
    write(paths.RAW)  # somebody's files
    for _ in range(2):
        manifest = source.make("Cine phantom", "build/cine", write)
        assert (manifest.dataset, manifest.source, manifest.root) == ("Cine phantom", "synthetic", "build/cine/raw")
        assert list(manifest.files) == ["patient001/Info.cfg"]
        assert manifest.path("patient001/Info.cfg").read_text(encoding="utf-8") == "ED: 1\n"
        assert Manifest.read("build/cine/manifest.json") == manifest
    assert manifest.label == f"Cine phantom (synthetic, {manifest.digest})"
    assert not (root / "build" / "index").exists()


def test_real_data_come_from_a_linked_folder_and_nothing_is_made(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write(elsewhere)
    (elsewhere / "._Info.cfg").touch()
    (paths.RAW / "acdc").symlink_to(elsewhere)
    source.index()
    manifest = source.provide("acdc", "real", "build/acdc", write=lambda raw: pytest.fail("made synthetic data"))
    assert list(manifest.files) == ["patient001/Info.cfg"] and manifest.source == "real"
    assert manifest.path("patient001/Info.cfg").read_text(encoding="utf-8") == "ED: 1\n"
    assert not any((root / "build" / "acdc" / "raw").iterdir())
    assert manifest.label == f"ACDC (real, {manifest.digest}, Bernard et al. 2018, CC BY-NC-SA 4.0)"


@pytest.mark.parametrize("name", ["decathlon.dvc", "decathlon/Task04_Hippocampus.dvc"])
def test_a_data_set_that_is_tracked_but_not_there_is_to_be_pulled(name, root):
    (paths.RAW / "decathlon").mkdir()
    (paths.RAW / name).touch()
    source.index()
    with pytest.raises(InputError, match=rf"\*decathlon; run `dvc pull data/raw/{name}`, place or link the data set"):
        source.provide("decathlon", "decathlon", "build/volumes", write)


def theirs(root):
    """A study of somebody's, with a folder called raw."""
    write(root / "study" / "raw")
    return "study"


def linked(root):
    """A data set that lies elsewhere and is linked."""
    (root / "elsewhere").mkdir()
    (paths.RAW / "acdc").symlink_to(root / "elsewhere")
    return "elsewhere"


def with_one_more(root):
    source.make("Cine", "build/cine", write)
    (root / "build/cine/raw/notes.txt").touch()
    return "build/cine"


def with_one_of_another_size(root):
    source.make("Cine", "build/cine", write)
    (root / "build/cine/raw/patient001/Info.cfg").write_text("corrected by hand", encoding="utf-8")
    return "build/cine"


def with_a_link(root):
    source.make("Cine", "build/cine", write)
    write(root)
    shutil.rmtree(root / "build/cine/raw")
    (root / "build/cine/raw").symlink_to(root / "patient001")
    return "build/cine"


def with_a_manifest_of_another_kind(root):
    (root / "site").mkdir()
    (root / "site" / "manifest.json").write_text('{"icons": []}', encoding="utf-8")
    return "site"


@pytest.mark.parametrize("word", ["synthetic", "real"])
@pytest.mark.parametrize(
    "place",
    [
        lambda root: "data",
        lambda root: "data/raw/acdc",
        lambda root: "build/../data",
        *(theirs, linked, with_one_more, with_one_of_another_size, with_a_link, with_a_manifest_of_another_kind),
    ],
)
def test_what_was_not_made_here_is_neither_erased_nor_overwritten(place, word, root):
    write(paths.RAW)
    source.index()
    (root / "study" / "raw").mkdir(parents=True)
    out = place(root)

    def everything():
        return {path: path.is_file() and path.read_bytes() for path in root.rglob("*") if ".raw" not in str(path)}

    before = everything()
    with pytest.raises(InputError, match="name another folder for `out`"):
        source.provide("acdc", word, out, write)
    assert everything() == before


def test_what_could_not_be_made_leaves_what_was_there(root):
    source.make("Cine", "build/cine", write)
    with pytest.raises(ZeroDivisionError):
        source.make("Cine", "build/cine", lambda raw: 1 / 0)
    assert [path.name for path in (root / "build/cine").rglob("*") if path.is_file()] == ["manifest.json", "Info.cfg"]


@pytest.mark.parametrize(
    ("dataset", "switch", "word"),
    [
        ("acdc", "acdc", "real"),
        ("clevr_seg", "clevr_seg", "released"),
        ("mmwhs", "mmwhs", "mmwhs"),
        ("jsrt", "chest", "jsrt"),
        ("radiographs", "chest", "radiographs"),
    ],
)
def test_missing_real_data_stop_the_run_and_never_fall_back(root, dataset, switch, word):
    assert word in params.SWITCHES[switch][1] and source.DATASETS[dataset].switch == switch
    source.index()
    with pytest.raises(InputError) as caught:
        source.provide(dataset, word, "build/x", write=lambda raw: pytest.fail("fell back to synthetic data"))
    (line,) = caught.value.problems
    assert "no files" in line and f"data.{switch}: *{word}" in line and "data/README.md" in line


@pytest.mark.parametrize(
    ("dataset", "word", "state"),
    [
        ("jsrt", "jsrt", "real"),
        ("radiographs", "radiographs", "real"),
        ("mmwhs", "mmwhs", "real"),
        ("clevr_seg", "released", "released"),
    ],
)
def test_what_was_found_is_called_real_or_released_whatever_the_switch_is_called(root, dataset, word, state):
    folder = paths.RAW / source.DATASETS[dataset].folder
    folder.mkdir()
    (folder / "file").touch()
    source.index()
    manifest = source.provide(dataset, word, "build/x", write=lambda raw: pytest.fail("made synthetic data"))
    assert manifest.label.split(", ")[0] == f"{source.DATASETS[dataset].name} ({state}" and manifest.licence


def test_prepared_data_come_back_as_they_were_written(root):
    rng = np.random.default_rng(0)
    images, labels = rng.random((5, 6, 6), dtype=np.float32), rng.integers(0, 4, (5, 6, 6), dtype=np.uint8)
    table = pd.DataFrame(
        {
            "patient": ["a", "a", "b", "b", "b"],
            "phase": ["ED", "ES", "ED", "ES", "ES"],
            "position": [0, 1, 0.5, 0, 1],
            "volume": ["a-ED", "a-ES", "b-ED", "b-ES", "b-ES"],
        }
    )
    manifest = Manifest("ACDC", "synthetic", "x", {})
    prepared.write("build/p", {"images": images, "labels": labels}, table, {"size": 6}, manifest.label)
    facts = prepared.facts("build/p")
    assert {name: facts[name] for name in ("size", "label")} == {"size": 6, "label": manifest.label}
    examples, rows = acdc_examples("build/p", ["b"], "phase")
    np.testing.assert_array_equal(examples.images[:, 0], images[2:])
    np.testing.assert_array_equal(examples.labels, labels[2:])
    assert examples.z.tolist() == [[0, 1], [1, 0], [1, 0]]  # ES, ED
    assert examples.volume.tolist() == [0, 1, 1] and list(rows.volume) == ["b-ED", "b-ES", "b-ES"]
    assert acdc_examples("build/p", ["a"], "position")[0].z.tolist() == [[0], [1]]
    assert acdc_examples("build/p", ["a", "b"], "none")[0].z.abs().sum() == 0


def test_unprepared_data_are_named_with_the_remedy(root):
    with pytest.raises(InputError, match=r"build/none/facts\.json: no such file; run `make repro` at its scale"):
        prepared.facts("build/none")
