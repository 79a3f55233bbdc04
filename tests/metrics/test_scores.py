"""Dice per slice and per volume against loops in NumPy, and the scores of several trainings read together."""

import re

import numpy as np
import pandas as pd
import pytest
import torch

from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.metrics.scores import AVERAGE, read, score

STRUCTURES = ["right ventricle", "myocardium", "left ventricle"]
VOLUMES = {  # volume -> subject, modality and number of slices; s3 was scanned twice
    "s1-ED": ("s1", "MR", 3),
    "s1-ES": ("s1", "MR", 1),
    "s2": ("s2", "CT", 4),
    "s3-CT": ("s3", "CT", 2),
    "s3-MR": ("s3", "MR", 3),
    "s4": ("s4", "MR", 2),
}


@pytest.fixture(scope="module")
def case():
    """Logits (N, 4, 7, 5), labels (N, 7, 5) and rows in no order; "s4" shows nothing and is predicted empty."""
    rng = np.random.default_rng(2)
    rows = pd.DataFrame(
        [(*VOLUMES[name][:2], name) for name in VOLUMES for _ in range(VOLUMES[name][2])],
        columns=["subject", "modality", "volume"],
    )
    rows = rows.sample(frac=1, random_state=1).reset_index(drop=True)
    logits = rng.normal(0, 2, (len(rows), 4, 7, 5)).astype(np.float32)
    labels = rng.integers(0, 4, (len(rows), 7, 5))
    for n, name in enumerate(rows.volume):
        if name == "s2" or n % 3 == 0:  # the myocardium is in neither
            logits[n, 2] -= 50
            labels[n][labels[n] == 2] = 0
        if n % 4 == 1:  # the left ventricle is predicted where there is none
            labels[n][labels[n] == 3] = 0
        if name == "s4":
            logits[n, 0] += 50
            labels[n] = 0
    return logits, labels, rows


def overlap(p, t):
    return 2 * (p & t).sum() / (p.sum() + t.sum()) if p.any() or t.any() else 1.0


def pooled(logits, labels):
    """Soft Dice of one slice, of all foreground classes at once."""
    odds = np.exp(logits.astype(np.float64) - logits.max(0))
    p, shared, total = odds / odds.sum(0), 0.0, 0.0
    for c in (1, 2, 3):
        shared, total = shared + p[c][labels == c].sum(), total + p[c].sum() + (labels == c).sum()
    return (2 * shared + 0.1) / (total + 0.1)


def by_loops(logits, labels, rows):
    """(unit, subject, modality, structure) -> dice."""
    predicted, found = logits.argmax(1), {}
    for subject, modality in {kind[:2] for kind in VOLUMES.values()}:
        mine = [n for n, row in rows.iterrows() if (row.subject, row.modality) == (subject, modality)]
        names = {rows.volume[n] for n in mine}
        for c, structure in enumerate(STRUCTURES, 1):
            slices = [overlap(predicted[n] == c, labels[n] == c) for n in mine]
            whole = []
            for name in names:
                part = [n for n in mine if rows.volume[n] == name]
                whole.append(overlap(predicted[part] == c, labels[part] == c))
            found["slice", subject, modality, structure] = np.mean(slices)
            found["volume", subject, modality, structure] = np.mean(whole)
        found["slice", subject, modality, AVERAGE] = np.mean([pooled(logits[n], labels[n]) for n in mine])
        of = [found["volume", subject, modality, structure] for structure in STRUCTURES]
        found["volume", subject, modality, AVERAGE] = np.mean(of)
    return found


def scored(logits, labels, rows):
    return score(torch.from_numpy(logits), torch.from_numpy(labels), rows, STRUCTURES)


def keyed(table):
    return table.set_index(["unit", "subject", "modality", "structure"]).dice.to_dict()


def test_both_ways_are_loops_over_slices_and_volumes(case):
    expected, table = by_loops(*case), scored(*case)
    assert list(table.columns) == ["unit", "subject", "modality", "structure", "dice"]
    assert len(table) == len(expected) == 2 * 5 * 4  # s3 counts twice
    ours = keyed(table)
    assert ours.keys() == expected.keys()
    for key, value in expected.items():
        assert ours[key] == pytest.approx(value, abs=1e-12), key


def test_the_case_has_what_it_is_to_tell_apart(case):
    """Absence from both and from one, a subject of two modalities, and two ways that differ everywhere else."""
    found = keyed(scored(*case))
    for unit in ("slice", "volume"):
        assert found[unit, "s2", "CT", "myocardium"] == 1
        assert [found[unit, "s4", "MR", structure] for structure in STRUCTURES] == [1, 1, 1]
        assert found[unit, "s3", "CT", AVERAGE] != found[unit, "s3", "MR", AVERAGE]
    assert found["slice", "s4", "MR", AVERAGE] == pytest.approx(1, abs=1e-6)
    assert all(0 <= value <= 1 for value in found.values())
    structures = [key for key in found if key[0] == "slice" and key[1] == "s1"]
    assert all(abs(found[key] - found["volume", *key[1:]]) > 1e-3 for key in structures)


def test_order_of_slices_does_not_matter(case):
    logits, labels, rows = case
    order = np.random.default_rng(5).permutation(len(rows))
    again = keyed(scored(logits[order], labels[order], rows.iloc[order].reset_index(drop=True)))
    assert again == pytest.approx(keyed(scored(*case)), abs=1e-12)


def test_a_perfect_prediction(case):
    """1 in both ways but for the softness of the slices' average."""
    _, labels, rows = case
    logits = 8 * np.eye(4, dtype=np.float32)[labels].transpose(0, 3, 1, 2)
    table = scored(logits, labels, rows)
    soft = (table.unit == "slice") & (table.structure == AVERAGE) & (table.subject != "s4")
    assert (table.dice[~soft & (table.subject != "s4")] == 1).all()
    assert table.dice[soft].between(0.99, 1, inclusive="neither").all()


# ---------------------------------------------------------------------------------------------------------------- read


def write(folder, name, **columns):
    (folder / name).mkdir(parents=True)
    pd.DataFrame(columns).to_csv(folder / name / "scores.csv", index=False)


def test_scores_are_read_in_the_order_of_names(tmp_path):
    write(tmp_path, "b-1", arm=["b"], origin=[""], dice=[0.25])
    write(tmp_path, "a-2", arm=["a", "a"], origin=["", "NA"], dice=[0.5, 1.0])
    write(tmp_path, "a-10", arm=["a"], origin=["frames"], dice=[0.125])
    write(tmp_path, "c-1/deeper", arm=["c"], origin=["same"], dice=[0.0])  # no training's own folder
    (tmp_path / "d-1").mkdir()  # not trained yet
    table = read(tmp_path)
    assert table.arm.tolist() == ["a", "a", "a", "b"]
    assert table.dice.tolist() == [0.125, 0.5, 1.0, 0.25]
    assert table.index.tolist() == [0, 1, 2, 3]


def test_nothing_is_text_and_no_missing_number(tmp_path):
    write(tmp_path, "a", origin=["", "NA"], dice=[0.5, 1])
    write(tmp_path, "b", origin=["None", "frames"], dice=[0.25, 0])
    table = read(tmp_path)
    assert table.origin.tolist() == ["", "NA", "None", "frames"]
    assert table.dice.dtype == np.float64


def test_no_scores_at_all(tmp_path, monkeypatch):
    (tmp_path / "build" / "runs").mkdir(parents=True)
    (tmp_path / "build" / "runs" / "scores.csv").touch()  # not of a training
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    line = "build/runs/*/scores.csv: not there yet; run `make repro` at its scale to make it"
    with pytest.raises(InputError, match=f"^{re.escape(line)}$"):
        read("build/runs")
