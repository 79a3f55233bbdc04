"""The tables of the INSIDE paper, from the scores that the evaluation notebooks write."""

import pandas as pd

from whereabouts.methods.inside import ARMS, METHOD_NAMES, parts
from whereabouts.metrics.statistics import bonferroni, mean_sd, paired_wilcoxon, per_seed, printed, stars
from whereabouts.reporting.tables import bold
from whereabouts.reporting.units import patients

FACTORS = ("quadrant", "colour", "shape", "size")
BASELINES = ("baseline", "film", "guiding_block")
NOTE_TABLE1 = (
    "∗∗ p <= 0.01: Wilcoxon signed-rank test of INSIDE (Multiple Attentions) against the best of Baseline, FiLM and "
    "Guiding Block, over test images, Dice averaged over seeds. Empty cells: not run at this scale."
)
NOTE_TABLE2 = (
    "Dice over the three structures of whole volumes, on the prepared grid. ∗ p <= 0.1, ∗∗ p <= 0.01: Wilcoxon "
    "signed-rank test of INSIDE against the best other method, over test volumes, Dice averaged over seeds; Bonferroni "
    "(m = 2) where that is the Baseline, which serves both columns. Averaged mask: each pixel's most frequent label "
    "in the training slices; ± over folds. Empty cells: not run at this scale."
)


def read_as(network: dict) -> str:
    """How the conditional layers of a network read the paper, from the facts in its file of weights."""
    return f"scale {network['scale']}, sigma {network['sigma']}" + (f", hidden {n}" if (n := network["hidden"]) else "")


def noted(note: str, scores: pd.DataFrame) -> str:
    """The note of a table, and how the layers were read; scores: a column readings, from `read_as`."""
    return f"{note} FiLM and INSIDE as docs/readings.md has them: {' and '.join(scores.readings.unique())}."


def per_unit(scores: pd.DataFrame, unit: str) -> pd.Series:
    """Dice of each test image or volume, averaged over seeds."""
    return scores.groupby(unit).dice.mean()


def table1(scores: pd.DataFrame, paper: dict) -> pd.DataFrame:
    """Seven methods, and those of one's own, by four factors, ours beside the paper's.

    Args:
        scores: columns factor, method, seed, image, dice.
        paper: method -> factor -> (mean, sd).

    Returns:
        Text cells; best mean of a column in bold, stars at INSIDE.
    """
    rows = {method: {"Method": METHOD_NAMES[method]} for method in METHOD_NAMES}
    for factor in FACTORS:
        of = {method: part for method, part in scores[scores.factor == factor].groupby("method")}
        best = max(of, key=lambda method: per_seed(of[method]).mean(), default=None)
        mark = ""
        if "inside" in of and (rivals := [method for method in BASELINES if method in of]):
            rival = max(rivals, key=lambda method: per_seed(of[method]).mean())
            difference = per_unit(of["inside"], "image") - per_unit(of[rival], "image")
            mark = stars(paired_wilcoxon(difference, 0)) if difference.mean() > 0 else ""
        for method, row in rows.items():
            cell = mean_sd(per_seed(of[method])) if method in of else ""
            cell = bold(cell) if method == best else cell
            row[f"{factor.capitalize()}, ours"] = cell + (f" {mark}" if mark and method == "inside" else "")
            row[f"{factor.capitalize()}, paper"] = printed(*paper[method][factor]) if method in paper else ""
    return pd.DataFrame(rows.values())


def table2(scores: pd.DataFrame, masks: pd.DataFrame, paper: dict) -> pd.DataFrame:
    """Four methods by the share of training patients and the facts given, ours beside the paper's.

    Below them, what sees no image: the averaged mask of the same training patients.

    Args:
        scores: columns arm, percent, fold, seed, volume, dice (mean over structures).
        masks: the same of the averaged mask, without arm and seed.
        paper: arm -> percent -> (mean, sd).
    """
    scores = scores.assign(seed=list(zip(scores.fold, scores.seed, strict=True)))  # a run is a fold and a seed
    rows = {
        method: {"Method": METHOD_NAMES[method].split(" (")[0]}
        for method in ("baseline", "film", "guiding_block", "inside")
    }
    blind = {"Method": "Averaged mask"}
    for percent in (100, 25, 6):
        of_mask = 100 * masks[masks.percent == percent].groupby("fold").dice.mean()
        for facts in ("position", "phase"):
            of = {
                parts(arm)[0]: part
                for arm, part in scores[scores.percent == percent].groupby("arm")
                if parts(arm)[1] in ("none", facts)
            }
            best = max(of, key=lambda method: per_seed(of[method]).mean(), default=None)
            mark = ""
            if best == "inside" and len(of) > 1:
                rival = max(of.keys() - {"inside"}, key=lambda method: per_seed(of[method]).mean())
                p = paired_wilcoxon(*(per_unit(of[m], "volume") for m in ("inside", rival)))
                mark = stars(bonferroni(p, 2) if rival == "baseline" else p, one=0.1)
            for method, row in rows.items():
                cell = mean_sd(per_seed(of[method])) if method in of else ""
                cell = bold(cell) if method == best else cell
                row[f"{percent}% {facts}, ours"] = cell + (f" {mark}" if mark and method == "inside" else "")
                arm = next(a for a in ARMS if parts(a) in ((method, "none"), (method, facts)))
                row[f"{percent}% {facts}, paper"] = printed(*paper[arm][percent])
            blind |= {f"{percent}% {facts}, ours": mean_sd(of_mask) if len(of_mask) else ""}
            blind |= {f"{percent}% {facts}, paper": ""}
    return pd.DataFrame([*rows.values(), blind])


def readings_table(scores: pd.DataFrame, paper: dict) -> pd.DataFrame:
    """Validation Dice of INSIDE, each reading by each task; the last row is what the paper prints, of its test images.

    Args:
        scores: columns task, one of the factors or of "ACDC 100%" and so on, sigma, scale, eta, seed, dice.
        paper: task -> (mean, sd).

    Returns:
        Text cells; the best mean of a task in bold.
    """
    cells = {
        task: part.groupby(["sigma", "scale", "eta"], sort=False) for task, part in scores.groupby("task", sort=False)
    }
    best = {task: groups.dice.mean().idxmax() for task, groups in cells.items()}
    rows = []
    for key in scores.set_index(["sigma", "scale", "eta"]).index.unique():
        row = dict(zip(("Widths", "Scale", "Penalty"), map(str, key), strict=True))
        for task, groups in cells.items():
            cell = mean_sd(per_seed(groups.get_group(key)))
            row[task] = bold(cell) if key == best[task] else cell
        rows.append(row)
    rows.append({"Widths": "the paper, test"} | {task: printed(*paper[task]) for task in cells})
    return pd.DataFrame(rows).fillna("")


def _columns(scores: pd.DataFrame, column: pd.Series, unit: pd.Series) -> pd.DataFrame:
    """Dice x 100 indexed by (seed, unit), one column a method: the mean where a unit has several scores."""
    scores = scores.assign(dice=100 * scores.dice, column=column, unit=unit)
    return scores.pivot_table("dice", ["seed", "unit"], "column")


def _joined(rows: pd.DataFrame, *columns: str) -> pd.Series:
    """A name for what several columns tell apart: "0-patient001"."""
    return rows[list(columns)].astype(str).agg("-".join, axis=1) if len(rows) else pd.Series(dtype=str)


def claim_tables(
    clevr: pd.DataFrame,
    clevr_spread: pd.DataFrame,
    acdc: pd.DataFrame,
    acdc_spread: pd.DataFrame,
    masks: pd.DataFrame,
) -> dict:
    """What `claims/inside.yaml` speaks of, each table indexed by (seed, unit): see the comments there.

    Args:
        clevr, acdc, masks: scores, as for `table1` and `table2`; the averaged mask is the same for every seed.
        clevr_spread: columns factor, seed, spread, amplitude, one row a value of the factor.
        acdc_spread: columns percent, fold, seed, channel, apex, base, amplitude_apex, amplitude_base. Channels of one
            network are not independent: their mean is one unit.
    """
    attention = 100 * clevr_spread.pivot_table(index="seed", columns="factor", values=["spread", "amplitude"])
    attention.columns = ["_".join(names) for names in attention.columns]
    ends = ["apex", "base", "amplitude_apex", "amplitude_base"]
    network = _joined(acdc_spread, "percent", "fold").rename("unit")
    acdc, masks = (scores.assign(patient=patients(scores.volume)) for scores in (acdc, masks))
    of_masks = masks.assign(unit=_joined(masks, "fold", "patient"), dice=100 * masks.dice)
    blind = of_masks.pivot_table("dice", "unit", "percent").add_prefix("averaged_mask_")
    arm = acdc.arm.str.replace("-", "_") + "_" + acdc.percent.astype(str)
    of_acdc = _columns(acdc, arm, _joined(acdc, "fold", "patient"))
    return {
        "clevr_seg": _columns(clevr, clevr.method + "_" + clevr.factor, clevr.image),
        "clevr_attention": attention.assign(unit=0).set_index("unit", append=True),
        "acdc": of_acdc.join(blind, on="unit"),
        "acdc_attention": 100 * acdc_spread.groupby(["seed", network])[ends].mean(),
    }
