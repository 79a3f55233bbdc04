"""Tables and verdicts of the SDNet chapter, from scores made by hand."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, ttest_rel

from verdicts import lacking, verdicts, wrong_effects
from whereabouts.chapters.sdnet import claims as measured
from whereabouts.chapters.sdnet import figures, trained
from whereabouts.chapters.sdnet import tables as sdnet
from whereabouts.errors import InputError
from whereabouts.methods.sdnet import SDNET_ARMS, SDNET_METHODS, SDNET_NAMES, sdnet_arms
from whereabouts.paths import ROOT
from whereabouts.reporting import claims, tables

CONTENT = claims.read(ROOT / "claims" / "sdnet.yaml")
PAPER = CONTENT["tables"]
STRUCTURES = {"acdc": ("right ventricle", "myocardium", "left ventricle"), "qmri": ("myocardium", "left ventricle")}
SPREAD = np.array([-0.03, -0.01, 0, 0.01, 0.03, 0.04])  # of Dice over test subjects
SD = 100 * SPREAD.std(ddof=1)  # 2.6
NOT_RUN = {
    *(f"acdc.chartsias_2018_{percent}_slice" for percent in ("100", "1_5")),
    "factors.sdnet_c16_empty",
}
FOLDS = [0.7, 0.6, 0.9, 0.5], [0.9, 0.7, 0.7, 1.0]  # variance of four dimensions of z
AT_1_5 = {"unet": 0.2, "gan": 0.67, "self_train": 0.16, "sdnet": 0.73, "gan-labelled": 0.4, "sdnet-labelled": 0.5}


def rows(mean, spread=SPREAD, structures=("average",), seeds=(1,), fold=0, modality="MR", **facts):
    """Scores of both units, those of volumes .1 higher; seeds lie .01 apart, structures .02 above one another."""
    return [
        {
            "unit": unit,
            "subject": f"{modality}{fold}{i}",
            "modality": modality,
            "structure": structure,
            "dice": mean + number / 50 + offset + (unit == "volume") / 10 + (seed - np.mean(seeds)) / 100,
            "seed": seed,
            "fold": fold,
            **facts,
        }
        for unit, (number, structure), seed, (i, offset) in product(
            ("slice", "volume"), enumerate(structures), seeds, enumerate(spread)
        )
    ]


def scores(percents, data="acdc", folds=(0,), seeds=(1, 2)):
    """percent -> arm -> mean Dice of the average."""
    facts = {"structures": ("average", *STRUCTURES[data]), "unlabelled": "frames", "seeds": seeds}
    return pd.DataFrame(
        row
        for (percent, arms), fold in product(percents.items(), folds)
        for arm, mean in arms.items()
        for row in rows(mean, fold=fold, arm=arm, percent=percent, subjects=max(1, round(percent / 5)), **facts)
    )


def claim_tables(**changed):
    """All that a run at the paper's scale has, the paper's numbers where it has some."""
    dice = {p: {arm: of["avg"][0] / 100 for arm, of in arms.items()} for p, arms in PAPER["table1"].items()}
    for percent in dice:
        dice[percent] |= AT_1_5 if percent == 1.5 else {}
    dice[100] |= {arm: of["dice"][0] / 100 for arm, of in PAPER["factors"].items()} | {"sdnet-inside": 0.84}
    dice[100]["sdnet-z128"] = 0.80
    qmri = {p: {arm: of["avg"][0] / 100 for arm, of in arms.items()} for p, arms in PAPER["table2"].items()}
    return measured.claim_tables(
        **{
            "acdc": scores(dice),
            "qmri": scores(qmri, "qmri"),
            "mmwhs": mixtures(PAPER["table3"]),
            "volume_scores": areas(),
            "volumes": volumes(),
            "modality": accuracies(),
            "leak": leak(),
            "reconstruction": reconstruction(),
            "factors": variances(),
            "painted": painted(),
            "held": held(),
        }
        | changed
    )


def mixtures(paper):
    return pd.DataFrame(
        row
        for mixture, of in paper.items()
        for modality, (mean, _) in of.items()
        for row in rows(mean / 100, structures=("average", "left atrium"), modality=modality, mixture=mixture)
    )


def areas():
    structures = ("average", *STRUCTURES["qmri"])
    before, after = (rows(m, structures=structures, when=w) for m, w in ((0.756, "before"), (0.832, "after")))
    return pd.DataFrame(before + after)


def volumes():
    true, error = 139 + 100 * SPREAD, np.array([5.0, -5, 4, -4, 3, -3])
    return pd.DataFrame(
        {"subject": [f"MR0{i}" for i in range(6)], "predicted": true + error, "true": true, "seed": 1}, range(6)
    )


def accuracies():
    """z5 tells MR from CT; nothing alone tells BOLD. The order of the dimensions is not that of the accuracies."""
    alone = {
        "mmwhs": [0.5, 0.66, 0.42, 0.6, 0.82, 0.61, 0.55, 0.52],
        "bold": [0.5, 0.65, 0.47, 0.6, 0.5, 0.61, 0.5, 0.6],
    }
    whole = {"mmwhs": 0.92, "bold": 0.96}
    return pd.DataFrame(
        {"data": data, "seed": 1, "dimension": str(dimension), "accuracy": accuracy, "images": 50}
        for data in alone
        for dimension, accuracy in {"all": whole[data], **dict(enumerate(alone[data])), "chance": 0.52}.items()
    )


def variances():
    """The paper's, in an order that is not theirs."""
    dimensions = {"sdnet-base": 8, "sdnet-z4": 4, "sdnet-z32": 32, "sdnet-z128": 128}
    return pd.DataFrame(
        {"arm": arm, "seed": seed, "dimension": i, "variance": variance + (seed - 1.5) / 50}
        for arm, count in dimensions.items()
        for seed in (1, 2)
        for i, variance in enumerate([*[PAPER["factors"][arm]["rest"]] * (count - 2), *PAPER["factors"][arm]["least"]])
    )


def leak():
    r2 = {"sdnet-base": (0.1, 0.2, 0.3), "sdnet-inside": (0.5, 0.6, 0.4)}
    return pd.DataFrame(
        {"arm": arm, "seed": 1, "quantity": quantity, "r2": value}
        for arm, values in r2.items()
        for quantity, value in zip(("row", "column", "area"), values, strict=True)
    )


def reconstruction():
    error = {"sdnet-base": 0.1 + SPREAD / 10, "sdnet-inside": 0.08 + SPREAD / 20}
    return pd.DataFrame(
        {"arm": arm, "seed": 1, "subject": f"MR0{i}", "error": value}
        for arm, values in error.items()
        for i, value in enumerate(values)
    )


def painted(same=False):
    """A dark myocardium in a bright ventricle, which follow the channels; or no change at all."""
    brightness = {"myocardium": -0.4, "ventricle": 0.3, "merged_myocardium": 0.2}
    brightness |= {"swapped_myocardium": 0.25, "swapped_ventricle": -0.3}
    if same:
        brightness = {name: brightness["ventricle" if "ventricle" in name else "myocardium"] for name in brightness}
    facts = {"scale": "demo", "seed": 1, "correlated": 0.5 if same else 0.8}
    subjects = product((0, 1), range(3))
    return pd.DataFrame({**facts, "fold": k, "subject": f"MR{k}{i}", **brightness} for k, i in subjects)


def held(same=False):
    r2 = {"round": 0.6, "soft": 0.6 if same else 0.9}
    rows = product(r2.items(), (1, 2))
    return pd.DataFrame({"seed": seed, "fold": 0, "discrete": kind, "r2": of + seed / 100} for (kind, of), seed in rows)


# --------------------------------------------------------------------------------------------------------------- tables


def test_table1_has_ours_beside_the_papers_for_each_share_and_method():
    table = sdnet.table1(scores({100: dict.fromkeys(SDNET_METHODS, 0.8), 1.5: AT_1_5}), PAPER["table1"], "slice")
    structures = ("MYO", "LV", "RV", "avg")
    assert list(table.columns) == ["Labels", "Method", *(f"{s}, {of}" for s in structures for of in ("ours", "paper"))]
    labels = ["100 % (20 subjects)", "50 %", "25 %", "12.5 %", "6 %", "3 %", "1.5 % (1 subject)"]
    assert list(table.Labels.unique()) == labels
    assert list(table[table.Labels == "50 %"].Method) == [SDNET_NAMES[arm] for arm in SDNET_METHODS]
    last = table[table.Labels == labels[-1]].set_index("Method")
    assert list(last.index) == [SDNET_NAMES[arm] for arm in AT_1_5]
    assert last.loc["U-Net", "avg, ours"] == f"20.7 ± {SD:.1f}"  # 20 and the mean of SPREAD, .67
    assert last.loc["GAN", "RV, ours"] == f"69.7 ± {SD:.1f}"  # 2 above
    assert last.loc["GAN", "MYO, ours"] == f"71.7 ± {SD:.1f}"
    assert last.loc["SDNet, labelled masks only", "LV, ours"] == f"56.7 ± {SD:.1f}"
    assert last.loc["SDNet", ["MYO, paper", "avg, paper"]].tolist() == ["70 ± 12", "73 ± 12 ∗"]
    assert last.loc["SDNet, labelled masks only", "avg, paper"] == ""
    half = table[table.Labels == "50 %"]
    assert (half.filter(like="ours") == "").all(axis=None) and (half.filter(like="paper") != "").all(axis=None)


def test_table1_has_the_averaged_mask_last_which_is_no_rival():
    """Though it is the best."""
    table = sdnet.table1(scores({1.5: AT_1_5 | {"averaged_mask": 0.9}}), PAPER["table1"], "slice")
    last = table[table.Labels.str.startswith("1.5")].iloc[-1]
    assert last[["Method", "avg, ours", "avg, paper"]].tolist() == ["averaged mask", f"90.7 ± {SD:.1f}", ""]


def test_table1_by_volume_is_of_the_other_rows():
    table = sdnet.table1(scores({1.5: AT_1_5}), PAPER["table1"], "volume")
    assert table[table.Labels.str.startswith("1.5")]["avg, ours"].iloc[0] == f"30.7 ± {SD:.1f}"


def test_table2_is_the_same_for_two_structures_and_shows_a_share_that_the_paper_lacks():
    table = sdnet.table1(scores({6: {"unet": 0.4}, 40: {"gan": 0.6}}, "qmri"), PAPER["table2"], "slice")
    assert not any("RV" in column for column in table)
    assert list(table.Labels.unique()) == ["100 %", "50 %", "40 % (8 subjects)", "25 %", "12.5 %", "6 % (1 subject)"]
    of_40 = table[table.Labels == "40 % (8 subjects)"].set_index("Method")
    assert of_40.loc["GAN", "avg, ours"] == f"⟦60.7 ± {SD:.1f}⟧" and (of_40.filter(like="paper") == "").all(axis=None)


def test_a_subject_is_averaged_over_seeds_and_folds_are_pooled():
    found = scores({100: {"unet": 0.5}}, folds=(0, 1), seeds=(1, 2, 3))
    cell = sdnet.table1(found, PAPER["table1"], "slice")["avg, ours"].iloc[0]
    assert cell == f"⟦50.7 ± {100 * np.tile(SPREAD, 2).std(ddof=1):.1f}⟧"  # twelve subjects, not 36


@pytest.mark.parametrize(
    ("lead", "starred"),
    [
        ([0.01, 0.02, 0.01, 0.03, 0.02, 0.01], True),
        ([0.03, 0.01, -0.01, 0.02, 0.01, 0.01], False),  # p = 0.08
        ([0.1, 0, 0, 0, 0, 0], False),
    ],
)
def test_the_best_is_bold_and_starred_only_if_the_t_test_says_so(lead, starred):
    """SDNet leads GAN by `lead`; withheld masks are better than all, and are no rival."""
    facts = {"percent": 6.0, "subjects": 2}
    found = rows(0.6, SPREAD, arm="gan", **facts) + rows(0.6, SPREAD + lead, arm="sdnet", **facts)
    found += rows(0.3, SPREAD, arm="unet", **facts) + rows(0.9, SPREAD, arm="sdnet-labelled", **facts)
    assert (ttest_rel(SPREAD + lead, SPREAD).pvalue < 0.05) == starred
    table = sdnet.table1(pd.DataFrame(found), PAPER["table1"], "slice")
    cells = table[table.Labels == "6 % (2 subjects)"].set_index("Method")["avg, ours"]
    assert cells["SDNet"].startswith("⟦6") and cells["SDNet"].endswith("⟧ ∗" if starred else "⟧")
    assert "⟦" not in "".join(cells.drop("SDNet")) and "∗" not in "".join(cells.drop("SDNet"))


def test_subjects_of_folds_that_differ_are_both_told():
    found = scores({6: {"unet": 0.5}}, folds=(0, 1))
    found.loc[found.fold == 1, "subjects"] = 2
    assert sdnet.table1(found, PAPER["table1"], "slice").Labels.str.contains("6 % (1 or 2 subjects)", regex=False).any()


def test_table3_has_the_papers_mixtures_in_its_order():
    found = mixtures({"100-12.5": {"MR": (70, 0), "CT": (40, 0)}, "0-12.5": {"CT": (20, 0)}})
    masks = mixtures({"100-12.5": {"MR": (9, 0)}, "0-12.5": {"MR": (7, 0), "CT": (8, 0)}})
    table = sdnet.table3(found, masks, PAPER["table3"], "slice")
    blind = table[["MR test, averaged mask", "CT test, averaged mask"]].to_numpy().tolist()
    assert blind[1] == [f"9.7 ± {SD:.1f}", ""] and blind[4] == ["-", f"8.7 ± {SD:.1f}"]
    assert list(table["MR train"] + ", " + table["CT train"])[1:5] == [
        "100 %, 12.5 %",
        "12.5 %, 100 %",
        "12.5 %, 0 %",
        "0 %, 12.5 %",
    ]
    assert len(table) == 14
    ends = ["MR test, ours", "MR test, paper", "CT test, ours", "CT test, paper"]
    assert table.loc[1, ends].tolist() == [f"70.7 ± {SD:.1f}", "76 ± 3", f"40.7 ± {SD:.1f}", "56 ± 6"]
    assert table.loc[4, ends].tolist() == ["", "-", f"20.7 ± {SD:.1f}", "23 ± 7"]
    assert table.loc[0, ends].tolist() == ["", "78 ± 5", "", "80 ± 1"]
    assert sdnet.table3(found, masks, PAPER["table3"], "volume").loc[1, "MR test, ours"] == f"80.7 ± {SD:.1f}"


def test_lvv_compares_predicted_with_true_and_after_with_before():
    table = sdnet.lvv(areas(), volumes(), PAPER["lvv"]).set_index("Quantity")
    volume, dice = table.loc["Volume (mL): true, predicted"], table.loc["Dice, avg: before, after"]
    assert volume["First, ours"] == f"139.7 ± {SD:.1f}" and volume["p, ours"] == "1"  # the errors add up to 0
    assert volume[["First, paper", "Second, paper", "p, paper"]].tolist() == ["139.23 ± 2.26", "138.57 ± 8.8", "> 0.05"]
    assert dice[["First, ours", "Second, ours"]].tolist() == [f"76.3 ± {SD:.1f}", f"83.9 ± {SD:.1f}"]
    assert float(dice["p, ours"]) < 1e-9 and dice["Second, paper"] == "83.2"
    assert table.loc["Dice, LV: before, after", "First, ours"] == f"80.3 ± {SD:.1f}"


def test_modality_finds_the_best_dimension_of_each_training_and_counts_from_one():
    second = accuracies().assign(seed=2)
    second.loc[second.dimension == "2", "accuracy"] = 0.86
    table = sdnet.modality_table(pd.concat([accuracies(), second]), PAPER["modality"]).set_index("Modality")
    mmwhs = table.loc["MR or CT"]
    assert mmwhs["All of z, ours"] == "92.0 ± 0.0" and mmwhs["All of z, paper"] == "92"
    assert mmwhs["Best dimension alone, ours"] == f"84.0 ± {np.std([82, 86], ddof=1):.1f} (z5, z3)"
    assert mmwhs["Other dimensions alone, ours"] == "42.0 to 82.0"
    assert table.loc["cine or CP-BOLD", "Other dimensions alone, paper"] == "47 to 65"
    z = norm.ppf(0.95)  # Wilson's interval, by hand
    half = z * np.sqrt(50 * 0.52 * 0.48 + z * z / 4)
    only = sdnet.modality_table(accuracies().query("data == 'bold'"), PAPER["modality"]).set_index("Modality")
    assert only.loc["cine or CP-BOLD", "Best dimension alone, ours"] == "65.0 (z2)"
    low, high = (100 * (50 * 0.52 + z * z / 2 + side) / (50 + z * z) for side in (-half, half))
    assert only.loc["cine or CP-BOLD", "Chance, ours"] == f"52.0 [{low:.1f}, {high:.1f}], n = 50"
    assert (only.filter(like="ours").loc["MR or CT"] == "").all()


def test_factors_have_dice_and_the_least_variances():
    found = scores({100: {"sdnet-base": 0.84, "sdnet-z4": 0.8, "sdnet-soft": 0.7}, 6: {"sdnet": 0.1}})
    found.loc[(found.arm == "sdnet-z4") & (found.subject == "MR00"), "dice"] += 0.2
    table = sdnet.factors(found, variances(), PAPER["factors"]).set_index("Model")
    first = "SDNet, C = 8, n_z = 8"
    assert list(table.index) == [first, *(SDNET_NAMES[f"sdnet-{end}"] for end in ("c4", "z4", "z32", "z128", "soft"))]
    assert table.loc[first, "Dice, ours"] == f"84.7 ± {SD:.1f}" and table.loc[first, "p, ours"] == ""
    p = ttest_rel(0.8 + SPREAD + np.array([0.2, 0, 0, 0, 0, 0]), 0.84 + SPREAD).pvalue
    assert table.loc["SDNet, n_z = 4", "p, ours"] == f"{p:.2g}"
    sd = np.std([-0.01, 0.01], ddof=1)
    z128 = table.loc["SDNet, n_z = 128"]
    assert z128["Dice, ours"] == z128["p, ours"] == "" and z128["Dice, paper"] == "82 ± 6"
    assert z128["Least variances, ours"] == f"0.88 ± {sd:.2f}, 0.88 ± {sd:.2f}"
    assert z128["Mean of the others, ours"] == f"0.91 ± {sd:.2f}" and z128["Mean of the others, paper"] == "0.91"
    assert table.loc["SDNet, n_z = 4", "Least variances, ours"] == f"0.62 ± {sd:.2f}, 0.65 ± {sd:.2f}"
    assert (
        table.loc["SDNet, C = 4", "Dice, paper"] == "68.1 ± 8"
        and not table.loc["SDNet, C = 4"].filter(like="var").any()
    )
    assert table.loc["SDNet, s left soft", "Dice, ours"] == f"70.7 ± {SD:.1f}"


def test_variances_of_folds_are_not_mixed():
    """Two folds of one seed, without a column that tells them apart: the least two of each, not of both."""
    folds = [pd.DataFrame({"arm": "sdnet-base", "seed": 1, "dimension": range(4), "variance": v}) for v in FOLDS]
    found = sdnet.variances_of(pd.concat(folds, ignore_index=True))
    assert found["first"].tolist() == [0.5, 0.7] and found["second"].tolist() == [0.6, 0.7]
    assert found.rest.tolist() == pytest.approx([0.8, 0.95])


def test_beyond_compares_the_decoders():
    found = scores({100: {"sdnet-base": 0.8, "sdnet-inside": 0.8}})
    table = sdnet.beyond(found, leak(), reconstruction()).set_index("Decoder")
    assert table.loc["FiLM", "Reconstruction error"] == f"0.101 ± {SD / 1000:.3f}"
    assert table.loc["INSIDE"].filter(like="R²").tolist() == ["0.50", "0.60", "0.40"]
    p = ttest_rel(0.1 + SPREAD / 10, 0.08 + SPREAD / 20).pvalue
    assert table.loc["p"].tolist() == ["1", f"{p:.2g}", "", "", ""]


def test_all_tables_can_be_written_with_nothing_run(tmp_path):
    nothing = [
        frame.iloc[:0] for frame in (scores({6: AT_1_5}), mixtures({"0-100": {"CT": (7, 1)}}), areas(), volumes())
    ]
    made = [
        sdnet.table1(nothing[0], PAPER["table1"], "slice"),
        sdnet.table3(nothing[1], nothing[1], PAPER["table3"], "volume"),
        sdnet.lvv(nothing[2], nothing[3], PAPER["lvv"]),
        sdnet.modality_table(accuracies().iloc[:0], PAPER["modality"]),
        sdnet.factors(nothing[0], variances().query("arm == 'sdnet-base'"), PAPER["factors"]),
        sdnet.beyond(nothing[0], leak().iloc[:0], reconstruction().iloc[:0]),
    ]
    for number, table in enumerate(made):
        assert table.map(lambda cell: isinstance(cell, str)).all(axis=None)
        tables.write(table, tmp_path, f"table{number}", "A title", tables.Origin("demo", "ACDC (synthetic)"))


# --------------------------------------------------------------------------------------------------------------- claims


def test_the_papers_numbers_are_complete_and_plausible():
    assert list(PAPER["table1"]) == [100, 50, 25, 12.5, 6, 3, 1.5]
    assert all(tuple(of) == SDNET_METHODS for name in ("table1", "table2") for of in PAPER[name].values())
    assert list(PAPER["table2"]) == [100, 50, 25, 12.5, 6] and len(PAPER["table3"]) == 14
    for of in (*PAPER["table1"].values(), *PAPER["table2"].values(), PAPER["table3"]):
        for numbers in of.values():
            assert all(0 <= mean <= 100 and (not sd or sd[0] is None or sd[0] < 30) for mean, *sd in numbers.values())
    marks = [(p, s) for p, of in PAPER["table1"].items() for s, cell in of["sdnet"].items() if len(cell) == 3]
    assert marks == [(25, "MYO"), (25, "avg"), (6, "avg"), (3, "MYO"), (3, "LV"), (3, "avg"), (1.5, "avg")]
    assert sum(cell[0] for cell in PAPER["table3"].values() for cell in cell.values()) == 767 + 813  # MR, CT


def test_claim_tables_are_indexed_by_seed_and_unit_and_named_as_the_comments_say():
    found = claim_tables()
    assert found["acdc"].loc[(1, "0-MR02"), "sdnet_1_5_slice"] == pytest.approx(72.5)  # SPREAD is 0, the seed .005 off
    assert found["acdc"].loc[(2, "0-MR02"), "sdnet_labelled_1_5_volume"] == pytest.approx(60.5)
    assert found["spread"].loc[(2, "0"), "sdnet_1_5_slice"] == pytest.approx(SD)
    assert found["qmri"].loc[(1, "0-MR00"), "self_train_12_5_slice"] == pytest.approx(54.5)
    assert found["mmwhs"].loc[(1, "0-CT02"), "CT_100_12_5_slice"] == pytest.approx(56)
    assert np.isnan(found["mmwhs"].loc[(1, "0-CT02"), "MR_100_12_5_slice"])
    mean = 100 * SPREAD.mean()
    assert found["mixtures"].loc[(1, "0"), ["MR_100_0_slice", "CT_0_100_slice"]].tolist() == pytest.approx(
        [75 + mean, 77 + mean]
    )
    volume = found["volume"].loc[(1, "MR02")]
    of_average = {"before_slice": 75.6, "before_volume": 85.6, "after_slice": 83.2, "after_volume": 93.2}
    assert volume[[*of_average]].to_dict() == pytest.approx(of_average)
    assert volume[["true", "predicted"]].tolist() == [139, 143]
    ends = ["before_myocardium_slice", "after_left_ventricle_slice", "sdnet_50_slice"]
    assert volume[ends].tolist() == pytest.approx([77.6, 87.2, 83.5])
    told = {"mmwhs_all": 92, "mmwhs_best": 82, "mmwhs_second": 66, "mmwhs_chance": 52}
    told |= {"bold_all": 96, "bold_best": 65, "bold_second": 61, "bold_chance": 52}
    assert found["modality"].loc[(1, "all")].to_dict() == pytest.approx(told)
    least = found["factors"].groupby(level=0).mean().loc[2]
    assert least[["sdnet_base_first", "sdnet_base_second", "sdnet_z128_rest"]].tolist() == pytest.approx(
        [0.64, 0.74, 0.92]
    )
    of_second = found["painted"].loc[(1, "1-MR12"), ["correlated", "swapped_ventricle"]]
    assert of_second.tolist() == pytest.approx([80, -0.3])
    assert found["held"].loc[(2, 0)].to_dict() == pytest.approx({"round": 0.62, "soft": 0.92})
    assert found["leak"].loc[(1, 0)].to_dict() == pytest.approx({"sdnet_base": 0.2, "sdnet_inside": 0.5})
    assert found["reconstruction"].loc[(1, "MR02"), "sdnet_inside"] == pytest.approx(0.08)


def test_the_unit_of_what_describes_a_network_is_its_fold():
    """Three folds of one seed: an interval, where all of them as one number would have none."""
    folds = range(3)
    dice = scores({100: {"unet": 0.8, "sdnet": 0.8}}, folds=folds, seeds=(1,))
    dice["dice"] = dice.dice.where(dice.arm == "sdnet", 0.8 + 2 * (dice.dice - 0.8))  # twice the spread
    mixed = mixtures({"100-0": {"MR": (75, 0)}, "0-100": {"CT": (77, 0)}})
    mixed = pd.concat(mixed.assign(fold=k, dice=mixed.dice + k / 100) for k in folds)
    of_folds = {
        "factors": pd.concat(one[one.seed == 1] for one in (variances() for _ in folds)),
        "held": pd.concat(held()[lambda rows: rows.seed == 1].assign(fold=k) for k in folds),
        "leak": pd.concat(leak().assign(r2=lambda rows, k=k: rows.r2 + k / 10) for k in folds),
    }
    found = claim_tables(
        acdc=dice, mmwhs=mixed, **{name: rows.reset_index(drop=True) for name, rows in of_folds.items()}
    )
    for name in ("spread", "mixtures", "factors", "held", "leak"):
        assert [*map(str, found[name].index.get_level_values(1))] == ["0", "1", "2"], name
    mean = 77 + 100 * SPREAD.mean()
    assert found["mixtures"].CT_0_100_slice.tolist() == pytest.approx([mean, mean + 1, mean + 2])
    assert found["leak"].sdnet_base.tolist() == pytest.approx([0.2, 0.3, 0.4])
    verdict = verdicts(CONTENT, found)
    assert verdict["lowest-variance-at-100"] == verdict["inside-leaks-anatomy"] == "reproduced (one seed)"


def test_a_probe_worse_than_the_mean_leaks_nothing():
    found = claim_tables(leak=leak().assign(r2=[-90, 0.2, 0.3, -5, 0.6, 0.4]))["leak"]
    assert found.loc[(1, 0)].tolist() == pytest.approx([(0 + 0.2 + 0.3) / 3, (0 + 0.6 + 0.4) / 3])


def test_one_pair_has_no_p():
    table = sdnet.lvv(areas(), volumes().iloc[:1], PAPER["lvv"])
    assert table["First, ours"].iloc[0] == "136.0" and table["p, ours"].iloc[0] == ""


@pytest.mark.parametrize("arm", SDNET_ARMS)
def test_every_arm_and_share_makes_a_name(arm):
    assert all(measured.identifier(arm, percent, "slice").isidentifier() for percent in PAPER["table1"])


def test_the_papers_own_numbers_hold_and_every_claim_speaks_of_what_a_full_run_has():
    found = claim_tables()
    assert {claim["table"] for claim in CONTENT["claims"]} == found.keys() and lacking(CONTENT, found) == NOT_RUN
    assert 3 <= sum(claim.get("central", False) for claim in CONTENT["claims"]) <= 8
    judged = {name: verdict for name, verdict in verdicts(CONTENT, found).items() if "not run" not in verdict}
    judged.pop("lowest-variance-at-100")  # here all methods vary alike
    single = {claim["id"] for claim in CONTENT["claims"] if claim["table"] in ("modality", "mixtures", "leak")}
    assert {name for name, verdict in judged.items() if verdict == "undecided"} == single & judged.keys()
    assert set(judged.values()) == {"reproduced", "reproduced (one seed)", "undecided"}


def test_effects_are_the_papers_numbers():
    paper = {
        name: {
            measured.identifier(arm, percent, "slice"): cells["avg"]
            for percent, arms in PAPER[table].items()
            for arm, cells in arms.items()
        }
        for name, table in (("acdc", "table1"), ("qmri", "table2"))
    }
    old = {
        measured.identifier("chartsias_2018", percent, "slice"): of for percent, of in PAPER["chartsias2018"].items()
    }
    sizes = {measured.identifier(arm, 100, "slice"): of["dice"] for arm, of in PAPER["factors"].items()}
    base = {"sdnet_base_100_slice": PAPER["table1"][100]["sdnet"]["avg"]}
    paper["acdc"] |= old | sizes | base
    paper["mmwhs"] = {
        measured.identifier(modality, mixture, "slice"): cell
        for mixture, cells in PAPER["table3"].items()
        for modality, cell in cells.items()
    }
    paper["spread"] = {name: [sd] for name, (_, sd, *_) in paper["acdc"].items() if name.endswith("_100_slice") and sd}
    paper["mixtures"] = paper["mmwhs"]
    true, predicted = PAPER["lvv"]["volume"][:2]
    paper["volume"] = {"true": true, "predicted": predicted, "sdnet_50_slice": [84]}
    for part, name in (("avg", ""), ("MYO", "myocardium_"), ("LV", "left_ventricle_")):
        before, after, _ = PAPER["lvv"][part]
        paper["volume"] |= {f"before_{name}slice": before, f"after_{name}slice": after}
    paper["factors"] = {
        f"{arm.replace('-', '_')}_first": of["least"][:1] for arm, of in PAPER["factors"].items() if "least" in of
    }
    paper["modality"] = {"mmwhs_best": [82], "mmwhs_second": [66], "bold_all": [96], "bold_best": [65]}
    assert wrong_effects(CONTENT, paper, without_sd=["volume-from-anatomy"]) == []


def test_claims_fail_where_the_numbers_are_others():
    even = {percent: dict.fromkeys(sdnet_arms(percent, "round"), 0.8) for percent in PAPER["table1"]}
    found = verdicts(
        CONTENT,
        claim_tables(
            acdc=scores(even),
            qmri=scores({p: dict.fromkeys(SDNET_METHODS, 0.8) for p in PAPER["table2"]}, "qmri"),
            mmwhs=mixtures({mixture: dict.fromkeys(of, (50, 0)) for mixture, of in PAPER["table3"].items()}),
            volume_scores=areas().assign(dice=0.5),
            volumes=volumes().assign(predicted=0),
            modality=accuracies().assign(accuracy=0.6),
            leak=leak().assign(r2=0.5),
            reconstruction=reconstruction().assign(error=0.1),
            factors=variances().assign(variance=0.5),
            painted=painted(same=True),
            held=held(same=True),
        ),
    )
    holding = {name for name, verdict in found.items() if verdict.startswith("reproduced")}
    no_worse = {"sdnet-holds-up-6", "sdnet-holds-up-1-5", "equal-at-100", "sdnet-as-gan-qmri"}
    assert holding == no_worse | {"four-dimensions-suffice", "thirty-two-dimensions-as-good"}


def test_what_the_demo_does_not_run_is_said_and_most_is_run():
    demo = {percent: dict.fromkeys(sdnet_arms(percent, "round"), 0.8) for percent in (100, 1.5)}
    ran = ("100-100", "100-12.5", "12.5-100", "12.5-0", "0-12.5", "100-0", "0-100")
    found = verdicts(
        CONTENT, claim_tables(acdc=scores(demo), mmwhs=mixtures({mixture: PAPER["table3"][mixture] for mixture in ran}))
    )
    missing = {name: verdict for name, verdict in found.items() if "not run" in verdict}
    assert {"sdnet-beats-unet-3", "sdnet-holds-up-6", "unet-falls-below-12-5"} < missing.keys()
    assert len(missing) < len(found) / 2
    assert missing["few-mr-with-many-ct"] == "not run: this run has no MR_12_5_87_5_slice"


# ------------------------------------------------------------------------------------------------- trained networks


def network(folder, job, name, dice=(0.5,)):
    """A network's two files as a training leaves them, the first one empty."""
    (folder / job).mkdir(exist_ok=True)
    (folder / job / f"{name}.safetensors").touch()
    curve = pd.DataFrame({"step": range(10, 10 * len(dice) + 1, 10), "loss": 1.0, "dice": dice})
    curve.to_csv(folder / job / f"{name}.tsv", sep="\t", index=False)


def test_a_network_is_found_whichever_job_trained_it(tmp_path):
    network(tmp_path, "all-12.5-0-1", "self_train-1")
    network(tmp_path, "others-100-2-1", "sdnet-z4-1")
    network(tmp_path, "sdnet-100-2-3", "sdnet-3")
    for job, name, asked in (
        ("all-12.5-0-1", "self_train-1", ("self_train", 12.5, 0, 1)),
        ("others-100-2-1", "sdnet-z4-1", ("sdnet-z4", 100.0, 2, 1)),
        ("sdnet-100-2-3", "sdnet-3", ("sdnet", 100, 2, 3)),
        ("all-6-0-1", "gan-1", ("gan", 6.0, 0, 1)),  # nowhere: reading it says so
    ):
        assert trained.weights_of(tmp_path, *asked) == tmp_path / job / f"{name}.safetensors"


def test_a_network_of_two_jobs_is_refused(tmp_path):
    for job in ("all-100-0-1", "sdnet-100-0-1"):
        network(tmp_path, job, "sdnet-1")
    with pytest.raises(InputError) as caught:
        trained.weights_of(tmp_path, "sdnet", 100.0, 0, 1)
    (line,) = caught.value.problems
    assert line.endswith(
        "has sdnet at 100 %, and so has " + f"{tmp_path}/sdnet-100-0-1; delete the one that is left over"
    )


def learnt(folder):
    """Two seeds of one method, of which one had no patience; another with fewer labels; a variant."""
    for job, name, dice in (
        ("all-100-0-1", "unet-1", (0.2, 0.6)),
        ("all-100-0-2", "unet-2", (0.4,)),
        ("all-6-0-1", "gan-1", (0.1,)),
        ("all-100-0-1", "sdnet-z4-1", (0.3,)),
    ):
        network(folder, job, name, dice)
    runs = [("unet", 100, 0, 1), ("unet", 100, 0, 2), ("gan", 6, 0, 1), ("sdnet-z4", 100, 0, 1)]
    rows = pd.DataFrame(runs, columns=["arm", "percent", "fold", "seed"])
    return trained.curves(pd.concat([rows, rows]), lambda **one: trained.weights_of(folder, **one))


def test_curves_are_of_every_network_once(tmp_path):
    found = learnt(tmp_path)
    assert found.groupby(["arm", "percent", "seed"]).dice.apply(list).to_dict() == {
        ("unet", 100, 1): [0.2, 0.6],
        ("unet", 100, 2): [0.4],
        ("gan", 6, 1): [0.1],
        ("sdnet-z4", 100, 1): [0.3],
    }


def test_every_network_is_a_line_named_once_and_every_look_differs(tmp_path):
    found = learnt(tmp_path)
    looks = figures.looks(list(SDNET_ARMS))
    panels = {"100 %": found[found.percent == 100], "6 %": found[found.percent == 6]}
    figure = figures.validation(panels, "arm", looks)
    assert [len(ax.lines) for ax in figure.axes] == [3, 1]
    assert figure.axes[0].lines[0].get_ydata().tolist() == pytest.approx([20, 60])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["U-Net", "SDNet, n_z = 4", "GAN"]
    drawn = {(tuple(look["color"]), look["linestyle"]) for look in looks.values()}
    assert len(drawn) == len(SDNET_ARMS)
