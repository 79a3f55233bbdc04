"""Tables of scans in the attention gates' chapter (Schlemper et al. 2019), from the scores that its notebooks write.

Scores have the columns arm, seed, case, structure, dice, precision and recall in [0, 1], surface and contour in mm (see
`whereabouts.evaluation.scan_scores`). Networks that were not run leave their cells empty. The paper's numbers are those
of `claims/gates.yaml`.
"""

from itertools import chain

import numpy as np
import pandas as pd

from whereabouts.methods.gates import CHOICES, GATES_NAMES, STARTS, VOLUME_ARMS
from whereabouts.metrics.statistics import mean_sd, paired_wilcoxon
from whereabouts.reporting.tables import bold

MEASURES = {  # column of the scores: as printed
    "dice": "DSC",
    "precision": "Precision",
    "recall": "Recall",
    "surface": "S2S (mm)",
    "contour": "S2S as released (mm)",
}
DISTANCES = ("surface", "contour")  # the less the better
COSTS = {"parameters": "Parameters", "seconds": "Inference time"}  # column of the networks: as printed
TABLE1_ARMS = ("unet", "attention", "unet-quarter", "attention-quarter")
TABLE2_ARMS = ("unet", "attention", "unet-matched", "unet-huge")
BEYOND_ARMS = ("attention", "asked_attention", "asked_inside")
LEVEL = 0.05

_SCANS = (
    "Mean ± sd over test scans, each averaged over seeds. Where a structure is not found at all, S2S is the scan's "
    "diagonal, and S2S as released leaves the scan out."
)
EMPTY = "Empty cells: not run, or nothing to measure, at this scale."
_P = "p: Wilcoxon signed-rank test of DSC over test scans, against"
NOTES = {  # how to read each table
    "table1": f"{_SCANS} Bold: the better of two networks where a Wilcoxon signed-rank test over test scans has "
    "p <= 0.05; the paper's bold is by a test that it does not name. S2S as released: the distance between contours in "
    f"axial slices that its code measures. {EMPTY}",
    "table2": f"{_SCANS} {_P} the Attention U-Net. The first two networks are those of Table 1. {EMPTY}",
    "table3": f"{_SCANS} BFT: as trained on the first data set; AFT: then tuned on this one; SCR: trained on this one "
    f"from scratch. Bold as in Table 1. {EMPTY} BFT and AFT also where the first data set has no pancreas.",
    "table4": f"{_SCANS} The published methods are quoted from the paper and were not run on these data.",
    "beyond": f"Not in the paper's tables. Networks that are asked find one structure at a time; others differ from "
    f"the Attention U-Net in one choice, and are absent where they were not run. {_SCANS} {_P} the Attention U-Net, of "
    f"those that are asked against the one that is asked. {EMPTY}",
}


def by_case(rows: pd.DataFrame, measure: str = "dice") -> pd.Series:
    """A measure of each test scan, averaged over seeds."""
    return rows.groupby("case")[measure].mean()


def cell(values: pd.Series, digits: int = 3) -> str:
    """ "mean ± sd" of what was measured; "" of nothing."""
    values = pd.Series(values, dtype=float).dropna()
    return mean_sd(values, digits) if len(values) else ""


def theirs(number: list | None, digits: int = 3) -> str:
    """A number of the paper, [mean, sd, bold], of which the last two may lack; "" where it has none."""
    if number is None:
        return ""
    shown = " ± ".join(f"{part:.{digits}f}" for part in number[:2])
    return bold(shown) if len(number) == 3 else shown


def beside(title: str, ours: str, paper: str) -> dict[str, str]:
    """Two columns."""
    return {f"{title}, ours": ours, f"{title}, paper": paper}


def p_of(a: pd.Series, b: pd.Series) -> float:
    """p of a against b over the scans that both have."""
    return paired_wilcoxon(*pd.concat([a, b], axis=1, join="inner").dropna().to_numpy().T)


def p_cell(rows: pd.DataFrame, arm: str, rival: str) -> str:
    """p of the Dice of two networks; "" of one against itself, or where either was not run."""
    of = [by_case(rows[rows.arm == name]) for name in (arm, rival)]
    return "" if arm == rival or not all(map(len, of)) else f"{p_of(*of):.2g}"


def compared(rows: pd.DataFrame, arms: tuple[str, str], measure: str) -> list[str]:
    """Two networks as printed, the better one in bold if the test tells them apart."""
    values = [by_case(rows[rows.arm == arm], measure) for arm in arms]
    shown = [cell(of) for of in values]
    if p_of(*values) <= LEVEL:
        best = (np.argmin if measure in DISTANCES else np.argmax)([of.mean() for of in values])
        shown[best] = bold(shown[best])
    return shown


def millions(parameters: float) -> str:
    """ "5.89 M"."""
    return f"{parameters / 1e6:.3g} M"


def cost(networks: pd.DataFrame, arm: str, which: str) -> str:
    """One of `COSTS` as printed; "" of what was not measured."""
    value = networks.set_index("arm")[which].get(arm, np.nan)
    return "" if np.isnan(value) else millions(value) if which == "parameters" else f"{value:.3g} s"


def without_paper(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that are not the paper's."""
    return table.loc[:, ~table.columns.str.endswith(", paper")]


def table1(volumes: pd.DataFrame, networks: pd.DataFrame, paper: dict, counts: dict) -> pd.DataFrame:
    """Both networks, trained on all or on a quarter of the training scans, ours beside the paper's.

    One row for each measure that the paper has of a structure, and the released code's distance where it has one; of
    other structures every measure. Without any structure of the paper's its columns lack.

    Args:
        volumes: scores of scans.
        networks: columns arm, parameters and seconds (a forward pass; NaN if not measured).
        paper: arm -> "scans", structures, "parameters" and "seconds" (text).
        counts: "full" and "quarter" -> numbers of scans here, for training and for testing.
    """
    columns = ["Quantity"]
    for arm in TABLE1_ARMS:
        ours, printed = ("/".join(map(str, of)) for of in (counts[VOLUME_ARMS[arm].training], paper[arm]["scans"]))
        columns += [f"{GATES_NAMES[arm]}, {ours}, ours", f"{GATES_NAMES[arm]}, {printed}, paper"]
    here = volumes.structure.unique()
    shared = [structure for structure in paper["unet"] if structure in here]
    rows = []
    for structure in (*shared, *(structure for structure in here if structure not in shared)):
        of, known = volumes[volumes.structure == structure], paper["unet"].get(structure, MEASURES)
        for measure in (m for m in MEASURES if m in known or (m == "contour" and "surface" in known)):
            ours = compared(of, TABLE1_ARMS[:2], measure) + compared(of, TABLE1_ARMS[2:], measure)
            printed = [theirs(paper[arm].get(structure, {}).get(measure)) for arm in TABLE1_ARMS]
            title = f"{structure.capitalize()} {MEASURES[measure]}"
            rows.append((title, *chain(*zip(ours, printed, strict=True))))
    for which, title in COSTS.items():
        rows.append((title, *chain(*((cost(networks, arm, which), paper[arm][which]) for arm in TABLE1_ARMS))))
    table = pd.DataFrame(rows, columns=columns)
    return table if shared else without_paper(table)


def table2(volumes: pd.DataFrame, networks: pd.DataFrame, paper: dict) -> pd.DataFrame:
    """U-Nets as large as the Attention U-Net, and larger, below both of Table 1, ours beside the paper's.

    Of the pancreas; where there is none, of all structures, without the paper's columns.

    Args:
        volumes, networks, paper: as for `table1`.
    """
    main = [name for name in volumes.structure.unique() if "surface" in paper["unet"].get(name, {})]
    table = []
    for structure in main or volumes.structure.unique():
        of = volumes[volumes.structure == structure]
        for arm in TABLE2_ARMS:
            row = {"Structure": structure, "Method": GATES_NAMES[arm]}
            row |= beside("Parameters", cost(networks, arm, "parameters"), paper[arm]["parameters"])
            for measure, title in MEASURES.items():
                number = paper[arm].get(structure, {}).get(measure)
                row |= beside(title, cell(by_case(of[of.arm == arm], measure)), theirs(number))
            row["p, ours"] = p_cell(of, arm, "attention")
            table.append(row | beside("Inference time", cost(networks, arm, "seconds"), paper[arm]["seconds"]))
    table = pd.DataFrame(table)
    return table.drop(columns=f"{MEASURES['contour']}, paper") if main else without_paper(table)


def table3(pancreas: pd.DataFrame, paper: dict) -> pd.DataFrame:
    """The pancreas in the second data set, before and after fine-tuning and from scratch, ours beside the paper's.

    Args:
        pancreas: scores of scans, arm as in `whereabouts.methods.gates.PANCREAS_ARMS`.
        paper: arm -> measure -> number.
    """
    table = []
    for start, name in STARTS.items():
        arms = [f"{network}-{start}" for network in ("unet", "attention")]
        rows = [{"Training": name, "Method": GATES_NAMES[network]} for network in ("unet", "attention")]
        for measure, title in MEASURES.items():
            for row, arm, ours in zip(rows, arms, compared(pancreas, arms, measure), strict=True):
                row |= beside(title, ours, theirs(paper[arm].get(measure)))
        table += rows
    return pd.DataFrame(table).drop(columns=f"{MEASURES['contour']}, paper")


def table4(pancreas: pd.DataFrame, paper: dict, data: str, scans: int) -> pd.DataFrame:
    """Dice x 100 of the pancreas: published methods, the paper's own cross-validation (section 3.3.1), and ours.

    Args:
        pancreas: as for `table3`; the arms attention-fold0 and up, as many as were run, are pooled.
        paper: "quoted", rows of method, data, mean, sd, scans for training/testing and folds; and "own", [mean, sd].
        data: ours, as printed.
        scans: how many these are.
    """
    rows = [
        (method, of, theirs([mean, sd], 1), split, folds, "quoted from the paper, not run here")
        for method, of, mean, sd, split, folds in paper["quoted"]
    ]
    rows.append((GATES_NAMES["attention"], "CT-82", theirs(paper["own"], 2), "-", "5-CV", "the paper's own"))
    folds = pancreas[pancreas.arm.str.startswith("attention-fold")]
    tested = folds.groupby("arm").case.nunique()
    split, run = (f"{scans - tested.max()}/{tested.max()}", f"{len(tested)} of 5-CV") if len(tested) else ("", "")
    rows.append((GATES_NAMES["attention"], data, cell(100 * by_case(folds), 2), split, run, "ours"))
    return pd.DataFrame(rows, columns=["Method", "Data", "Pancreas DSC (x 100)", "Train/test", "Folds", "From"])


def beyond(volumes: pd.DataFrame, networks: pd.DataFrame) -> pd.DataFrame:
    """Not in the paper's tables: networks asked for one structure, with gates or with INSIDE, and other gates.

    Args:
        volumes, networks: as for `table1`.
    """
    table, others = [], [arm for arm in CHOICES if arm in set(volumes.arm)]
    for structure in volumes.structure.unique():
        of = volumes[volumes.structure == structure]
        for arm in (*BEYOND_ARMS, *others):
            rival = "attention" if arm in others else "asked_attention"
            row = {"Structure": structure, "Method": GATES_NAMES[arm]}
            row |= {title: cell(by_case(of[of.arm == arm], measure)) for measure, title in MEASURES.items()}
            row |= {"p": p_cell(of, arm, rival), "Parameters": cost(networks, arm, "parameters")}
            table.append(row)
    return pd.DataFrame(table)
