"""Tables of ultrasound frames in the attention gates' chapter (Schlemper et al. 2019).

Predictions have the columns method, width (feature maps of the first layer), seed, index (of the frame), plane and
found (places in the planes' names, the background last) and support (see `whereabouts.evaluation.gates`; NaN of
Sononet). Networks that were not run leave their cells empty. The
paper's numbers are those of `claims/gates.yaml`.
"""

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support

from whereabouts.chapters.gates.scan_tables import EMPTY, beside, cell, millions
from whereabouts.methods.gates import GATES_NAMES, PLANE_CHOICES, PLANE_METHODS
from whereabouts.metrics.statistics import share
from whereabouts.reporting.tables import bold

PLANE_MEASURES = {"precision": "Precision", "recall": "Recall", "f1": "F1"}
SIZES = ("small", "medium", "large")  # of the classifiers, by width: 8, 16 and 32 in the paper
PLANE_NOTES = {  # how to read each table
    "table5": "Means over planes, the background among them; mean ± sd over seeds. Bold: the better of two networks of "
    f"one size, without a test, as in the paper. Other rows differ from AG-Sononet in one choice. {EMPTY}",
    "table6": f"AG-Sononet of the smallest size; in brackets its gain over Sononet, bold above 0.02. {EMPTY}",
    "table7": "Means over seeds. Cor.: part of the frames with IoU > 0.5; Rel.: with IoU > half of the best of its "
    "plane. One box: IoU of a box that is the same for all frames, the median of those on which the rule was chosen. "
    "Mean: over the planes above, of the paper's numbers too.",
}


def sized(rows: pd.DataFrame, planes: pd.DataFrame) -> pd.DataFrame:
    """`rows` with the size of their width, by its order among those of the predictions; without other widths."""
    sizes = dict(zip(sorted(planes.width.unique()), SIZES, strict=False))
    return rows[rows.width.isin(sizes)].assign(size=rows.width.map(sizes))


def class_scores(planes: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Precision, recall and F1, as of scikit-learn, of each plane that has test frames; 0 where one is never found.

    Returns:
        Columns method, size, seed, plane (name), precision, recall, f1.
    """
    rows, labels = [], np.unique(planes.plane)
    for training, part in sized(planes, planes).groupby(["method", "size", "seed"]):
        scores = precision_recall_fscore_support(part.plane, part.found, labels=labels, zero_division=0)[:3]
        rows += [(*training, names[label], *of) for label, *of in zip(labels, *scores, strict=True)]
    return pd.DataFrame(rows, columns=["method", "size", "seed", "plane", *PLANE_MEASURES])


def table5(planes: pd.DataFrame, names: list[str], plane_networks: pd.DataFrame, paper: dict) -> pd.DataFrame:
    """Both classifiers by size, ours beside the paper's; below them others that were run.

    Args:
        planes: predictions.
        names: of the planes.
        plane_networks: columns method, width, parameters, forward_ms and backward_ms (NaN if not measured).
        paper: method -> size -> "width", "accuracy", those of `PLANE_MEASURES`, "times" and "parameters" (text).
    """
    training = ["method", "size", "seed"]
    scores = class_scores(planes, names).groupby(training)[list(PLANE_MEASURES)].mean()
    right = sized(planes, planes).assign(right=planes.plane == planes.found)
    scores["accuracy"] = right.groupby(training).right.mean()
    facts = sized(plane_networks, planes).set_index(["method", "size"]).to_dict("index")
    measures = {"accuracy": "Accuracy", **PLANE_MEASURES}
    table = []
    for size in SIZES:
        rows = []
        for method in (*PLANE_METHODS, *(name for name in PLANE_CHOICES if (name, size) in facts)):
            ours, printed = facts.get((method, size)), paper.get(method, {}).get(size, {})
            row = {"Method": f"{GATES_NAMES[method]}, {size}"}
            row |= beside("Maps", str(ours["width"]) if ours else "", str(printed.get("width", "")))
            for measure, title in measures.items():
                theirs = f"{printed[measure]:.3f}" if printed else ""
                row |= beside(title, cell(scores[measure].get((method, size), [])), theirs)
            row |= beside("Fwd/bwd (ms)", _times(ours) if ours else "", printed.get("times", ""))
            row |= beside("Parameters", millions(ours["parameters"]) if ours else "", printed.get("parameters", ""))
            rows.append(row)
        for title in measures.values():
            _mark_better(rows[:2], f"{title}, ours")
            _mark_better(rows[:2], f"{title}, paper")
        table += rows
    return pd.DataFrame(table)


def chance(planes: pd.DataFrame, names: list[str]) -> str:
    """How a classifier does that always answers the commonest plane of the test frames; "" without any."""
    truth = planes.drop_duplicates("index").plane
    if truth.empty:
        return ""
    commonest = truth.mode()[0]
    blind = pd.DataFrame({"method": "", "width": 0, "seed": 0, "plane": truth, "found": commonest})
    f1 = class_scores(blind, names).f1.mean()
    right = share((truth == commonest).mean(), len(truth))
    return f" Chance, always {names[commonest]}: accuracy {right} of {len(truth)} frames (90 % interval), F1 {f1:.3f}."


def _mark_better(pair: list[dict], column: str) -> None:
    """Make bold the larger of two cells, as printed; neither if one is empty."""
    values = [float(row[column].split()[0]) if row[column] else np.nan for row in pair]
    for row, value, other in zip(pair, values, values[::-1], strict=True):
        row[column] = bold(row[column]) if value > other else row[column]


def _times(of: dict) -> str:
    """ "1.36/2.60", forward and backward; "" where they were not measured."""
    times = of["forward_ms"], of["backward_ms"]
    return "" if np.isnan(times).any() else "/".join(f"{time:.2f}" for time in times)


def table6(planes: pd.DataFrame, names: list[str], paper: dict) -> pd.DataFrame:
    """AG-Sononet of the smallest size by plane, in brackets what it gains over Sononet, ours beside the paper's.

    Args:
        planes: predictions.
        names: of the planes.
        paper: plane -> measure -> [value, gain]; it may lack planes.
    """
    scores = class_scores(planes, names).query("size == 'small'").groupby(["plane", "method"])[[*PLANE_MEASURES]].mean()
    table = []
    for name in names:
        row = {"Plane": name}
        for measure, title in PLANE_MEASURES.items():
            plain, gated = (scores[measure].get((name, method), np.nan) for method in PLANE_METHODS)
            printed = paper[name][measure] if name in paper else (np.nan, np.nan)
            row |= beside(title, _gain(gated, gated - plain), _gain(*printed))
        table.append(row)
    return pd.DataFrame(table)


def _gain(value: float, gain: float) -> str:
    """ "0.953 (0.055)", a gain above 0.02 in bold; "" where there is none."""
    shown = f"{round(gain, 3) + 0.0:.3f}"  # without the sign of -0.000
    return "" if np.isnan(gain) else f"{value:.3f} ({bold(shown) if gain > 0.02 else shown})"


def table7(localised: pd.DataFrame, paper: dict) -> pd.DataFrame:
    """How well boxes from attention maps fit, by plane, ours beside the paper's; the means over planes are ours.

    Args:
        localised: columns seed, those of `whereabouts.evaluation.boxes.localisation_table`, plane, n, mean, sd, correct
            and relative, and constant, the mean IoU of one box for all frames.
        paper: plane -> those from mean to relative.
    """
    measures = {"mean": "IoU mean (sd)", "correct": "Cor.", "relative": "Rel."}
    ours = localised.groupby("plane", sort=False)[["n", *measures, "sd", "constant"]].mean()
    printed = pd.DataFrame.from_dict(paper, orient="index", columns=["mean", "sd", "correct", "relative"])
    table = []
    for name in (*printed.index, *ours.index.difference(printed.index, sort=False), "Mean"):
        frames = ours.n[ours.index == name] if name != "Mean" else ours.n
        row = {"Plane": name, "Frames, ours": f"{frames.sum():g}" if len(frames) else ""}
        for measure, title in measures.items():
            row |= beside(title, *(_part(of, name, measure) for of in (ours, printed)))
        table.append(row | {"One box, IoU": _part(ours, name, "constant")})
    return pd.DataFrame(table)


def _part(of: pd.DataFrame, name: str, measure: str) -> str:
    """ "0.69 (0.11)" of the IoU of a plane, "0.96" of others and of means over planes; "" of what there is not."""
    values = of[measure] if name == "Mean" else of[measure][of.index == name]
    sd = of.sd.get(name, np.nan) if measure == "mean" else np.nan
    return "" if values.empty else f"{values.mean():.2f}" + ("" if np.isnan(sd) else f" ({sd:.2f})")
