"""Prediction on new volumes: every layout there and back, the table against SciPy, and bad inputs in one line each."""

import io
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage

from whereabouts import files, paths
from whereabouts import predict as predict_module
from whereabouts.data import in_plane, layouts, mmwhs, studies
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError
from whereabouts.evaluation import prediction
from whereabouts.evaluation.prediction import Predictor, on_grid
from whereabouts.methods.networks.gates import volume_network
from whereabouts.methods.networks.inside import acdc_network
from whereabouts.methods.networks.position import position_network
from whereabouts.methods.networks.sdnet import sdnet_network
from whereabouts.predict import main, predict
from whereabouts.reporting import plotting
from whereabouts.training import weights
from whereabouts.training.loop import build

pytestmark = pytest.mark.usefixtures("on_the_cpu")

HEART = ("right ventricle", "myocardium", "left ventricle")


def blobs(shape, classes, seed=0):
    """A smooth image whose brightest parts are labelled, by quantiles."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), [2, 2, 0.7])
    edges = np.quantile(noise, np.linspace(0.6, 1, classes)[:-1])
    return (100 * noise / noise.std() + 300).astype(np.int16), np.digitize(noise, edges).astype(np.uint8)


def save(path, array, affine):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


AFFINE = np.array([[-1.4, 0, 0, 80], [0, 1.5, 0, -60], [0, 0, 9.0, 5], [0, 0, 0, 1]])


@pytest.fixture
def hearts(tmp_path):
    """Two patients in ACDC's layout, one of them with labels."""
    folder = tmp_path / "hearts"
    for number, name in enumerate(("patient001", "patient002")):
        for frame in (1, 7):
            image, truth = blobs((43, 38, 5), 4, seed=10 * number + frame)
            save(folder / name / f"{name}_frame{frame:02d}.nii.gz", image, AFFINE)
            if not number:
                save(folder / name / f"{name}_frame{frame:02d}_gt.nii.gz", truth, AFFINE)
        (folder / name / "Info.cfg").write_text("ED: 1\nES: 7\nGroup: NOR\n", encoding="utf-8")
    return folder


@pytest.fixture
def scans(tmp_path):
    """Two volumes in the Decathlon's layout, stored in different orders, one of them with labels."""
    folder = tmp_path / "Task99"
    for number, codes in enumerate(("LPS", "ARI")):
        image, truth = blobs((20, 23, 18), 3, seed=number)
        axes = nib.orientations.axcodes2ornt(codes)
        like = nib.Nifti1Image(image, np.diag([1.0, 1.2, 1.5, 1]))
        for kind, array in (("imagesTr", image), ("labelsTr", truth))[: 2 - number]:
            stored = nib.Nifti1Image(array, like.affine).as_reoriented(
                nib.orientations.ornt_transform(nib.io_orientation(like.affine), axes)
            )
            path = folder / kind / f"case_{number}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(stored, path)
    return folder


@pytest.fixture
def cines(tmp_path):
    """A volunteer's cine of three frames, one with labels, and another's of one; later frames are darker."""
    folder = tmp_path / "cines"
    for number, frames in enumerate((3, 1), 1):
        for frame in range(1, frames + 1):
            image, truth = blobs((43, 38, 5), 4, seed=10 * number + frame)
            save(folder / f"volunteer{number:02d}" / f"cine_frame{frame:02d}.nii.gz", image // frame, AFFINE)
            if (number, frame) == (1, 2):
                save(folder / f"volunteer{number:02d}" / f"cine_frame{frame:02d}_gt.nii.gz", truth, AFFINE)
    return folder


def acdc_input(**change):
    return {"layout": "acdc", "spacing": 2.0, "side": 32, "resize": False, "percentiles": [5, 95]} | change


NETWORKS = {
    "inside-position": (acdc_network, {"arm": "inside-position", "condition": 1, "size": 32, "filters": 2}, {}),
    "inside-phase": (acdc_network, {"arm": "inside-phase", "condition": 2, "size": 32, "filters": 2}, {}),
    "baseline": (acdc_network, {"arm": "baseline", "condition": 1, "size": 32, "filters": 2}, {}),
    "unet-10": (position_network, {"network": "unet", "scale": 10, "filters": 2}, {"statistics": {}}),
    "self_train": (sdnet_network, {"method": "unet", "classes": 4, "filters": 2}, {}),
}


def trained(folder, network, facts, given, structures=HEART, label="phantom (synthetic, 0)", **how):
    """Weights that no training made, with all that a training notebook writes."""
    model = build(lambda: network(**facts), 1)
    data = {"label": label, "structures": list(structures), "input": given}
    weights.write(folder / "w.safetensors", model, facts, weights.use(network.__name__, data, **how))
    return folder / "w.safetensors"


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "change", [{}, {"resize": True, "spacing": None, "percentiles": [0, 100]}], ids=["cut", "resized"]
)
def test_hearts(name, change, hearts, tmp_path):
    network, facts, how = NETWORKS[name]
    path = trained(tmp_path, network, facts, acdc_input(**change), **how)
    table = predict(path, hearts, tmp_path / "out")
    written = {file.name for file in (tmp_path / "out").iterdir()}
    names = [f"patient00{n}_frame0{f}" for n in (1, 2) for f in (1, 7)]
    assert written == {f"{one}.nii.gz" for one in names} | {"volumes.csv", "contact_sheet.png"}
    assert table.volume.drop_duplicates().tolist() == names
    assert table.structure.tolist() == [*HEART] * 4
    assert table.dice.notna().tolist() == [True] * 6 + [False] * 6
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out" / "volumes.csv"), table, atol=1e-4)


def test_a_label_map_lies_on_the_image_and_the_table_counts_it(hearts, tmp_path):
    network, facts, how = NETWORKS["baseline"]
    table = predict(trained(tmp_path, network, facts, acdc_input(), **how), hearts, tmp_path / "out").set_index(
        "volume"
    )
    for name in ("patient001_frame01", "patient002_frame07"):
        image = nib.load(hearts / name[:10] / f"{name}.nii.gz")
        found = nib.load(tmp_path / "out" / f"{name}.nii.gz")
        assert found.shape == image.shape and found.get_data_dtype() == np.uint8
        assert np.array_equal(found.affine, image.affine)
        for kind in ("qform", "sform"):
            ours, theirs = (getattr(one, f"get_{kind}")(coded=True) for one in (found, image))
            assert ours[1] == theirs[1] and (ours[0] is None or np.array_equal(ours[0], theirs[0]))
        labels = np.asarray(found.dataobj)
        count = [np.count_nonzero(labels == number) for number in (1, 2, 3)]
        assert sum(count) > 0
        assert table.loc[name, "ml"].tolist() == pytest.approx([n * 1.4 * 1.5 * 9 / 1000 for n in count], rel=1e-6)
    truth = np.asarray(nib.load(hearts / "patient001" / "patient001_frame01_gt.nii.gz").dataobj)
    found = np.asarray(nib.load(tmp_path / "out" / "patient001_frame01.nii.gz").dataobj)
    for number, (_, row) in enumerate(table.loc["patient001_frame01"].iterrows(), 1):
        a, b = found == number, truth == number
        assert row.dice == pytest.approx(2 * (a & b).sum() / max(1, a.sum() + b.sum()), abs=1e-6)
        assert row.ml_labels == pytest.approx(b.sum() * 1.4 * 1.5 * 9 / 1000, rel=1e-6)


class Threshold(torch.nn.Module):
    """What a perfect network would be: it finds the labels from the intensities alone."""

    def __init__(self, edges):
        super().__init__()
        self.edges = edges

    def forward(self, x, z=None):
        below = torch.stack([torch.full_like(x[:, 0], -9), *(x[:, 0] - edge for edge in self.edges)], 1)
        classes = sum((x[:, 0] >= edge).long() for edge in self.edges)
        return 20.0 * torch.nn.functional.one_hot(classes, below.shape[1]).movedim(-1, 1).float()


@pytest.mark.parametrize("change", [{}, {"spacing": 1.1, "side": 96}, {"spacing": 1.1, "side": 32}, {"resize": True}])
@pytest.mark.parametrize("shape", [(43, 38, 5), (60, 61, 2)])
def test_what_is_seen_is_brought_back_to_where_it_was(change, shape, tmp_path):
    """A bright box in the middle, found by its intensity on the network's grid, is where it was on the file's own."""
    given = acdc_input(**change)
    truth = np.zeros(shape, np.uint8)
    truth[shape[0] // 2 - 6 : shape[0] // 2 + 7, shape[1] // 2 - 4 : shape[1] // 2 + 9] = 1
    image = np.where(truth, 1000, 100) + np.random.default_rng(0).integers(0, 50, shape)
    save(tmp_path / "in" / "patient001_frame01.nii.gz", image.astype(np.int16), AFFINE)
    network, facts, how = NETWORKS["baseline"]
    path = trained(tmp_path, network, facts | {"size": given["side"]}, given | {"percentiles": [0, 100]}, **how)
    predictor = Predictor(path)
    predictor.model = Threshold([0.5])
    (volume,) = layouts.find(tmp_path / "in", "acdc")
    found = predictor(volume, layouts.load(volume, "acdc", HEART))
    dice = 2 * ((found == 1) & (truth == 1)).sum() / ((found == 1).sum() + truth.sum())
    assert dice > 0.9
    shift = np.array(ndimage.center_of_mass(found == 1)) - ndimage.center_of_mass(truth)
    assert np.abs(shift).max() < 0.3


@pytest.mark.parametrize("shape", [(5, 4), (9, 12), (8, 8), (7, 11)])
@pytest.mark.parametrize("side", [6, 8, 13])
def test_cutting_and_filling_is_undone(shape, side):
    labels = np.random.default_rng(0).integers(0, 3, (*shape, 2))
    cut = in_plane.centre_crop_or_pad(labels, side, fill=0)
    logits = 9.0 * torch.nn.functional.one_hot(torch.from_numpy(cut).long(), 3).permute(2, 3, 0, 1)
    back = on_grid(logits, shape, shape)
    assert back.shape == (*shape, 2)
    assert np.array_equal(in_plane.centre_crop_or_pad(back, side, fill=0), cut)
    assert np.count_nonzero(back) == np.count_nonzero(cut)  # what was cut off is background


@pytest.mark.parametrize("kind", ["unet", "attention", "asked_attention", "asked_inside"])
def test_scans_in_any_orientation(kind, scans, tmp_path):
    facts = {"network": kind, "structures": 2, "feature_scale": 32.0}
    facts |= {"gates": 2, "gating": "decoder", "subsample": 2} if "attention" in kind else {}
    given = {"layout": "decathlon", "spacing": 1.5, "blur": 0.0}
    how = {"window": [16, 16, 32], "asked": kind.startswith("asked")}
    path = trained(tmp_path, volume_network, facts, given, ("front", "back"), **how)
    table = predict(path, scans, tmp_path / "out")
    assert table.volume.tolist() == ["case_0", "case_0", "case_1", "case_1"]
    assert table.dice.notna().tolist() == [True, True, False, False]
    for name in ("case_0", "case_1"):
        image, found = nib.load(scans / "imagesTr" / f"{name}.nii.gz"), nib.load(tmp_path / "out" / f"{name}.nii.gz")
        assert found.shape == image.shape and np.array_equal(found.affine, image.affine)


def test_orientation_is_undone(scans, tmp_path, monkeypatch):
    """A network that finds what is bright, told of each scan in RAS+, finds it where it is stored."""
    path = trained(
        tmp_path,
        volume_network,
        {"network": "unet", "structures": 2, "feature_scale": 32.0},
        {"layout": "decathlon", "spacing": 1.0, "blur": 0.0},
        ("front", "back"),
        window=[16, 16, 16],
        asked=False,
    )

    def bright(model, scan, structures, window, shape, asked, only):
        zoomed = ndimage.zoom(scan.image, np.array(shape) / scan.image.shape, order=1, mode="nearest", grid_mode=True)
        return torch.stack([torch.from_numpy(zoomed > 400), torch.zeros(shape, dtype=torch.bool)])

    monkeypatch.setattr(prediction, "masks", bright)
    predict(path, scans, tmp_path / "out")
    for name in ("case_0", "case_1"):
        image = np.asarray(nib.load(scans / "imagesTr" / f"{name}.nii.gz").dataobj) > 400
        found = np.asarray(nib.load(tmp_path / "out" / f"{name}.nii.gz").dataobj) == 1
        assert 2 * (image & found).sum() / (image.sum() + found.sum()) > 0.85


def test_whole_hearts_in_the_values_of_their_release(tmp_path):
    facts = {"method": "unet", "classes": 8, "filters": 2}
    path = trained(tmp_path, sdnet_network, facts, {"layout": "mmwhs", "spacing": 2.0, "side": 32}, mmwhs.STRUCTURES)
    image, _ = blobs((30, 26, 9), 8)
    values = np.array([0, 500, 600, 205, 420, 550, 850, 820])
    truth = values[blobs((30, 26, 9), 8)[1]].astype(np.int16)
    affine = np.array([[0, 0, 1.5, 0], [-1.2, 0, 0, 30], [0, 1.3, 0, 0], [0, 0, 0, 1]])
    save(tmp_path / "in" / "ct_train_1001_image.nii.gz", image, affine)
    save(tmp_path / "in" / "ct_train_1001_label.nii.gz", truth, affine)
    table = predict(path, tmp_path / "in", tmp_path / "out")
    found = nib.load(tmp_path / "out" / "ct_train_1001_image.nii.gz")
    assert np.allclose(found.affine, affine, atol=1e-6)
    labels = np.asarray(found.dataobj)
    assert set(np.unique(labels)) <= set(values.tolist())
    for value, ml in zip(values[1:], table.ml, strict=True):
        assert (labels == value).sum() * 1.2 * 1.3 * 1.5 / 1000 == pytest.approx(ml, rel=1e-6)
    assert table.ml_labels.sum() == pytest.approx((truth > 0).sum() * 1.2 * 1.3 * 1.5 / 1000, rel=1e-5)


CINE = ("myocardium", "left ventricle")


def cine_network(folder):
    facts = {"method": "unet", "classes": 3, "filters": 2}
    return trained(folder, sdnet_network, facts, {"layout": "studies", "spacing": 2.0, "side": 32}, CINE)


def test_cines_in_the_values_of_their_layout(cines, tmp_path):
    """Labels are 2 and 3 there; the right ventricle, 1, is background to the network and in its scores."""
    table = predict(cine_network(tmp_path), cines, tmp_path / "out").set_index(["volume", "structure"])
    names = ["volunteer01-cine-01", "volunteer01-cine-02", "volunteer01-cine-03", "volunteer02-cine-01"]
    assert {path.name for path in (tmp_path / "out").glob("*.nii.gz")} == {f"{name}.nii.gz" for name in names}
    assert table.index.tolist() == [(name, structure) for name in names for structure in CINE]
    found = np.asarray(nib.load(tmp_path / "out" / "volunteer01-cine-02.nii.gz").dataobj)
    truth = np.asarray(nib.load(cines / "volunteer01" / "cine_frame02_gt.nii.gz").dataobj)
    assert set(np.unique(found)) <= {0, 2, 3} and (found > 0).any() and (truth == 1).any()
    for value, structure in enumerate(CINE, 2):
        a, b, row = found == value, truth == value, table.loc["volunteer01-cine-02", structure]
        assert row.ml_labels == pytest.approx(b.sum() * 1.4 * 1.5 * 9 / 1000)
        assert row.ml == pytest.approx(a.sum() * 1.4 * 1.5 * 9 / 1000)
        assert row.dice == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()), abs=1e-6)
    assert table.dice.notna().sum() == 2


def test_a_frame_is_seen_as_in_training_together_with_the_others(cines, tmp_path, monkeypatch):
    seen = []

    def logits(model, examples):
        seen.append(examples.images[:, 0].numpy())
        return torch.zeros(len(examples.images), 3, 32, 32)

    monkeypatch.setattr(prediction, "predict_logits", logits)
    predict(cine_network(tmp_path), cines, tmp_path / "out")
    shutil.copy(cines / "volunteer01" / "cine_frame02_gt.nii.gz", cines / "volunteer02" / "cine_frame01_gt.nii.gz")
    ready = [studies.prepare(study, 2.0, 32, (2, 3)) for study in studies.read(Manifest.of("", "", cines))]
    assert np.array_equal(np.concatenate(seen), 2 * np.concatenate([one.images for one in ready]) - 1)
    assert seen[2].max() < 0.9 < seen[0].max()


def test_frames_of_one_study_on_different_grids(cines, tmp_path, capsys):
    image, _ = blobs((43, 40, 5), 4)
    save(cines / "volunteer01" / "cine_frame03.nii.gz", image, AFFINE)
    code, lines = run(capsys, cine_network(tmp_path), cines, tmp_path / "out")
    (line,) = [line for line in lines if line.startswith("error: ")]
    assert code == 1 and "cine_frame03.nii.gz: shape (43, 40, 5), not (43, 38, 5), differs from the study's" in line


class Sure(torch.nn.Module):
    """It finds structure `value` where the scan is bright; all others are likelier, everywhere."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        logits = torch.full_like(x, 9.0).repeat(1, 4, 1, 1, 1)
        logits[:, 0], logits[:, self.value] = 0, x[:, 0]
        return logits


@pytest.mark.parametrize("value", [1, 2, 3])
def test_a_network_that_knows_more_structures_than_it_was_tuned_to(value, scans, tmp_path):
    """It chooses between the background and one of them, which is 1 in the labels, as in those it was tuned on."""
    facts, given = {"network": "unet", "structures": 3, "feature_scale": 32.0}, {"spacing": 1.0, "blur": 0.0}
    how = {"window": [16, 16, 16], "asked": False, "only": (0, value)}
    path = trained(tmp_path, volume_network, facts, given | {"layout": "decathlon"}, ("pancreas",), **how)
    shutil.rmtree(scans / "labelsTr")
    assert predict(path, scans, tmp_path / "out").structure.tolist() == ["pancreas"] * 2
    (volume, _), predictor = layouts.find(scans, "decathlon"), Predictor(path)
    predictor.model = Sure(value)
    loaded = layouts.load(volume, "decathlon", ["pancreas"])
    found, bright = predictor(volume, loaded), loaded.nifti.array > loaded.nifti.array.mean()
    assert set(np.unique(found)) == {0, 1}
    assert 2 * (found & bright).sum() / (found.sum() + bright.sum()) > 0.9


# ----------------------------------------------------------------------------------------------------------- bad input


def run(capsys, path, source, output):
    code = main(["--weights", str(path), "--input", str(source), "--output", str(output)])
    return code, capsys.readouterr().err.splitlines()


def test_all_bad_volumes_are_named_and_nothing_is_written(hearts, tmp_path, capsys):
    network, facts, how = NETWORKS["baseline"]
    path = trained(tmp_path, network, facts, acdc_input(), **how)
    first, second = (hearts / "patient001" / f"patient001_frame0{f}.nii.gz" for f in (1, 7))
    first.write_bytes(first.read_bytes()[:200])
    save(second, np.full((43, 38, 5), np.nan, np.float32), AFFINE)
    save(hearts / "patient002" / "patient002_frame01_gt.nii.gz", np.zeros((43, 38, 4), np.uint8), AFFINE)
    save(hearts / "patient002" / "patient002_frame07_gt.nii.gz", np.full((43, 38, 5), 9, np.uint8), AFFINE)
    code, lines = run(capsys, path, hearts, tmp_path / "out")
    lines = [line for line in lines if line.startswith("error: ")]
    assert code == 1 and not (tmp_path / "out").exists()
    assert len(lines) == 4, lines
    for words, line in zip(
        ("truncated", "NaN or infinite", "shape", "labels other than 0, 1, 2, 3"), lines, strict=True
    ):
        assert words in line


def test_nothing_is_overwritten(hearts, tmp_path, capsys, monkeypatch):
    network, facts, how = NETWORKS["baseline"]
    path = trained(tmp_path, network, facts, acdc_input(), **how)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine", encoding="utf-8")
    code, lines = run(capsys, path, hearts, tmp_path / "out")
    assert code == 1 and lines[-1].endswith("not an empty folder; nothing is overwritten, name another")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine.txt"]
    code, lines = run(capsys, path, hearts, tmp_path / "out" / "mine.txt")
    assert code == 1 and lines[-1].endswith("mine.txt: no folder to write to (Not a directory); name another")
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr("os.path.ismount", lambda path: True)
    assert "empty: a mounted disk" in run(capsys, path, hearts, tmp_path / "empty")[1][-1]


@pytest.mark.parametrize("error", [RuntimeError("of a network"), KeyboardInterrupt()], ids=repr)
def test_a_failure_on_the_way_leaves_nothing_that_looks_like_a_result(error, hearts, tmp_path, monkeypatch):
    network, facts, how = NETWORKS["baseline"]
    path = trained(tmp_path, network, facts, acdc_input(), **how)
    before, label_map, calls = set(tmp_path.iterdir()), predict_module.label_map, []

    def fail(one, predictor):
        calls.append(one)
        if len(calls) == 3:
            raise error
        return label_map(one, predictor)

    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(predict_module, "label_map", fail)
        predict(path, hearts, tmp_path / "out")
    assert set(tmp_path.iterdir()) == before
    predict(path, hearts, tmp_path / "out")
    assert set(tmp_path.iterdir()) == before | {tmp_path / "out"}


def test_a_former_result_gives_way_where_that_is_asked_for(hearts, tmp_path, monkeypatch):
    network, facts, how = NETWORKS["baseline"]
    path, out = trained(tmp_path, network, facts, acdc_input(), **how), tmp_path / "out"
    predict(path, hearts, out, replace=True)
    first = {file.name for file in out.iterdir()}
    shutil.rmtree(hearts / "patient001")
    with monkeypatch.context() as patch, pytest.raises(TypeError):
        patch.setattr(predict_module, "measures", None)
        predict(path, hearts, out, replace=True)
    assert {file.name for file in out.iterdir()} == first
    with pytest.raises(InputError, match="nothing is overwritten"):
        predict(path, hearts, out)
    predict(path, hearts, out, replace=True)
    assert {file.name for file in out.iterdir()} < first
    for name in ("mine.txt", "more.nii"):
        (out / "volumes.csv").rename(out / name)  # neither without the table, nor with a file more
        with pytest.raises(InputError, match="nothing is overwritten"):
            predict(path, hearts, out, replace=True)
        shutil.copy(out / name, out / "volumes.csv")
        with pytest.raises(InputError, match="nothing is overwritten"):
            predict(path, hearts, out, replace=True)
        assert (out / name).exists()


def test_files_are_looked_for_not_hashed(hearts, tmp_path, monkeypatch):
    network, facts, how = NETWORKS["baseline"]
    monkeypatch.setattr("whereabouts.data.manifest.sha256", None)
    predict(trained(tmp_path, network, facts, acdc_input(), **how), hearts, tmp_path / "out")


def test_files_that_cannot_be_read(hearts, tmp_path, capsys, monkeypatch):
    network, facts, how = NETWORKS["inside-phase"]
    path, opened = trained(tmp_path, network, facts, acdc_input(), **how), io.open

    def refuse(file, *args, **kwargs):
        if str(file).endswith(("patient001_frame01.nii.gz", "patient002/Info.cfg")):
            raise PermissionError(13, "Permission denied")
        return opened(file, *args, **kwargs)

    monkeypatch.setattr("io.open", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    code, lines = run(capsys, path, hearts, tmp_path / "out")
    lines = [line for line in lines if line.startswith("error: ")]
    assert code == 1 and len(lines) == 3, lines
    assert "patient001_frame01.nii.gz: cannot be read (Permission denied); " in lines[0]
    assert all("does not say, or cannot be read; add its number there" in line for line in lines[1:])


def test_a_phase_that_nobody_tells(hearts, tmp_path, capsys):
    network, facts, how = NETWORKS["inside-phase"]
    path = trained(tmp_path, network, facts, acdc_input(), **how)
    (hearts / "patient002" / "Info.cfg").write_text("ED: 1\n", encoding="utf-8")
    code, lines = run(capsys, path, hearts, tmp_path / "out")
    assert code == 1
    (line,) = [line for line in lines if line.startswith("error: ")]
    assert "patient002_frame07.nii.gz: ED or ES? Info.cfg beside it does not say" in line


def test_folders_without_what_the_network_wants(hearts, tmp_path, capsys):
    network, facts, how = NETWORKS["baseline"]
    path = trained(tmp_path, network, facts, acdc_input(), **how)
    shutil.rmtree(hearts / "patient001")
    assert "no such folder" in run(capsys, path, tmp_path / "nowhere", tmp_path / "out")[1][-1]
    (tmp_path / "empty").mkdir()
    line = run(capsys, path, tmp_path / "empty", tmp_path / "out")[1][-1]
    assert "no volumes; this network expects patientNNN_frameFF.nii.gz" in line
    shutil.copytree(hearts / "patient002", hearts / "again" / "patient002")
    lines = [line for line in run(capsys, path, hearts, tmp_path / "out")[1] if line.startswith("error: ")]
    assert len(lines) == 2 and all("also found as" in line for line in lines)


def test_weights_of_other_networks(hearts, tmp_path, capsys):
    model = build(lambda: acdc_network("baseline", 1, 32, 2), 0)
    weights.write(tmp_path / "w.safetensors", model, {})
    code, lines = run(capsys, tmp_path / "w.safetensors", hearts, tmp_path / "out")
    assert code == 1 and "its network does not segment NIfTI volumes" in lines[-1]
    assert "no such file" in run(capsys, tmp_path / "gone.safetensors", hearts, tmp_path / "out")[1][-1]


def test_weights_are_not_believed(hearts, tmp_path, capsys):
    """What `whereabouts.evaluation.schema` says of them, a line each, before anything is done with the volumes."""
    network, facts, how = NETWORKS["baseline"]
    path = trained(tmp_path, network, facts, acdc_input(side=0, spacing=0, percentiles=[-5, 500]), ("a",), **how)
    code, lines = run(capsys, path, hearts, tmp_path / "out")
    assert code == 1 and all(line.startswith(f"error: {path}: use.input.") for line in lines) and len(lines) == 3
    assert all(line.endswith("; give weights that this version of the compendium trained") for line in lines)


NAMES = {  # as they are given, and as a table has them
    **{
        name: name
        for name in ("scan$_$1", r"\frac{1", "$\\frac{", "a&b<c>|d", "  -x", "x" * 200, "肝脏🫀", "100%_^~#", "'`\"")
    },
    "=1+1": "'=1+1",
    "a\nb\x1b[31m\u202ec": r"a\nb\x1b[31m\u202ec",
    "caf\udce9": r"caf\udce9",  # bytes that are no UTF-8
}


def test_names_are_printed_as_they_are_and_lose_nothing(tmp_path, capsys):
    """Of volumes, of structures and of the data: in the terminal, the table, the sheet and the files."""
    structures, folder = [*NAMES][:-1], tmp_path / "in"
    for name in NAMES:
        save(folder / f"{name}.nii.gz", blobs((12, 12, 12), 2)[0], np.eye(4))
    facts = {"network": "unet", "structures": len(structures), "feature_scale": 32.0}
    given, how = {"layout": "decathlon", "spacing": 1.0, "blur": 0.0}, {"window": [16, 16, 16], "asked": False}
    path = trained(tmp_path, volume_network, facts, given, structures, "$\\frac{ data", **how)
    code, lines = run(capsys, path, folder, tmp_path / "out")
    assert code == 0 and not [line for line in lines if "contact_sheet" in line]
    written = {file.name for file in (tmp_path / "out").iterdir()}
    assert written == {f"{name}.nii.gz" for name in NAMES} | {"volumes.csv", "contact_sheet.png"}
    table = pd.read_csv(tmp_path / "out" / "volumes.csv", dtype=str)
    assert set(table.volume) == {*NAMES.values()} and set(table.structure) == {NAMES[name] for name in structures}


@pytest.mark.parametrize("fault", ["drawing", "writing"])
def test_a_picture_that_fails_costs_no_segmentation(fault, hearts, tmp_path, capsys, monkeypatch):
    network, facts, how = NETWORKS["baseline"]
    path, write_bytes = trained(tmp_path, network, facts, acdc_input(), **how), files.write_bytes

    def full(path, content):
        if path.suffix == ".png":
            raise InputError("no space")
        write_bytes(path, content)

    monkeypatch.setattr(*((plotting, "png", None) if fault == "drawing" else (files, "write_bytes", full)))
    code, lines = run(capsys, path, hearts, tmp_path / "out")
    assert code == 0 and "contact_sheet.png: not drawn (" in lines[-1] and len(list((tmp_path / "out").iterdir())) == 5


def test_slices_of_any_shape_fit_the_sheet(tmp_path, monkeypatch):
    network, facts, how = NETWORKS["baseline"]
    predictor = Predictor(trained(tmp_path, network, facts, acdc_input(), **how))
    for shape, count in (((2000, 1), 60), ((1, 2000), 3)):
        predictor.structures = [f"structure {number}" for number in range(count)]
        assert predict_module.contact_sheet([("a", np.zeros(shape), np.zeros(shape), None)], predictor, 1)


@pytest.mark.parametrize(
    "fault",
    [
        MemoryError(),
        MemoryError("Unable to allocate 9 EiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes\nmore"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
    ],
    ids=repr,
)
def test_memory_that_runs_out_is_one_line(fault, hearts, tmp_path, capsys, monkeypatch):
    network, facts, how = NETWORKS["baseline"]
    path = trained(tmp_path, network, facts, acdc_input(), **how)

    def fail(*_):
        raise fault

    monkeypatch.setattr(prediction, "predict_logits", fail)
    code, lines = run(capsys, path, hearts, tmp_path / "out")
    assert code == 1 and "patient001_frame01.nii.gz: memory ran out (" in lines[-1]
    assert not (tmp_path / "out").exists()


def test_whatever_is_wrong_with_the_places_is_said_at_once(hearts, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(paths, "RAW", tmp_path / "raw")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "acdc").symlink_to(tmp_path / "elsewhere")
    for output, words in (
        ("raw/out", "below data/raw"),
        ("raw/acdc/out", "below data/raw"),
        ("elsewhere/out", "below data/raw"),
        ("hearts/patient001/out", "in the folder that is segmented"),
        ("hearts", "in the folder that is segmented"),
    ):
        source = tmp_path / "hearts" if "hearts" in output else tmp_path / "nowhere"
        code, lines = run(capsys, tmp_path / "gone.safetensors", source, tmp_path / output)
        assert code == 1 and words in lines[0] and "gone.safetensors: no such file" in lines[1]
        assert [line.partition("nowhere: ")[2] for line in lines[2:]] == (
            [] if source == hearts else ["no such folder; give one of NIfTI volumes"]
        )


@pytest.mark.parametrize("spacing", [3000.0, 1e9, 1e30])
@pytest.mark.parametrize("layout", ["acdc", "mmwhs", "decathlon"])
def test_a_spacing_that_would_make_a_grid_without_end(spacing, layout, tmp_path, capsys):
    name = {"acdc": "patient001_frame01", "mmwhs": "ct_train_1001_image", "decathlon": "a"}[layout]
    save(tmp_path / "in" / f"{name}.nii.gz", blobs((43, 38, 5), 2)[0], np.diag([spacing, spacing, 2, 1]))
    if layout == "decathlon":
        facts, how = (
            {"network": "unet", "structures": 3, "feature_scale": 32.0},
            {"window": [16, 16, 16], "asked": False},
        )
        path = trained(tmp_path, volume_network, facts, {"layout": layout, "spacing": 1.0, "blur": 0.0}, **how)
    elif layout == "mmwhs":
        facts, given = {"method": "unet", "classes": 8, "filters": 1}, {"layout": layout, "spacing": 1.0, "side": 32}
        path = trained(tmp_path, sdnet_network, facts, given, mmwhs.STRUCTURES)
    else:
        path = trained(tmp_path, *NETWORKS["baseline"][:2], acdc_input())
    code, lines = run(capsys, path, tmp_path / "in", tmp_path / "out")
    assert code == 1 and f"{name}.nii.gz: " in lines[-1]


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "example:\n  python -m whereabouts.predict --weights build/" in capsys.readouterr().out


def test_structures_that_no_chapter_has_get_colours_of_their_own():
    known, unknown = plotting.STRUCTURE_COLOURS["pancreas"], ("liver", "pancreas", "vessel")
    colours = plotting.structure_colours(unknown)
    assert list(colours) == list(unknown) and colours["pancreas"] == known
    assert len(set(colours.values())) == 3


@pytest.mark.parametrize("folder", ["Tr", "Ts", ""])
def test_decathlon_folders(folder, tmp_path):
    image, truth = blobs((8, 8, 8), 2)
    place = tmp_path / "Task01" / f"images{folder}" if folder else tmp_path / "plain"
    save(place / "a.nii.gz", image, np.eye(4))
    if folder:
        save(tmp_path / "Task01" / f"labels{folder}" / "a.nii.gz", truth, np.eye(4))
    (found,) = layouts.find(tmp_path, "decathlon")
    assert (found.name, found.truth is not None) == ("a", bool(folder))


def test_a_scan_that_is_mostly_empty_is_read_as_in_training(tmp_path):
    """Skull-stripped, say: networks for scans clip no percentiles. A constant one is refused."""
    scan = np.zeros((20, 20, 20), np.int16)
    save(tmp_path / "blank.nii.gz", scan, np.eye(4))
    scan[8:12, 8:12, 8:12] = blobs((4, 4, 4), 3)[0]
    save(tmp_path / "stripped.nii.gz", scan, np.eye(4))
    blank, stripped = layouts.find(tmp_path, "decathlon")
    assert np.array_equal(layouts.load(stripped, "decathlon", ["front"]).nifti.array, scan)
    with pytest.raises(InputError, match=r"blank\.nii\.gz: constant; cut it to what it shows"):
        layouts.load(blank, "decathlon", ["front"])
