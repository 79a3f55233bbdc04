"""Tables and verdicts of the INSIDE chapter, from scores made by hand."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from verdicts import lacking, verdicts, wrong_effects
from whereabouts.chapters import inside
from whereabouts.paths import ROOT
from whereabouts.reporting import claims

CONTENT = claims.read(ROOT / "claims" / "inside.yaml")


def clevr_scores(means, images=40):
    """Scores of methods on `quadrant` whose seeds 1 and 2 lie 0.01 around the mean, the same noise for all."""
    noise = np.random.default_rng(0).normal(0, 0.02, images)
    rows = [
        {"factor": "quadrant", "method": method, "seed": seed, "image": i, "dice": mean + (seed - 1.5) / 50 + noise[i]}
        for method, mean in means.items()
        for seed in (1, 2)
        for i in range(images)
    ]
    return pd.DataFrame(rows)


def acdc_scores(means, volumes=12):
    """Of both phases of each patient, one 0.02 above the other."""
    noise = np.random.default_rng(1).normal(0, 0.02, (len(means), volumes))
    rows = [
        {
            "arm": arm,
            "percent": p,
            "fold": 0,
            "seed": s,
            "volume": f"v{i}-{phase}",
            "dice": mean + noise[number, i] + shift,
        }
        for number, ((arm, p), mean) in enumerate(means.items())
        for s in (1, 2)
        for i in range(volumes)
        for phase, shift in (("ED", 0.01), ("ES", -0.01))
    ]
    return pd.DataFrame(rows)


def masks(percents=(100,), volumes=12):
    """The averaged mask of two folds."""
    keys = product(percents, (0, 1), range(volumes), (("ED", 0.05), ("ES", -0.05)))
    return pd.DataFrame(
        {"percent": p, "fold": k, "volume": f"v{i}-{phase}", "dice": 0.1 + k / 100 + shift}
        for p, k, i, (phase, shift) in keys
    )


def test_table1_prints_ours_beside_the_papers_and_leaves_what_was_not_run_empty():
    scores = clevr_scores({"baseline": 0.3, "film": 0.5, "inside": 0.8})
    table = inside.table1(scores, CONTENT["tables"]["table1"]).set_index("Method")
    noise = 100 * np.random.default_rng(0).normal(0, 0.02, 40).mean()
    assert table.loc["FiLM", "Quadrant, ours"] == f"{50 + noise:.1f} ± 1.4"  # sd of 49 and 51
    assert table.loc["FiLM", "Quadrant, paper"] == "48.7 ± 2"
    assert table.loc["INSIDE (Multiple Attentions)", "Quadrant, ours"] == f"⟦{80 + noise:.1f} ± 1.4⟧ ∗∗"
    assert table.loc["Guiding Block", "Quadrant, ours"] == "" and (table["Size, ours"] == "").all()
    assert list(table.index) == list(inside.METHOD_NAMES.values())


def test_table1_gives_no_stars_to_a_method_that_is_worse():
    table = inside.table1(clevr_scores({"film": 0.9, "inside": 0.8}), CONTENT["tables"]["table1"]).set_index("Method")
    assert "∗" not in table.loc["INSIDE (Multiple Attentions)", "Quadrant, ours"]
    assert table.loc["FiLM", "Quadrant, ours"].startswith("⟦")


def test_table2_uses_the_one_baseline_for_both_columns_and_corrects_for_it():
    scores = acdc_scores({("baseline", 100): 0.7, ("inside-position", 100): 0.8, ("inside-phase", 100): 0.6})
    table = inside.table2(scores, masks(), CONTENT["tables"]["table2"]).set_index("Method")
    baseline = table.loc["Baseline"]
    assert baseline["100% position, ours"] == baseline["100% phase, ours"].strip("⟦⟧")
    assert table.loc["INSIDE", "100% position, ours"].endswith("∗∗")
    assert "∗" not in table.loc["INSIDE", "100% phase, ours"]
    blind = table.loc["Averaged mask"]
    assert blind["100% position, ours"] == blind["100% phase, ours"] == "10.5 ± 0.7"  # 10 and 11 in the two folds
    assert blind["6% position, ours"] == blind["100% phase, paper"] == "" and "⟦" not in "".join(blind)
    assert table.loc["INSIDE", "6% position, paper"] == "62.2 ± 5.2" and table.loc["INSIDE", "6% position, ours"] == ""


def test_verdicts_follow_from_the_scores_and_say_what_was_not_run():
    clevr = clevr_scores({"film": 0.5, "inside": 0.8, "guiding_block": 0.9})
    spread = pd.DataFrame({"factor": ["quadrant", "colour"], "seed": [1, 1], "spread": [0.3, 0.7]})
    spread["amplitude"] = [0.25, 0.5]
    arms = {("baseline", 100): 0.7, ("inside-position", 100): 0.8}
    channels = pd.DataFrame({"percent": 100, "fold": [0, 1, 2], "seed": 1, "channel": 0, "apex": 0.2, "base": 0.4})
    channels.base += np.arange(3) / 100
    channels = channels.assign(amplitude_apex=0.125, amplitude_base=0.5)
    tables = inside.claim_tables(clevr, spread, acdc_scores(arms), channels, masks())
    assert tables["clevr_attention"].loc[(1, 0), ["amplitude_quadrant", "amplitude_colour"]].tolist() == [25, 50]
    assert (tables["acdc_attention"][["amplitude_apex", "amplitude_base"]] == [12.5, 50]).all(axis=None)
    verdict = verdicts(CONTENT, tables)
    assert verdict["spatial-beats-film"] == verdict["position-helps"] == "reproduced"
    assert verdict["inside-beats-guiding-block"] == "contradicted"
    assert verdict["contract-to-apex"] == "reproduced (one seed)"
    assert verdict["diffuse-without-place"] == "undecided"  # a single number
    assert verdict["gain-grows"] == "not run: this run has no baseline_6, inside_position_6"


def test_a_note_says_how_the_layers_were_read():
    plain, other = {"scale": "1-gamma", "sigma": "wide", "hidden": 0}, {"scale": "gamma", "sigma": "text", "hidden": 64}
    assert inside.read_as(plain | {"filters": 8}) == "scale 1-gamma, sigma wide"
    scores = pd.DataFrame({"readings": [inside.read_as(plain)] * 3 + [inside.read_as(other)]})
    words = "scale 1-gamma, sigma wide and scale gamma, sigma text, hidden 64"
    assert inside.noted("A note.", scores) == f"A note. FiLM and INSIDE as docs/readings.md has them: {words}."


def test_readings_side_by_side():
    """Each reading over its own seeds, the best of each task marked, and what the paper prints below."""
    rows = [
        ("colour", "text", "gamma", 1e-4, 1, 0.5),
        ("colour", "text", "gamma", 1e-4, 2, 0.7),
        ("colour", "wide", "gamma", 1e-4, 1, 0.8),
        ("colour", "wide", "gamma", 0.0, 1, 0.75),
        ("ACDC 6%", "wide", "gamma", 0.0, 1, 0.25),
        ("ACDC 6%", "wide", "gamma", 1e-4, 1, 0.125),
        ("ACDC 6%", "text", "gamma", 1e-4, 1, 0.2),
    ]
    scores = pd.DataFrame(rows, columns=["task", "sigma", "scale", "eta", "seed", "dice"])
    table = inside.readings_table(scores, {"colour": (90.7, 1.9), "ACDC 6%": (62.2, 5.2)})
    assert table.to_numpy().tolist() == [
        ["text", "gamma", "0.0001", "60.0 ± 14.1", "20.0"],
        ["wide", "gamma", "0.0001", "⟦80.0⟧", "12.5"],
        ["wide", "gamma", "0.0", "75.0", "⟦25.0⟧"],
        ["the paper, test", "", "", "90.7 ± 1.9", "62.2 ± 5.2"],
    ]
    assert table.columns.tolist() == ["Widths", "Scale", "Penalty", "colour", "ACDC 6%"]


def everything():
    """Tables of claims of a run that trains all methods on all data."""
    factors, methods = CONTENT["tables"]["table1"]["inside"], CONTENT["tables"]["table1"]
    clevr = pd.concat(clevr_scores(dict.fromkeys(methods, 0.5)).assign(factor=factor) for factor in factors)
    spread = pd.DataFrame({"factor": list(factors), "seed": 1, "spread": 0.5, "amplitude": 0.1})
    acdc = acdc_scores(dict.fromkeys(product(CONTENT["tables"]["table2"], (100, 25, 6)), 0.5))
    acdc = pd.concat([acdc, acdc.assign(fold=1)])
    channels = pd.DataFrame(
        {"percent": 100, "fold": [0, 0, 1], "seed": 1, "channel": [0, 1, 0], "apex": [0.1, 0.3, 0.4]}
    )
    return inside.claim_tables(
        clevr, spread, acdc, channels.assign(base=0.5, amplitude_apex=0.1, amplitude_base=0.2), masks((100, 6))
    )


def test_every_claim_speaks_of_what_a_full_run_has():
    found = everything()
    assert {claim["table"] for claim in CONTENT["claims"]} == found.keys()
    assert lacking(CONTENT, found) == set()
    assert 3 <= sum(claim.get("central", False) for claim in CONTENT["claims"]) <= 8


def test_effects_are_the_papers_numbers():
    of = CONTENT["tables"]
    paper = {
        "clevr_seg": {
            f"{name}_{factor}": cell for name, cells in of["table1"].items() for factor, cell in cells.items()
        },
        "acdc": {
            f"{arm.replace('-', '_')}_{percent}": cell
            for arm, cells in of["table2"].items()
            for percent, cell in cells.items()
        },
    }
    assert wrong_effects(CONTENT, paper) == []


def test_the_unit_is_the_network_or_a_patient_in_its_fold():
    """Channels of one network are one number, so are both phases of a patient; one that two folds test is two."""
    found = everything()
    assert found["acdc_attention"].apex.to_dict() == pytest.approx({(1, "100-0"): 20, (1, "100-1"): 40})
    assert found["acdc"].averaged_mask_6.groupby(level=1).first()[["0-v1", "1-v1"]].tolist() == pytest.approx([10, 11])
    units = {f"{fold}-v{i}" for fold in (0, 1) for i in range(12)}
    assert set(found["acdc"].loc[2].index) == units and found["acdc"].index.is_unique
    scores = acdc_scores({("baseline", 100): 0.5})
    both = scores[(scores.seed == 1) & scores.volume.str.startswith("v3-")].dice
    assert len(both) == 2 and found["acdc"].baseline_100[1, "0-v3"] == pytest.approx(100 * both.mean())
