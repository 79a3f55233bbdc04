"""Tables, curves and claims of the positional-encoding chapter, from the scores that its evaluation notebooks write.

Scores have the columns scale, data, arm, seed, kind, level, volume, dice: `kind` is "clean", "shift" or one of
`whereabouts.evaluation.degradations.KINDS`, `level` the parameter of that kind. Dice is the mean over the three
structures.
"""

import pandas as pd

from whereabouts.evaluation.degradations import KINDS, PAPER
from whereabouts.methods.position import POSITION_NAMES
from whereabouts.metrics.statistics import mean_sd, per_seed, printed
from whereabouts.reporting.tables import bold
from whereabouts.reporting.units import patients

TABLE1_ARMS = ("unet-0", "unet-1", "unet-10", "unet-256")
PAPER_DATA = {"chest": "JSRT", "acdc": "ACDC"}


def short(label: str) -> str:
    """The label of a manifest without digest and licence: "ACDC (synthetic)"."""
    return label.split(",")[0] + ")"


def cells(scores: pd.DataFrame, arms: list[str]) -> dict[str, str]:
    """arm -> clean Dice x 100 as "mean ± sd" over seeds, the best network in bold; "" for an arm that was not run."""
    clean = scores[scores.kind == "clean"]
    of = {arm: per_seed(clean[clean.arm == arm]) for arm in arms if (clean.arm == arm).any()}
    best = max(of.keys() - {"averaged_mask"}, key=lambda arm: of[arm].mean(), default=None)
    shown = {arm: mean_sd(values) for arm, values in of.items()}
    return {arm: bold(shown[arm]) if arm == best else shown.get(arm, "") for arm in arms}


def table1(scores: dict[str, pd.DataFrame], paper: dict, labels: dict[str, str]) -> pd.DataFrame:
    """Clean Dice without and with PE on both data sets, ours beside the paper's.

    Args:
        scores: "chest" and "acdc" -> scores.
        paper: the same names -> arm -> (mean, sd).
        labels: the same names -> label of our data.
    """
    arms = ["averaged_mask", *TABLE1_ARMS]
    columns = {"Model": ["Averaged mask", *(POSITION_NAMES[arm] for arm in TABLE1_ARMS)]}
    for dataset, name in PAPER_DATA.items():
        columns[f"{short(labels[dataset])}, ours"] = list(cells(scores[dataset], arms).values())
        columns[f"{name}, paper"] = [printed(*paper[dataset][arm]) for arm in arms]
    return pd.DataFrame(columns)


def table2(scores: pd.DataFrame, paper: dict, training_images: int) -> pd.DataFrame:
    """Clean Dice on radiographs by the number of training images, ours beside the paper's.

    Where few images were trained on for as many steps as all of them, too, that is a row of its own.

    Args:
        scores: of the radiographs.
        paper: number of images -> arm -> (mean, sd).
        training_images: how many there are in all here; 156 in the paper.
    """
    rows = []
    for images in paper:
        theirs = [printed(*paper[images][arm]) for arm in ("unet-0", "unet-256")]
        few = {f"-{images}": f"{images} images", f"-{images}-long": f"{images} images, as many steps as for all"}
        every = {"": f"{training_images} images ({images} in the paper)"}
        for end, name in (every if images == max(paper) else few).items():
            ours = list(cells(scores, [f"unet-0{end}", f"unet-256{end}"]).values())
            if any(ours) or not end.endswith("-long"):
                rows.append((name, *ours, *theirs))
    columns = ["Training data", "W/o PE, ours", "W/ PE, ours", "W/o PE, paper", "W/ PE, paper"]
    return pd.DataFrame(rows, columns=columns)


def curves(scores: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Dice x 100 against the level of one degradation, for drawing.

    Args:
        scores: of one data set.
        kind: of `whereabouts.evaluation.degradations.KINDS`, whose curves begin with the clean images; or "shift".

    Returns:
        Columns arm, step (0 is clean; for shifts the shift itself), mean and sd over seeds (0 where there is one).
    """
    rows = scores[scores.kind.isin(["clean", kind])]
    if kind in KINDS:
        steps = {0.0: 0} | {level: number for number, level in enumerate(KINDS[kind].levels, 1)}
        rows = rows.assign(step=rows.level.map(steps))
    else:
        rows = rows.assign(step=rows.level)
    by_seed = 100 * rows.groupby(["arm", "step", "seed"], sort=False).dice.mean()
    result = by_seed.groupby(["arm", "step"]).agg(["mean", "std"]).fillna(0)
    return result.rename(columns={"std": "sd"}).reset_index()


def claim_tables(scores: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """What `claims/position.yaml` speaks of, each table indexed by (seed, unit): see the comments there.

    Args:
        scores: "chest", "acdc" and "inside" -> scores.
    """
    hearts = {name: scores[name].assign(volume=patients(scores[name].volume)) for name in ("acdc", "inside")}
    found = {name: claim_table(rows) for name, rows in (scores | hearts).items()}
    means = [found[name].groupby(level="seed").mean().add_prefix(f"{name}_") for name in PAPER_DATA]
    return found | {"together": pd.concat(means, axis=1).assign(unit="all").set_index("unit", append=True)}


def claim_table(scores: pd.DataFrame) -> pd.DataFrame:
    """One of them, its unit what column `volume` names, Dice x 100. The averaged mask is the same for every seed."""
    shifts = scores[scores.kind == "shift"]
    far = shifts[shifts.level.abs() == shifts.level.abs().max()]
    conditions = {"clean": scores[scores.kind == "clean"], "shift": shifts, "far_shift": far}
    for kind in PAPER:
        of_kind = scores[scores.kind == kind]
        conditions |= {kind: of_kind, f"{kind}_5": of_kind[of_kind.level == KINDS[kind].levels[-1]]}
    columns = []
    for condition, rows in conditions.items():
        dice = 100 * rows.groupby(["arm", "seed", "volume"]).dice.mean()
        wide = dice.unstack("arm")
        columns.append(wide.rename(columns=lambda arm, end=condition: f"{arm.replace('-', '_')}_{end}"))
    table = pd.concat(columns, axis=1)
    if "averaged_mask_clean" in table:
        same = table["averaged_mask_clean"].groupby(level="volume").transform("first")
        table = table.assign(averaged_mask_clean=same)
    return table.drop(index=0, level="seed", errors="ignore")
