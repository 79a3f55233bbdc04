"""Tables and verdicts of the attention gates' chapter, from scores made by hand."""

import re
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from verdicts import lacking, verdicts, wrong_effects
from whereabouts.chapters.gates import plane_tables, scan_tables
from whereabouts.chapters.gates.claims import claim_tables, identifier
from whereabouts.evaluation.boxes import localisation_table
from whereabouts.methods.gates import CHOICES, GATES_NAMES, PANCREAS_ARMS, PLANE_CHOICES, TABLED, VOLUME_ARMS
from whereabouts.paths import ROOT
from whereabouts.reporting import claims, tables

CONTENT = claims.read(ROOT / "claims" / "gates.yaml")
PAPER = CONTENT["tables"]
TEXT = ROOT.parent / "shared" / "papers" / "attention-scan_tables.md"  # of the paper, which is not in the repository
COUNTS = {"full": (24, 6), "quarter": (6, 10)}
NOT_RUN = {  # or by some scales only
    *(f"volumes.attention_{choice}_pancreas_dice" for choice in ("global", "softmax", "shallow")),
    *(f"planes.ag_sononet_{choice}_small_f1" for choice in ("global", "softmax", "early", "joint")),
    *(
        "pancreas.published_atlas",
        "pancreas.published_multi_model",
        "planes.ag_sononet_small_support",
        "planes.ag_sononet_softmax_small_support",
    ),
    *("attention.fine_5", "attention.coarse_5", "attention.division"),
}
SPREAD = np.array([-0.03, -0.02, 0, 0.01, 0.02, 0.04, -0.04, 0.03, 0.005, -0.015])  # of Dice over test scans
TESTED = 6  # scans; networks that were trained on a quarter are tested on all ten
SD = SPREAD[:TESTED].std(ddof=1)
MEANS = {"dice": [0.8], "precision": [0.7], "recall": [0.9], "surface": [0.5]}
NAMES = list(PAPER["classes"])
WIDTHS = (2, 4, 8)
ERRORS = {  # false alarms and misses of each classifier, a plane
    ("sononet", 2): (6, 4),
    ("ag_sononet", 2): (2, 3),
    ("sononet", 4): (3, 3),
    ("ag_sononet", 4): (2, 2),
    ("sononet", 8): (2, 2),
    ("ag_sononet", 8): (1, 1),
}


def rows(arm, structure, means, cases=range(TESTED), seeds=(1, 2)):
    """Scores with these means; seeds lie .01 apart, scans as SPREAD says, whose first six are .003 above the mean."""
    return [
        {"arm": arm, "seed": seed, "case": f"c{k}", "structure": structure, "contour": means["surface"][0] / 2}
        | {name: mean[0] + SPREAD[k] + (seed - np.mean(seeds)) / 100 for name, mean in means.items()}
        for k, seed in product(cases, seeds)
    ]


def volumes(arms=TABLED, structures=("spleen", "pancreas", "kidneys")):
    """The paper's numbers where it has them, in the order of labels, which is not the paper's."""
    found = []
    for arm, structure in product(arms, structures):
        means = MEANS | PAPER["volumes"].get(arm, {}).get(structure, {})
        means |= {"dice": [0.9]} if arm == "asked_inside" else {}
        found += rows(arm, structure, means, range(10 if arm.endswith("quarter") else TESTED))
    return pd.DataFrame(found)


def pancreas(arms=PANCREAS_ARMS):
    """Two scans a fold."""
    found = []
    for arm in arms:
        first = 2 * int(arm[-1]) if "fold" in arm else 0
        cases = (first, first + 1) if "fold" in arm else range(TESTED)
        found += rows(arm, "pancreas", PAPER["pancreas"].get(arm, MEANS | {"dice": [0.815]}), cases)
    return pd.DataFrame(found)


def networks(seconds=0.25):
    counts = {"unet": 5888004, "attention": 6473322, "unet-matched": 6444328, "unet-huge": 10403190}
    counts |= {"unet-quarter": 5888004, "attention-quarter": 6473322, "asked_attention": 92100, "asked_inside": 93500}
    return pd.DataFrame({"arm": arm, "parameters": count, "seconds": seconds} for arm, count in counts.items())


def predictions(errors=ERRORS, seeds=(1,), planes=range(13)):
    """40 frames of each plane, some missed, and 520 of the background, some taken for each; seed 2 for one more."""
    background, found = 13, []
    for ((method, width), (alarms, misses)), seed in product(errors.items(), seeds):
        frames = [(plane, background if k < misses else plane) for plane in planes for k in range(40)]
        frames += [(background, p if k < alarms + seed - 1 else background) for p in range(13) for k in range(40)]
        facts = {"method": method, "width": width, "seed": seed, "support": np.nan if method == "sononet" else 0.25}
        found += [facts | {"index": i, "plane": plane, "found": answer} for i, (plane, answer) in enumerate(frames)]
    return pd.DataFrame(found)


def plane_networks(time=1.5):
    counts = {"sononet": (162954, 647914, 2583978), "ag_sononet": (177670, 701318, 2788486)}
    return pd.DataFrame(
        {"method": method, "width": width, "parameters": count, "forward_ms": time, "backward_ms": 2 * time}
        for method in counts
        for width, count in zip(WIDTHS, counts[method], strict=True)
    )


def boxes(away=0.1, seeds=(1,)):
    """Two frames of each plane, to either side of the paper's mean; seeds lie .002 apart; one box does worse."""
    iou = np.array([of[0] for of in PAPER["boxes"].values()])
    pairs, planes = np.stack([iou - away, iou + away], axis=1).ravel(), np.repeat(np.arange(13), 2)
    parts = (
        localisation_table(pairs + (seed - np.mean(seeds)) / 500, planes, NAMES).assign(seed=seed) for seed in seeds
    )
    return pd.concat(parts).assign(constant=0.3)


def attention(moments=5):
    """Gates start at .95 and close outside of the organs by .1 a moment, the finest first."""
    return pd.DataFrame(
        {"seed": 1, "case": f"c{k}", "moment": m, "inside": 0.95, "outside": 0.95 - (m - 1) / 10 - k / 1000}
        | {"fine": m / 10, "middle": m / 20, "coarse": 0.01}
        for k, m in product(range(TESTED), range(1, moments + 1))
    )


MADE = {
    "volumes": volumes,
    "pancreas": pancreas,
    "networks": networks,
    "planes": predictions,
    "plane_networks": plane_networks,
    "localised": boxes,
    "attention": attention,
}


def of_claims(**changed):
    """All that a run at the paper's scale has."""
    twice = {"planes": predictions(seeds=(1, 2)), "localised": boxes(seeds=(1, 2))}
    return claim_tables(names=NAMES, **{name: made() for name, made in MADE.items()} | twice | changed)


def table1(scores, facts=None):
    return scan_tables.table1(scores, networks() if facts is None else facts, PAPER["volumes"], COUNTS).set_index(
        "Quantity"
    )


def table2(scores):
    return scan_tables.table2(scores, networks(), PAPER["volumes"]).set_index("Method")


# ------------------------------------------------------------------------------------------------- the paper's numbers


def in_paper(number):
    """The cells of one of the paper's tables, without the names of columns, as ours are printed."""
    text = TEXT.read_text(encoding="utf-8").split(f"**Table {number}**")[1].split("\n**Table ")[0]
    text = text.replace("( <b>", "(<b>").replace("</b> )", "</b>)").replace("<b>", "⟦").replace("</b>", "⟧")
    text = re.sub(r"\$|</?[iu]>", "", re.sub(r" *(±|\\pm) *", " ± ", text))
    text = re.sub(r"(?<![\w.])\.(?=\d)", "0.", re.sub(r"(?<=\d)M\n", " M\n", text))
    return [line.split("\t") for line in text.splitlines() if "\t" in line][1:]


def of_paper(table, *columns):
    """Those of its columns that are the paper's, as rows."""
    named = [f"{column}, paper" for column in columns] or [name for name in table if name.endswith(", paper")]
    return table[named].to_numpy().tolist()


@pytest.mark.skipif(not TEXT.exists(), reason="needs the paper's text")
def test_the_papers_numbers_are_the_papers():
    """Every cell of all its tables, in bold where it is."""
    first = table1(volumes())
    splits = [name.split(", ")[1] for name in first if name.endswith(", paper")]
    assert [splits, *of_paper(first[~first.index.str.contains("released")])] == [line[1:] for line in in_paper(1)]
    assert of_paper(table2(volumes()))[2:] == [line[1:] for line in in_paper(2)]
    assert of_paper(scan_tables.table3(pancreas(), PAPER["pancreas"])) == [line[2:] for line in in_paper(3)]
    fourth = scan_tables.table4(pancreas(), PAPER["published"], "ours", 10)[:9]
    assert fourth.iloc[:, 2:5].to_numpy().tolist() == [line[2:] for line in in_paper(4)]
    names = [re.findall(r"\w+", name) for name in fourth.Method]
    assert names == [re.findall(r"\w+", line[0]) for line in in_paper(4)]
    fifth = plane_tables.table5(predictions(), NAMES, plane_networks(), PAPER["planes"])
    printed = ("Accuracy", "F1", "Precision", "Recall", "Fwd/bwd (ms)", "Parameters")
    assert of_paper(fifth, *printed) == [line[1:] for line in in_paper(5)]
    assert [f"-{maps}" for (maps,) in of_paper(fifth, "Maps")] == [
        re.search(r"-\d+", line[0])[0] for line in in_paper(5)
    ]
    sixth = plane_tables.table6(predictions(), NAMES, PAPER["classes"])
    assert [[name, *cells] for name, cells in zip(NAMES, of_paper(sixth), strict=True)] == in_paper(6)
    seventh = plane_tables.table7(boxes(), PAPER["boxes"])[:13]
    assert [[name, *cells] for name, cells in zip(seventh.Plane, of_paper(seventh), strict=True)] == in_paper(7)


def test_the_papers_numbers_are_complete():
    """Sums of what the paper prints, added up by hand."""
    of = PAPER["volumes"]
    assert tuple(of) == tuple(VOLUME_ARMS)[:6]
    assert sum(arm["pancreas"]["dice"][0] for arm in of.values()) == pytest.approx(4.808)
    assert sum(arm["pancreas"]["surface"][1] for arm in of.values()) == pytest.approx(13.076)
    assert sum(len(number) == 3 for arm in of.values() for number in arm["pancreas"].values()) == 6
    assert tuple(PAPER["pancreas"]) == tuple(PANCREAS_ARMS)[:6]
    assert sum(arm["recall"][0] for arm in PAPER["pancreas"].values()) == pytest.approx(4.813)
    assert sum(line[2] for line in PAPER["published"]["quoted"]) == pytest.approx(702.4)
    assert sum(size["f1"] for of in PAPER["planes"].values() for size in of.values()) == pytest.approx(5.537)
    assert np.mean([plane["precision"][0] for plane in PAPER["classes"].values()]) == pytest.approx(0.9155)
    assert sum(plane[0] for plane in PAPER["boxes"].values()) == pytest.approx(7.04)


# -------------------------------------------------------------------------------------------------------------- scans


def test_table1_has_the_papers_rows_and_ours_beside_its_numbers():
    table = table1(volumes())
    measures = ("DSC", "Precision", "Recall", "S2S (mm)", "S2S as released (mm)")
    rest = ["Spleen DSC", "Kidneys DSC", "Parameters", "Inference time"]
    assert list(table.index) == [*(f"Pancreas {measure}" for measure in measures), *rest]
    titles = ["U-Net, 24/6", "U-Net, 120/30", "Attention U-Net, 24/6", "Attention U-Net, 120/30"]
    titles += ["U-Net, 6/10", "U-Net, 30/120", "Attention U-Net, 6/10", "Attention U-Net, 30/120"]
    assert list(table) == [f"{title}, {of}" for title, of in zip(titles, ("ours", "paper") * 4, strict=True)]
    assert table.loc["Pancreas DSC", "U-Net, 24/6, ours"] == f"0.817 ± {SD:.3f}"  # .814, and .003 of SPREAD
    assert table.loc["Pancreas DSC", "Attention U-Net, 24/6, ours"] == f"⟦0.843 ± {SD:.3f}⟧"
    assert table.loc["Pancreas DSC", "Attention U-Net, 120/30, paper"] == "⟦0.840 ± 0.087⟧"
    assert table.loc["Kidneys DSC", "U-Net, 6/10, ours"] == f"0.951 ± {SPREAD.std(ddof=1):.3f}"  # of ten scans
    assert table.loc["Pancreas S2S (mm)", "Attention U-Net, 6/10, ours"].startswith("⟦3.507")  # the shorter
    released = table.loc["Pancreas S2S as released (mm)"]
    assert released["U-Net, 24/6, ours"] == "1.179 ± 0.000" and released["U-Net, 120/30, paper"] == ""
    assert table.loc["Parameters", "Attention U-Net, 24/6, ours"] == "6.47 M"
    assert table.loc["Inference time"].tolist()[:4] == ["0.25 s", "0.167 s", "0.25 s", "0.179 s"]


@pytest.mark.parametrize(
    ("gain", "bold"),
    [
        ([0.01, 0.02, 0.01, 0.03, 0.02, 0.01], "attention"),
        ([-0.01, -0.02, -0.03, -0.04, -0.05, -0.06], "unet"),
        ([0.03, 0.01, -0.01, 0.02, 0.01, -0.02], None),
        ([0, 0, 0, 0, 0, 0], None),
    ],
)
def test_bold_is_the_better_network_only_if_the_test_tells_them_apart(gain, bold):
    scores = pd.DataFrame(rows("unet", "pancreas", MEANS) + rows("attention", "pancreas", MEANS))
    by = pd.Series(gain, [f"c{k}" for k in range(TESTED)])
    gained = scores.case.map(by).where(scores.arm == "attention", 0)
    scores = scores.assign(dice=scores.dice + gained, surface=scores.surface + gained)
    if any(gain):
        assert (wilcoxon(gain, method="asymptotic").pvalue <= 0.05) == (bold is not None)
    of = {"unet": "U-Net, 24/6, ours", "attention": "Attention U-Net, 24/6, ours"}
    table = table1(scores)
    assert {arm for arm in of if "⟦" in table.loc["Pancreas DSC", of[arm]]} == ({bold} if bold else set())
    other = {"unet": "attention", "attention": "unet"}.get(bold)  # of distances the shorter is the better
    assert {arm for arm in of if "⟦" in table.loc["Pancreas S2S (mm)", of[arm]]} == ({other} if bold else set())


def test_seeds_are_averaged_before_the_test_and_the_deviation():
    """Three scans and four seeds are three pairs, of which no test makes anything."""
    scores = rows("unet", "pancreas", MEANS, range(3), (1, 2, 3, 4))
    scores += rows("attention", "pancreas", MEANS | {"dice": [0.85]}, range(3), (1, 2, 3, 4))
    table = table1(pd.DataFrame(scores))
    sd = SPREAD[:3].std(ddof=1)
    assert table.loc["Pancreas DSC", "Attention U-Net, 24/6, ours"] == f"0.833 ± {sd:.3f}"


def test_table1_of_structures_that_the_paper_lacks_has_all_measures_and_none_of_its_columns():
    table = table1(volumes(structures=("anterior", "posterior")))
    assert list(table.index[:5]) == [f"Anterior {title}" for title in scan_tables.MEASURES.values()]
    assert len(table) == 12 and all(column.endswith("ours") for column in table) and table.shape[1] == 4
    assert table.loc["Posterior Precision", "U-Net, 6/10, ours"] == f"0.700 ± {SPREAD.std(ddof=1):.3f}"


def test_table1_of_some_structures_of_the_papers_has_its_numbers_for_these():
    table = table1(volumes(structures=("pancreas", "cancer")))
    assert list(table.index) == [
        *(f"{name} {title}" for name in ("Pancreas", "Cancer") for title in scan_tables.MEASURES.values()),
        "Parameters",
        "Inference time",
    ]
    assert table.loc["Cancer DSC", "U-Net, 120/30, paper"] == ""


def test_what_was_not_run_or_measured_is_empty():
    table = table1(volumes(("unet", "unet-quarter")), networks(np.nan).iloc[:1])
    assert (table.filter(regex="^Attention.*ours") == "").all(axis=None)
    assert table.loc["Parameters"].tolist()[::2] == ["5.89 M", "", "", ""]
    assert table.loc["Inference time"].tolist()[::2] == [""] * 4 and table.loc["Inference time"].iloc[1] == "0.167 s"
    assert table.loc["Pancreas DSC", "U-Net, 6/10, ours"].startswith("0.741")


def test_a_scan_without_a_distance_does_not_count():
    scores = volumes(("unet", "attention"))
    scores.loc[(scores.case != "c0") | (scores.arm == "attention"), "contour"] = np.nan
    table = table1(scores)
    assert table.loc["Pancreas S2S as released (mm)"].tolist()[:3:2] == ["1.179", ""]
    scores = volumes()
    scores.loc[(scores.case == "c9") & (scores.arm == "unet-quarter"), "contour"] = np.nan
    of_nine = table1(scores).loc["Pancreas S2S as released (mm)"]
    assert of_nine["Attention U-Net, 6/10, ours"] == "⟦1.754 ± 0.000⟧"


def test_table2_repeats_table1_and_tests_dice_against_the_attention_unet():
    scores = volumes()
    scores.loc[(scores.arm == "unet-huge") & (scores.case == "c1"), "dice"] += 0.1
    table = table2(scores)
    assert list(table.index) == [GATES_NAMES[arm] for arm in ("unet", "attention", "unet-matched", "unet-huge")]
    assert set(table.Structure) == {"pancreas"}
    assert table["DSC, ours"].iloc[1] == f"0.843 ± {SD:.3f}" and table["DSC, paper"].iloc[2] == "0.821 ± 0.119"
    assert table["S2S (mm), ours"].iloc[2] == f"2.386 ± {SD:.3f}" and table["Recall, paper"].iloc[3] == "0.807 ± 0.121"
    assert table["Parameters, ours"].tolist() == ["5.89 M", "6.47 M", "6.44 M", "10.4 M"]
    assert table["Inference time, paper"].tolist() == ["0.167 s", "0.179 s", "0.191 s", "0.222 s"]
    gain = np.round([0.015, -0.085, 0.015, 0.015, 0.015, 0.015], 3)
    p = wilcoxon(gain, method="asymptotic").pvalue
    assert table["p, ours"].iloc[1] == "" and table["p, ours"].iloc[3] == f"{p:.2g}"
    assert "S2S as released (mm), ours" in table and "S2S as released (mm), paper" not in table


def test_table2_of_other_structures_has_each_and_no_columns_of_the_papers():
    table = scan_tables.table2(volumes(("unet",), ("anterior", "posterior")), networks(), PAPER["volumes"])
    assert table.Structure.tolist() == ["anterior"] * 4 + ["posterior"] * 4
    assert not any(column.endswith("paper") for column in table)
    assert (table["Recall, ours"] == "").sum() == 6 and (table["p, ours"] == "").all()


def test_table3_has_three_trainings_and_what_was_not_run_is_empty():
    table = scan_tables.table3(pancreas(("unet-scratch", "attention-scratch", "attention-fold0")), PAPER["pancreas"])
    assert table.Training.tolist() == ["BFT", "BFT", "AFT", "AFT", "SCR", "SCR"]
    assert table.Method.tolist() == ["U-Net", "Attention U-Net"] * 3
    assert (table.filter(like="ours")[:4] == "").all(axis=None) and (table.filter(like="paper") != "").all(axis=None)
    last = table.iloc[5]
    assert last["DSC, ours"] == f"⟦0.824 ± {SD:.3f}⟧" and last["DSC, paper"] == "0.821 ± 0.057"
    assert last["Precision, ours"] == f"0.818 ± {SD:.3f}" and last["S2S as released (mm), ours"] == "⟦1.167 ± 0.000⟧"
    whole = scan_tables.table3(pancreas(), PAPER["pancreas"])
    assert whole["Recall, ours"].iloc[2:4].tolist() == [f"0.831 ± {SD:.3f}", f"⟦0.843 ± {SD:.3f}⟧"]


def test_table4_quotes_and_pools_the_folds():
    table = scan_tables.table4(pancreas(), PAPER["published"], "Pancreas-CT (synthetic)", 10)
    assert (table.From[:9] == "quoted from the paper, not run here").all()
    assert table.iloc[9].tolist() == ["Attention U-Net", "CT-82", "81.48 ± 6.23", "-", "5-CV", "the paper's own"]
    ours = f"81.50 ± {100 * SPREAD.std(ddof=1):.2f}"  # each of the ten scans once
    assert table.iloc[10].tolist() == ["Attention U-Net", "Pancreas-CT (synthetic)", ours, "8/2", "5 of 5-CV", "ours"]
    two = scan_tables.table4(
        pancreas(("attention-fold1", "attention-fold0", "attention-tuned")), PAPER["published"], "", 9
    )
    mean, sd = 81.5 + 100 * SPREAD[:4].mean(), 100 * SPREAD[:4].std(ddof=1)
    assert two.iloc[10, 2:5].tolist() == [f"{mean:.2f} ± {sd:.2f}", "7/2", "2 of 5-CV"]
    none = scan_tables.table4(pancreas(("unet-tuned",)), PAPER["published"], "", 9)
    assert none.iloc[10, 2:5].tolist() == ["", "", ""]


def test_beyond_compares_what_is_asked_by_structure():
    table = scan_tables.beyond(volumes(), networks())
    assert table.Structure.tolist() == [name for name in ("spleen", "pancreas", "kidneys") for _ in range(3)]
    assert table.Method.tolist()[:3] == [GATES_NAMES[arm] for arm in ("attention", "asked_attention", "asked_inside")]
    assert table.DSC[1:3].tolist() == [f"0.803 ± {SD:.3f}", f"0.903 ± {SD:.3f}"]
    assert table.loc[4, ["Precision", "Recall"]].tolist() == [f"0.703 ± {SD:.3f}", f"0.903 ± {SD:.3f}"]
    p = wilcoxon(np.full(TESTED, 0.1), method="asymptotic").pvalue
    assert table.p[1:3].tolist() == ["", f"{p:.2g}"]
    assert table.Parameters.tolist()[:3] == ["6.47 M", "0.0921 M", "0.0935 M"]
    assert (scan_tables.beyond(volumes(("attention",)), networks()).p == "").all()


def test_beyond_has_other_gates_where_they_were_run_against_the_attention_unet():
    table = scan_tables.beyond(volumes(("attention", "attention-global"), ["pancreas"]), networks())
    assert table.Method.tolist()[3:] == ["Attention U-Net, gated by one vector"]
    p = wilcoxon(np.full(TESTED, 0.04), method="asymptotic").pvalue  # .840 of the paper's, .8 of ours
    assert table.p.tolist() == ["", "", "", f"{p:.2g}"]
    assert {*CHOICES, *PLANE_CHOICES} <= {*GATES_NAMES} and not {*CHOICES} & {*TABLED}


# ------------------------------------------------------------------------------------------------------------- planes


def test_class_scores_are_those_counted_by_hand_and_scikit_learns():
    """Of 40 frames 4 are missed and 6 others are taken for the plane; of 520 of the background 78 are."""
    planes = predictions()
    of = plane_tables.class_scores(planes, NAMES).set_index(["method", "size", "seed", "plane"])
    kidneys, background = of.loc[("sononet", "small", 1, "Kidneys")], of.loc[("sononet", "small", 1, "Background")]
    assert kidneys.tolist() == pytest.approx([36 / 42, 36 / 40, 72 / 82])
    assert background.tolist() == pytest.approx([442 / 494, 442 / 520, 2 * 442 / (494 + 520)])
    for (method, width), size in product({key: 0 for key in ERRORS}, ("small", "medium", "large")):
        if WIDTHS.index(width) == plane_tables.SIZES.index(size):
            part = planes[(planes.method == method) & (planes.width == width)]
            assert of.loc[(method, size)].f1.mean() == pytest.approx(f1_score(part.plane, part.found, average="macro"))


def test_table5_has_sizes_by_width_and_means_over_seeds():
    planes = predictions(seeds=(1, 2))
    table = plane_tables.table5(planes, NAMES, plane_networks(), PAPER["planes"]).set_index("Method")
    sizes = ("small", "medium", "large")
    assert list(table.index) == [f"{name}, {size}" for size in sizes for name in ("Sononet", "AG-Sononet")]
    assert table["Maps, ours"].tolist() == ["2", "2", "4", "4", "8", "8"]
    row = table.loc["AG-Sononet, medium"]
    runs = [planes[(planes.method == "ag_sononet") & (planes.width == 4) & (planes.seed == seed)] for seed in (1, 2)]
    for title, of in (("Precision", precision_score), ("Recall", recall_score), ("F1", f1_score)):
        values = [of(run.plane, run.found, average="macro") for run in runs]
        assert row[f"{title}, ours"] == f"⟦{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}⟧"
    values = [accuracy_score(run.plane, run.found) for run in runs]
    assert row["Accuracy, ours"] == f"⟦{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}⟧"
    assert not any("⟦" in cell for cell in table.loc["Sononet, medium"])
    assert row["Fwd/bwd (ms), ours"] == "1.50/3.00" and row["Fwd/bwd (ms), paper"] == "1.94/5.13"
    assert row["Parameters, ours"] == "0.701 M" and row["Parameters, paper"] == "0.70 M"
    assert table.loc["Sononet, large", "Recall, paper"] == "⟦0.938⟧"


def test_table5_with_one_size_one_network_and_no_times():
    planes = predictions({("ag_sononet", 2): (2, 3)})
    table = plane_tables.table5(planes, NAMES, plane_networks(np.nan)[3:], PAPER["planes"]).set_index("Method")
    ours = table.filter(like="ours")
    assert (ours.drop(index="AG-Sononet, small") == "").all(axis=None) and "⟦" not in "".join(ours.iloc[1])
    assert ours.loc["AG-Sononet, small", "Fwd/bwd (ms), ours"] == "" and ours["Parameters, ours"].iloc[1] == "0.178 M"
    assert ours["Accuracy, ours"].iloc[1] == f"{1 - 13 * 5 / 1040:.3f}"


def test_chance_is_the_commonest_plane_however_often_it_was_tested():
    said = plane_tables.chance(predictions(seeds=(1, 2)), NAMES)
    f1 = f1_score(*predictions({("sononet", 2): (0, 40)})[["plane", "found"]].to_numpy().T, average="macro")
    assert said.startswith(" Chance, always Background: accuracy 0.500 [0.475, 0.525] of 1040 frames")
    assert said.endswith(f"F1 {f1:.3f}.")
    assert plane_tables.chance(predictions().iloc[:0], NAMES) == ""


def test_table5_makes_neither_bold_where_both_print_the_same():
    even = {("sononet", 2): (2, 2), ("ag_sononet", 2): (2, 2)}
    table = plane_tables.table5(predictions(even), NAMES, plane_networks(), PAPER["planes"])
    assert "⟦" not in "".join(table.filter(like="ours").to_numpy().ravel())


def test_planes_without_test_frames_do_not_count_and_one_never_found_has_precision_0():
    planes = predictions({("sononet", 2): (0, 40), ("ag_sononet", 2): (0, 0)}, planes=range(5))
    scores = plane_tables.class_scores(planes, NAMES)
    assert list(scores.plane.unique()) == [*NAMES[:5], "Background"]
    assert scores[(scores.method == "sononet") & (scores.plane == "Lips")][["precision", "f1"]].sum(axis=None) == 0
    table = plane_tables.table6(planes, NAMES, PAPER["classes"]).set_index("Plane")
    assert table.loc["Lips", "Precision, ours"] == "1.000 (⟦1.000⟧)" and table.loc["Kidneys", "Recall, ours"] == ""


def test_table6_is_of_the_smallest_size_with_gains_in_brackets():
    table = plane_tables.table6(predictions(), NAMES, PAPER["classes"]).set_index("Plane")
    assert list(table.index) == NAMES
    kidneys = table.loc["Kidneys"]
    assert kidneys["Precision, ours"] == f"{37 / 39:.3f} (⟦{37 / 39 - 36 / 42:.3f}⟧)"
    assert kidneys["Recall, ours"] == "0.925 (⟦0.025⟧)" and kidneys["Recall, paper"] == "0.902 (0.003)"
    assert table.loc["Femur", "F1, paper"] == "0.975 (0.007)"
    worse = {("sononet", 3): (0, 0), ("ag_sononet", 3): (0, 1), **{key: (9, 9) for key in ERRORS if key[1] == 8}}
    other = plane_tables.table6(predictions(worse), ["Head", *NAMES[1:]], PAPER["classes"]).set_index("Plane")
    assert other.loc["Head"].tolist()[1::2] == [""] * 3  # the paper knows no such plane
    assert other.loc["Head"].tolist()[::2] == ["1.000 (0.000)", "0.975 (-0.025)", f"{78 / 79:.3f} (-0.013)"]
    alone = plane_tables.table6(predictions({("ag_sononet", 2): (2, 3)}), NAMES, PAPER["classes"])
    assert (alone.filter(like="ours") == "").all(axis=None)


def test_a_gain_of_nothing_has_no_sign():
    assert plane_tables._gain(0.5, -0.0004) == "0.500 (0.000)"
    assert plane_tables._gain(0.5, 0.02) == "0.500 (0.020)" and plane_tables._gain(0.5, 0.0201) == "0.500 (⟦0.020⟧)"


def test_table7_is_that_of_localisation_beside_the_papers_with_the_mean_of_planes():
    table = plane_tables.table7(boxes().iloc[[0, 3]], PAPER["boxes"]).set_index("Plane")
    assert list(table.index) == [*PAPER["boxes"], "Mean"]
    sd = np.std([0, 0.2], ddof=1)
    lips = ["2", f"0.42 ({sd:.2f})", "0.42 (0.18)", "0.50", "0.36", "1.00", "0.60", "0.30"]
    assert table.loc["Lips"].tolist() == lips
    assert table.loc["Kidneys"].tolist() == ["", "", "0.73 (0.13)", "", "0.92", "", "0.98", ""]
    theirs = (7.04 / 13, 7.70 / 13, 10.58 / 13)
    assert table.loc["Mean"].tolist()[2:7:2] == [f"{mean:.2f}" for mean in theirs]
    assert table.loc["Mean"].tolist()[:2] == ["4", f"{(0.69 + 0.42) / 2:.2f}"]
    other = plane_tables.table7(boxes().iloc[:1].assign(plane="Head", sd=np.nan), PAPER["boxes"]).set_index("Plane")
    assert list(other.index) == [*PAPER["boxes"], "Head", "Mean"]
    assert other.loc["Head"].tolist() == ["2", "0.69", "", "1.00", "", "1.00", "", "0.30"]
    twice = plane_tables.table7(boxes(seeds=(1, 2)), PAPER["boxes"]).set_index("Plane")
    assert twice.loc["Lips"].tolist() == lips  # the mean over seeds


def test_all_tables_can_be_written_with_nothing_run(tmp_path):
    scans, planes = volumes().iloc[:0], predictions().iloc[:0]
    one = {"volumes": pd.DataFrame(rows("unet-huge", "pancreas", MEANS, (0,)))}
    made = {
        "table1": scan_tables.table1(one["volumes"], networks().iloc[:0], PAPER["volumes"], COUNTS),
        "table2": scan_tables.table2(one["volumes"], networks().iloc[:0], PAPER["volumes"]),
        "table3": scan_tables.table3(scans, PAPER["pancreas"]),
        "table4": scan_tables.table4(scans, PAPER["published"], "CT", 0),
        "table5": plane_tables.table5(planes, NAMES, plane_networks().iloc[:0], PAPER["planes"]),
        "table6": plane_tables.table6(planes, NAMES, PAPER["classes"]),
        "table7": plane_tables.table7(boxes().iloc[:0], PAPER["boxes"]),
        "beyond": scan_tables.beyond(one["volumes"], networks().iloc[:0]),
    }
    notes = scan_tables.NOTES | plane_tables.PLANE_NOTES
    assert made.keys() == notes.keys()
    for name, table in made.items():
        assert table.map(lambda cell: isinstance(cell, str)).all(axis=None), name
        tables.write(table, tmp_path, name, "A title", tables.Origin("demo", "CT (synthetic)"), notes[name])


# ------------------------------------------------------------------------------------------------------------- claims


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("unet-quarter", "spleen", "dice"), "unet_quarter_spleen_dice"),
        (("ag_sononet", "small", "Spine (Cor.)", "f1"), "ag_sononet_small_spine_cor_f1"),
        (("unet", "left atrium", "dice"), "unet_left_atrium_dice"),
        (("contrast", 5), "contrast_5"),
    ],
)
def test_identifiers(parts, name):
    assert identifier(*parts) == name and name.isidentifier()


def test_claim_tables_are_indexed_by_seed_and_unit_in_per_cent_and_mm():
    found = of_claims()
    assert found["volumes"].loc[(1, "c2"), "unet_pancreas_dice"] == pytest.approx(
        80.9
    )  # SPREAD is 0, the seed .005 off
    assert found["volumes"].loc[(2, "c2"), "attention_quarter_pancreas_surface"] == pytest.approx(3.512)
    assert found["volumes"].loc[(1, "c2"), "attention_pancreas_contour"] == pytest.approx(0.96)
    assert found["volumes"].loc[(1, "c2"), "attention_pancreas_recall"] == pytest.approx(83.6)
    average = np.mean([0.814, 0.962, 0.963]) * 100 - 0.5
    assert found["volumes"].loc[(1, "c2"), "unet_average_dice"] == pytest.approx(average)
    assert np.isnan(found["volumes"].loc[(1, "c8"), "unet_spleen_dice"])  # a training scan of this one
    assert found["pancreas"].loc[(2, "c8"), "attention_folds_pancreas_dice"] == pytest.approx(82.5)
    assert found["pancreas"].attention_folds_pancreas_recall.notna().sum() == 20  # ten scans, two seeds
    assert found["networks"].loc[(0, "all"), "unet_matched_parameters"] == 6444328
    of_sononet = found["plane_networks"].loc[(0, "all"), ["sononet_medium_parameters", "ag_sononet_large_backward_ms"]]
    assert of_sononet.tolist() == [647914, 3]
    planes = found["planes"].loc[(1, "all")]
    assert planes.sononet_small_background_recall == pytest.approx(85)
    assert planes.ag_sononet_small_4ch_precision == pytest.approx(3700 / 39)
    assert planes.sononet_small_accuracy == pytest.approx(100 * (1 - 130 / 1040))
    assert planes.sononet_small_recall == pytest.approx((13 * 90 + 85) / 14)
    assert planes.ag_sononet_small_support == pytest.approx(25) and "sononet_small_support" not in planes
    assert found["boxes"].loc[(1, "all"), ["iou", "constant_iou"]].tolist() == pytest.approx([704 / 13 - 0.1, 30])
    assert [len(found[name]) for name in ("planes", "boxes")] == [2, 2]  # one row a network
    of_c1 = found["attention"].loc[(1, "c1"), ["inside_3", "outside_3", "contrast_3"]]
    assert of_c1.tolist() == pytest.approx([95, 74.9, 20.1])
    assert found["attention"].loc[(1, "c1"), ["fine_3", "middle_3", "coarse_3"]].tolist() == pytest.approx([30, 15, 1])
    assert all(table.index.nlevels == 2 and table.columns.is_unique for table in found.values())


def test_the_papers_own_numbers_hold_and_every_claim_speaks_of_what_a_full_run_has():
    found = of_claims()
    assert {claim["table"] for claim in CONTENT["claims"]} == found.keys()
    assert lacking(CONTENT, found) <= NOT_RUN
    assert 3 <= sum(claim.get("central", False) for claim in CONTENT["claims"]) <= 8
    judged = {name: verdict for name, verdict in verdicts(CONTENT, found).items() if "not run" not in verdict}
    assert judged.pop("few-parameters") == "contradicted"  # the released code has 10 % more, not the paper's 8 %
    timed = {"little-time", "gates-cost-time", "localisation-is-cheap"}
    assert {name for name, verdict in judged.items() if verdict == "undecided"} == timed
    assert set(judged.values()) == {"reproduced", "reproduced (one seed)", "undecided"}


def test_effects_are_the_papers_numbers():
    def points(number, measure):
        return number[:2] if measure == "surface" else [round(100 * part, 1) for part in number[:2]]

    volumes = {
        identifier(arm, structure, measure): points(number, measure)
        for arm, of in PAPER["volumes"].items()
        for structure, measures in of.items()
        if isinstance(measures, dict)
        for measure, number in measures.items()
    }
    pancreas = {
        identifier(arm, "pancreas", measure): points(number, measure)
        for arm, measures in PAPER["pancreas"].items()
        for measure, number in measures.items()
    }
    structures = ("pancreas", "spleen", "kidneys")
    for arm, of in PAPER["volumes"].items():
        if set(structures) <= of.keys():
            mean = np.mean([100 * of[structure]["dice"][0] for structure in structures])
            volumes[identifier(arm, "average", "dice")] = [mean]
    pancreas["attention_folds_pancreas_dice"] = PAPER["published"]["own"]
    planes = {
        identifier(name, size, measure): [100 * of[measure]]
        for name, sizes in PAPER["planes"].items()
        for size, of in sizes.items()
        for measure in ("accuracy", "f1", "precision", "recall")
    }
    for plane, of in PAPER["classes"].items():
        for measure, (ours, gain) in of.items():
            planes[identifier("ag_sononet_small", plane, measure)] = [100 * ours]
            planes[identifier("sononet_small", plane, measure)] = [100 * (ours - gain)]
    columns = {"iou": 0, "correct": 2, "relative": 3}
    boxes = {name: [100 * np.mean([of[place] for of in PAPER["boxes"].values()])] for name, place in columns.items()}
    paper = {"volumes": volumes, "pancreas": pancreas, "planes": planes, "boxes": boxes}
    assert wrong_effects(CONTENT, paper, without_sd=["spleen-suffers-from-few-scans", "folds-like-split"]) == []
    tested = {
        (c["effect"]["n"], "quarter" in c["expression"], c["table"])
        for c in CONTENT["claims"]
        if "n" in c.get("effect", [])
    }
    assert tested == {(120, True, "volumes"), (30, False, "volumes"), (21, False, "pancreas")}


def test_claims_fail_where_gates_change_nothing():
    even = {arm: MEANS for arm in (*VOLUME_ARMS, *PANCREAS_ARMS)}
    same = pd.DataFrame(
        row
        for (arm, means), structure in product(even.items(), ("spleen", "pancreas", "kidneys"))
        for row in rows(arm, structure, means)
    )
    found = verdicts(
        CONTENT,
        of_claims(
            volumes=same[same.arm.isin(VOLUME_ARMS)],
            pancreas=same[same.arm.isin(PANCREAS_ARMS) & (same.structure == "pancreas")],
            networks=networks().assign(parameters=[1, 2, 1, 1, 1, 1, 1, 1], seconds=[1, 2, 1, 1, 1, 1, 1, 1]),
            planes=predictions(dict.fromkeys(ERRORS, (2, 2)), seeds=(1, 2)),
            plane_networks=plane_networks().assign(parameters=1),
            localised=boxes(seeds=(1, 2)).assign(mean=0.3, correct=0.4, relative=0.6),
            attention=attention().assign(inside=0.5, outside=0.3, fine=0.1, coarse=0.1),
        ),
    )
    holding = {name for name, verdict in found.items() if verdict.startswith("reproduced")}
    no_worse = {"precision-unchanged", "kidneys-alike", "kidneys-alike-quarter", "folds-like-split"}
    assert holding == no_worse | {"gates-like-double-capacity", "gates-like-double-capacity-medium"}


def test_the_real_hippocampus_has_average_and_asked_only():
    """No pancreas to tune, no times, one size of classifiers: most is not run, and says so."""
    found = verdicts(
        CONTENT,
        of_claims(
            volumes=volumes(structures=("anterior", "posterior")),
            pancreas=pancreas(("unet-scratch", "attention-scratch")),
            networks=networks(np.nan),
            planes=predictions({key: of for key, of in ERRORS.items() if key[1] == 2}),
            localised=boxes().iloc[:0],
            attention=attention(3),
        ),
    )
    judged = {name for name, verdict in found.items() if "not run" not in verdict}
    assert judged == {
        "dice-rises-average",
        "dice-rises-average-quarter",
        "gates-beat-equal-capacity-average",
        "few-parameters",
        *(f"gates-from-scratch{end}" for end in ("", "-recall", "-distance")),
        *(f"gates-{measure}-small" for measure in ("precision", "f1", "accuracy")),
        "gain-is-precision",
        *(f"precision-of-{plane}" for plane in ("kidneys", "profile", "spine-cor", "spine-sag")),
        "cardiac-views-gain",
        "outflow-tracts-gain",
        "gates-cost-time",
        "localisation-is-cheap",
        "inside-beats-gates",
    }
    assert (
        found["little-time"] == "not run: this run has no unit with a value for 100 * unet_seconds / attention_seconds"
    )
    assert found["recall-rises"] == "not run: this run has no attention_pancreas_recall, unet_pancreas_recall"


def test_nothing_at_all_is_not_run():
    found = verdicts(CONTENT, of_claims(**{name: made().iloc[:0] for name, made in MADE.items()}))
    assert all(verdict.startswith("not run: ") for verdict in found.values())
