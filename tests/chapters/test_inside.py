"""Tables and verdicts of the INSIDE chapter, from scores made by hand."""

import numpy as np
import pandas as pd

from verdicts import verdicts
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
    noise = np.random.default_rng(1).normal(0, 0.02, (len(means), volumes))
    rows = [
        {"arm": arm, "percent": p, "fold": 0, "seed": s, "volume": f"v{i}", "dice": mean + noise[number, i]}
        for number, ((arm, p), mean) in enumerate(means.items())
        for s in (1, 2)
        for i in range(volumes)
    ]
    return pd.DataFrame(rows)


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
    table = inside.table2(scores, CONTENT["tables"]["table2"]).set_index("Method")
    baseline = table.loc["Baseline"]
    assert baseline["100% position, ours"] == baseline["100% phase, ours"].strip("⟦⟧")
    assert table.loc["INSIDE", "100% position, ours"].endswith("∗∗")
    assert "∗" not in table.loc["INSIDE", "100% phase, ours"]
    assert table.loc["INSIDE", "6% position, paper"] == "62.2 ± 5.2" and table.loc["INSIDE", "6% position, ours"] == ""


def test_verdicts_follow_from_the_scores_and_say_what_was_not_run():
    clevr = clevr_scores({"film": 0.5, "inside": 0.8, "guiding_block": 0.9})
    spread = pd.DataFrame({"factor": ["quadrant", "colour"], "seed": [1, 1], "spread": [0.3, 0.7]})
    arms = {("baseline", 100): 0.7, ("inside-position", 100): 0.8}
    channels = pd.DataFrame({"percent": 100, "fold": 0, "seed": 1, "channel": range(8), "apex": 0.2, "base": 0.4})
    channels.base += np.arange(8) / 100
    tables = inside.claim_tables(clevr, spread, acdc_scores(arms), channels)
    verdict = verdicts(CONTENT, tables)
    assert verdict["spatial-beats-film"] == verdict["position-helps"] == "reproduced"
    assert verdict["inside-beats-guiding-block"] == "contradicted"
    assert verdict["contract-to-apex"] == "reproduced (one training)"
    assert verdict["diffuse-without-place"] == "undecided"  # a single number
    assert verdict["gain-grows"] == "not run: this run has no baseline_6, inside_position_6"


def test_every_claim_of_the_paper_names_a_known_table():
    assert {claim["table"] for claim in CONTENT["claims"]} <= {"clevr_seg", "clevr_attention", "acdc", "acdc_attention"}
    assert len({claim["id"] for claim in CONTENT["claims"]}) == len(CONTENT["claims"]) >= 6
