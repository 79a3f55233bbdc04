"""Tables of the SDNet chapter (Chartsias 2019, section 5), from the scores that its notebooks write.

Scores have the columns unit ("slice", the way of the released code, or "volume": see `whereabouts.metrics.scores`),
subject, modality, structure, dice in [0, 1] and seed, and what tells runs apart: arm, percent, subjects (labelled ones)
and fold; mixture and fold; or when. Everywhere a subject's number is its mean over seeds; the folds, whose test parts
share no subject, are pooled; p is of a paired t-test over subjects, the paper's. The paper's numbers are those of
`claims/sdnet.yaml`.
"""

import pandas as pd

from whereabouts.methods.sdnet import SDNET_ARMS, SDNET_DECODERS, SDNET_METHODS, SDNET_NAMES
from whereabouts.metrics.scores import AVERAGE
from whereabouts.metrics.statistics import mean_sd, paired_t, printed, share
from whereabouts.reporting.tables import bold

SHORT = {"myocardium": "MYO", "left ventricle": "LV", "right ventricle": "RV", AVERAGE: "avg"}  # as the paper prints
MASK = "averaged_mask"  # of the labelled subjects: what sees no image
WITHHELD = [name for name, arm in SDNET_ARMS.items() if arm.masks == "labelled"]
SIZES = ("sdnet-base", "sdnet-c4", "sdnet-z4", "sdnet-z32", "sdnet-z128")
DISCRETE = [name for name, arm in SDNET_ARMS.items() if arm.anatomy]
MODALITIES = {"mmwhs": "MR or CT", "bold": "cine or CP-BOLD"}
LEVEL = 0.05  # of the asterisks

# ------------------------------------------------------------------------------------------------------ what is printed


def points(scores: pd.DataFrame, unit: str) -> pd.DataFrame:
    """The scores of one unit, with Dice x 100."""
    return scores[scores.unit == unit].assign(dice=lambda rows: 100 * rows.dice)


def by_subject(rows: pd.DataFrame, column: str = "dice") -> pd.Series:
    """A column of each test subject, averaged over seeds."""
    return rows.groupby("subject")[column].mean()


def cell(values: pd.Series, digits: int = 1) -> str:
    """ "mean ± sd"; "" of nothing."""
    return mean_sd(values, digits) if len(values) else ""


def p_of(a: pd.Series, b: pd.Series) -> float:
    """p of a against b over the subjects that both have."""
    return paired_t(*pd.concat([a, b], axis=1, join="inner").to_numpy().T)


def p_cell(a: pd.Series, b: pd.Series) -> str:
    """The same as text; "" of fewer than two subjects."""
    return f"{p_of(a, b):.2g}" if len(a.index.intersection(b.index)) > 1 else ""


def theirs(number: list | None) -> str:
    """A number of the paper, [mean, sd, asterisk], of which the last two may lack; "" where it has none."""
    return "" if number is None else " ".join([printed(*number[:2]), *number[2:]])


def compared(rows: pd.DataFrame) -> dict[str, str]:
    """arm -> Dice as printed; the best of the four methods in bold, with an asterisk if better than the second."""
    of = {arm: by_subject(part) for arm, part in rows.groupby("arm")}
    shown = {arm: cell(values) for arm, values in of.items()}
    ranked = sorted((arm for arm in SDNET_METHODS if arm in of), key=lambda arm: of[arm].mean(), reverse=True)
    if ranked:
        shown[ranked[0]] = bold(shown[ranked[0]])
    if len(ranked) > 1 and p_of(of[ranked[0]], of[ranked[1]]) < LEVEL:
        shown[ranked[0]] += " ∗"
    return shown


# --------------------------------------------------------------------------------------------------------------- tables


def table1(scores: pd.DataFrame, paper: dict, unit: str) -> pd.DataFrame:
    """Tables 1 (ACDC) and 2 (QMRI): four methods by the share of labelled subjects, ours beside the paper's.

    One row a share and method. (The paper has one a share and up to 16 columns; with ours that would be 32.) The two
    that see labelled masks only, ours, and the averaged mask follow the four where they are, and do not compete.

    Args:
        scores: with arm, percent and subjects.
        paper: percent -> method -> structure as in `SHORT` -> [mean, sd, asterisk]. Its shares are shown, run or not.
        unit: "slice" or "volume".
    """
    scores = points(scores, unit)
    columns = list(next(iter(paper.values()))["sdnet"])
    table = []
    for percent in sorted({*paper, *scores.percent}, reverse=True):
        rows = scores[scores.percent == percent]
        label = f"{percent:g} %"
        if len(rows):
            subjects = sorted(rows.subjects.unique())  # parts of unlike size may differ by one between folds
            label += f" ({' or '.join(map(str, subjects))} subject{'s' * (subjects != [1])})"
        ours = {SHORT[structure]: compared(part) for structure, part in rows.groupby("structure")}
        for arm in (*SDNET_METHODS, *(arm for arm in (*WITHHELD, MASK) if arm in set(rows.arm))):
            row = {"Labels": label, "Method": SDNET_NAMES.get(arm, "averaged mask")}
            for column in columns:
                row[f"{column}, ours"] = ours.get(column, {}).get(arm, "")
                row[f"{column}, paper"] = theirs(paper.get(percent, {}).get(arm, {}).get(column))
            table.append(row)
    return pd.DataFrame(table)


def table3(scores: pd.DataFrame, masks: pd.DataFrame, paper: dict, unit: str) -> pd.DataFrame:
    """Table 3 (MM-WHS): SDNet by how much of MR and of CT it is trained on, tested on either.

    Args:
        scores: with mixture, "100-12.5" being per cent of MR and of CT; modality is that of the test subject.
        masks: the same of the averaged mask.
        paper: mixture -> "MR" and "CT" -> [mean, sd]; one that was not trained on lacks.
        unit: "slice" or "volume".
    """
    scores, masks = (rows[rows.structure == AVERAGE] for rows in (points(scores, unit), points(masks, unit)))
    table = []
    for mixture, numbers in paper.items():
        shares = dict(zip(("MR", "CT"), mixture.split("-"), strict=True))
        row = {f"{modality} train": f"{share} %" for modality, share in shares.items()}
        for modality in shares:
            ours, blind = (of[(of.mixture == mixture) & (of.modality == modality)] for of in (scores, masks))
            row[f"{modality} test, ours"] = cell(by_subject(ours))
            row[f"{modality} test, averaged mask"] = cell(by_subject(blind)) if modality in numbers else "-"
            row[f"{modality} test, paper"] = theirs(numbers[modality]) if modality in numbers else "-"
        table.append(row)
    return pd.DataFrame(table)


def lvv(scores: pd.DataFrame, volumes: pd.DataFrame, paper: dict) -> pd.DataFrame:
    """Section 5.2: left-ventricular volume from the anatomy factor, and Dice before and after that task was added.

    Args:
        scores: with when ("before" or "after"); the slice way, the paper's, is shown.
        volumes: columns subject, predicted, true (mL) and seed.
        paper: "volume" and structures as in `SHORT` -> the first number, the second, and p as text.
    """
    dice = points(scores, "slice")
    pairs = {"volume": ("Volume (mL): true, predicted", by_subject(volumes, "true"), by_subject(volumes, "predicted"))}
    for structure, name in SHORT.items():
        before, after = (
            by_subject(dice[(dice.structure == structure) & (dice.when == w)]) for w in ("before", "after")
        )
        pairs[name] = (f"Dice, {name}: before, after", before, after)
    table = []
    for key, (first, second, p) in paper.items():
        title, a, b = pairs[key]
        ours = {"First, ours": cell(a), "Second, ours": cell(b), "p, ours": p_cell(a, b)}
        table.append(
            {"Quantity": title} | ours | {"First, paper": theirs(first), "Second, paper": theirs(second), "p, paper": p}
        )
    return pd.DataFrame(table)


def accuracies_of(accuracies: pd.DataFrame) -> pd.DataFrame:
    """Accuracies in per cent, one row a training: data, seed, all, best, which, second, lowest, chance, images.

    The dimensions of z mean something else in each training (the paper's footnote 4), so that the best one is looked
    up in each; `which` counts from 1, as the paper does.
    """
    table = []
    for (data, seed), part in accuracies.groupby(["data", "seed"]):
        of = 100 * part.set_index(part.dimension.astype(str)).accuracy
        alone = of.drop(["all", "chance"]).sort_values(ascending=False, kind="stable")
        which = f"z{int(alone.index[0]) + 1}"
        numbers = of["all"], alone.iloc[0], which, alone.iloc[1], alone.iloc[-1], of["chance"], part.images.iloc[0]
        table.append((data, seed, *numbers))
    columns = ["data", "seed", "all", "best", "which", "second", "lowest", "chance", "images"]
    return pd.DataFrame(table, columns=columns)


def modality_table(accuracies: pd.DataFrame, paper: dict) -> pd.DataFrame:
    """Section 5.4: how often logistic regression on z tells an image's modality (per cent), mean ± sd over seeds.

    Args:
        accuracies: columns data ("mmwhs" or "bold"), seed, dimension ("all", 0, 1, .., "chance"), accuracy and images,
            how many were tested. Every training has the same, so that chance is one number.
        paper: data -> text for "all", "best" and "others".
    """
    found = accuracies_of(accuracies)
    table = []
    for data, numbers in paper.items():
        ours = found[found.data == data]
        best, others = "", ""
        if len(ours):
            best = f"{cell(ours.best)} ({', '.join(ours.which)})"
            others = f"{ours.lowest.min():.1f} to {ours.second.max():.1f}"
        row = {"Modality": MODALITIES[data]}
        for title, mine, key in (
            ("All of z", cell(ours["all"]), "all"),
            ("Best dimension alone", best, "best"),
            ("Other dimensions alone", others, "others"),
        ):
            row |= {f"{title}, ours": mine, f"{title}, paper": numbers[key]}
        tested = [(chance / 100, int(images)) for chance, images in ours[["chance", "images"]].to_numpy()[:1]]
        row["Chance, ours"] = "".join(share(*one, 1, 100) + f", n = {one[1]}" for one in tested)
        table.append(row)
    return pd.DataFrame(table)


def variances_of(variances: pd.DataFrame) -> pd.DataFrame:
    """One row a training, indexed by arm, seed and run: the least two variances of z and the mean of the others."""
    run = variances.groupby(["arm", "seed", "dimension"]).cumcount().rename("run")  # folds, which are not told apart
    of = variances.groupby(["arm", "seed", run]).variance
    ordered = of.apply(lambda values: values.sort_values(ignore_index=True)).unstack()
    return pd.DataFrame({"first": ordered[0], "second": ordered[1], "rest": ordered.iloc[:, 2:].mean(axis=1)})


def factors(scores: pd.DataFrame, variances: pd.DataFrame, paper: dict) -> pd.DataFrame:
    """Section 5.6: sizes of the factors, with all labels. Below, ours, other ways to make s discrete, where run.

    Args:
        scores: of ACDC; the slice way is shown.
        variances: columns arm, seed, dimension and variance, the mean posterior variance of that dimension of z.
        paper: arm -> "dice" [mean, sd], "least" [two] and "rest"; arms and numbers may lack.
    """
    scores = points(scores, "slice")
    scores = scores[(scores.structure == AVERAGE) & (scores.percent == 100)]
    arms = (*SIZES, *(arm for arm in DISCRETE if arm in set(scores.arm)))
    dice = {arm: by_subject(scores[scores.arm == arm]) for arm in arms}
    spread = variances_of(variances)
    table = []
    for arm in arms:
        numbers = paper.get(arm, {})
        ours = spread[spread.index.get_level_values("arm") == arm]
        least = ", ".join(cell(ours[which], 2) for which in ("first", "second") if len(ours))
        row = {"Model": SDNET_NAMES[arm]}
        row |= {"Dice, ours": cell(dice[arm]), "Dice, paper": theirs(numbers.get("dice"))}
        row["p, ours"] = "" if arm == "sdnet-base" else p_cell(dice[arm], dice["sdnet-base"])
        row |= {"Least variances, ours": least, "Least variances, paper": ", ".join(map(str, numbers.get("least", [])))}
        row |= {
            "Mean of the others, ours": cell(ours.rest, 2),
            "Mean of the others, paper": str(numbers.get("rest", "")),
        }
        table.append(row)
    return pd.DataFrame(table)


def beyond(scores: pd.DataFrame, leak: pd.DataFrame, reconstruction: pd.DataFrame) -> pd.DataFrame:
    """Not in the paper: INSIDE in place of FiLM in the decoder, where z can then act on a place.

    Args:
        scores: of ACDC; all labels, the slice way.
        leak: columns arm, seed, quantity ("row", "column", "area" of the left ventricle), r2 of predicting it from z.
        reconstruction: columns arm, seed, subject, error: mean absolute, images in [-1, 1].
    """
    scores = points(scores, "slice")
    scores = scores[(scores.structure == AVERAGE) & (scores.percent == 100)]
    dice, error = (
        {arm: by_subject(rows[rows.arm == arm], column) for arm in SDNET_DECODERS}
        for rows, column in ((scores, "dice"), (reconstruction, "error"))
    )
    table = []
    for arm, name in SDNET_DECODERS.items():
        row = {"Decoder": name, "Dice": cell(dice[arm]), "Reconstruction error": cell(error[arm], 3)}
        for quantity in ("row", "column", "area"):
            rows = leak[(leak.arm == arm) & (leak.quantity == quantity)]
            row[f"R² of {quantity} from z"] = cell(rows.r2, 2)
        table.append(row)
    ps = {"Decoder": "p", "Dice": p_cell(*dice.values()), "Reconstruction error": p_cell(*error.values())}
    return pd.DataFrame([*table, ps]).fillna("")
