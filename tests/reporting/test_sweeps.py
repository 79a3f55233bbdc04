"""What a sweep's jobs left, side by side."""

import io

import numpy as np
import pandas as pd
from PIL import Image
from torch import nn

from whereabouts.reporting import sweeps
from whereabouts.training import weights

POINTS = {"first": {"steps": 4, "seed": [1]}, "second": {"steps": 8, "seed": [1]}}


def left(folder):
    """Two jobs: curves of one and of two networks, one of them without a score; scores of two arms in two units."""
    for job in POINTS:
        (folder / job).mkdir()
    (folder / "first/unet-1.tsv").write_text("step\tloss\tdice\n2\t0.5\t0.1\n4\t0.4\t0.3\n6\t0.3\t0.2\n", "utf-8")
    (folder / "second/unet-1.tsv").write_text("step\tloss\tdice\n4\t0.5\t0.7\n8\t0.4\t0.7\n", "utf-8")
    (folder / "second/b").mkdir()
    (folder / "second/b/nan.tsv").write_text("step\tloss\tf1\tpart\n5\t0.5\t\ta\n", "utf-8")
    text = "unit,subject,dice,arm,seed\nslice,a,0.2,unet,1\nslice,b,0.4,unet,1\nvolume,a,1,unet,1\nslice,a,0,gan,1\n"
    (folder / "second/b/scores.csv").write_text(text, "utf-8")
    (folder / "first/dice.csv").write_text("image,dice,soft_dice\n0,0.5,0.25\n1,1,0.75\n", "utf-8")
    (folder / "first/spread.csv").write_text("spread\n1\n", "utf-8")
    return {job: folder / job for job in POINTS}


def test_the_table_has_the_best_of_every_curve_and_the_means_of_every_table(tmp_path):
    table, curves = sweeps.gather(left(tmp_path), POINTS)
    assert list(table.columns) == ["steps", "seed", "job", "network", "measure", "value", "step", "rows"]
    rows = {(r.steps, r.network, r.measure): (r.value, r.step, r.rows) for r in table.itertuples()}
    best, nothing = "best validation dice", pd.NA
    expected = {
        ("4", "unet-1", best): (0.3, 4, 3),
        ("8", "unet-1", best): (0.7, 4, 2),  # the first, as the weights that are kept
        ("8", "b/nan", "best validation f1"): (np.nan, 5, 1),
        ("4", "", "mean dice"): (0.75, nothing, 2),
        ("4", "", "mean soft_dice"): (0.5, nothing, 2),
        ("8", "b slice unet", "mean dice"): (0.3, nothing, 2),
        ("8", "b volume unet", "mean dice"): (1.0, nothing, 1),
        ("8", "b slice gan", "mean dice"): (0.0, nothing, 1),
    }
    assert rows.keys() == expected.keys() and set(table.seed) == {"[1]"}
    for key, (value, step, count) in expected.items():
        np.testing.assert_allclose(rows[key][0], value, err_msg=str(key))
        assert rows[key][2] == count and (rows[key][1] is step or rows[key][1] == step), key
    assert {network: list(of) for network, of in curves.items()} == {"unet-1": ["first", "second"], "b/nan": ["second"]}


def test_jobs_that_left_nothing_are_an_empty_table(tmp_path):
    table, curves = sweeps.gather({"first": tmp_path / "missing"}, POINTS)
    assert table.empty and list(table.columns)[:3] == ["steps", "seed", "job"] and not curves
    assert sweeps.gather({}, {})[0].empty


def test_the_picture_is_the_same_each_time_and_takes_any_name(tmp_path):
    _, curves = sweeps.gather(left(tmp_path), POINTS)
    labels = {"first": "steps=4, path=$x_1$ \u202e", "second": "steps=8, " + 200 * "x"}
    picture = sweeps.draw(curves, labels, "notebooks/x.ipynb: " + "prepared=a/b, " * 30)
    assert picture == sweeps.draw(curves, labels, "notebooks/x.ipynb: " + "prepared=a/b, " * 30)
    assert min(Image.open(io.BytesIO(picture)).size) > 300


def test_scale_and_data_are_those_that_the_weights_name(tmp_path):
    for job, scale in (("a", "demo"), ("b", "demo"), ("c", "smoke")):
        data = {"scale": scale, "label": "X (synthetic, 01)", "sha256": job}
        weights.write(tmp_path / job / "deep/net-1.safetensors", nn.Linear(1, 1), {}, data=data)
    weights.write(tmp_path / "none/net-1.safetensors", nn.Linear(1, 1), {})
    folders = [tmp_path / job for job in ("a", "b", "c", "none", "missing")]
    said = "demo scale; X (synthetic, 01)\nsmoke scale; X (synthetic, 01); smoke scale: the numbers mean nothing"
    assert sweeps.origins(folders) == said
