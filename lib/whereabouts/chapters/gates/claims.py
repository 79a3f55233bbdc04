"""What `claims/gates.yaml` speaks of (Schlemper et al. 2019), from the scores that the chapter's notebooks write."""

import re

import pandas as pd

from whereabouts.chapters.gates.plane_tables import PLANE_MEASURES, class_scores, sized
from whereabouts.chapters.gates.scan_tables import COSTS, MEASURES
from whereabouts.methods.gates import LEVELS

PARTS = ["dice", "precision", "recall"]  # of the scores of scans, in per cent here
AVERAGE = "average"  # over structures
WHOLE = "all"  # the unit of a table without units


def identifier(*parts: str | int) -> str:
    """ "unet-quarter", "left atrium" and "dice" as the name of a column in a claim: unet_quarter_left_atrium_dice."""
    return "_".join(re.sub(r"\W+", "_", str(part)).strip("_").lower() for part in parts)


def wide(rows: pd.DataFrame, unit: str, keys: list[str], measures: list[str]) -> pd.DataFrame:
    """Measures indexed by (seed, unit), columns <key>_<measure> for each combination of what is in `keys`."""
    table = rows.groupby(["seed", unit, *keys])[measures].mean().unstack(keys)
    return table.set_axis([identifier(*key, measure) for measure, *key in table.columns], axis=1)


def of_scans(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores of scans, see `whereabouts.chapters.gates.scan_tables`, by case: of each structure, and their average."""
    average = scores.groupby(["arm", "seed", "case"], as_index=False)[list(MEASURES)].mean()
    rows = pd.concat([scores, average.assign(structure=AVERAGE)], ignore_index=True)
    rows[PARTS] *= 100
    return wide(rows, "case", ["arm", "structure"], list(MEASURES))


def of_planes(planes: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Predictions of frames, see `whereabouts.chapters.gates.plane_tables`, in [0, 1]: one row a seed.

    Frames are not independent, nor are planes, of one network: each of a classifier's numbers is one, see
    `claims/gates.yaml`.
    """
    classes = class_scores(planes, names).assign(unit=WHOLE)
    frames = sized(planes, planes).assign(unit=WHOLE, accuracy=lambda rows: rows.plane == rows.found)
    parts = [
        wide(classes, "unit", ["method", "size"], list(PLANE_MEASURES)),
        wide(classes, "unit", ["method", "size", "plane"], list(PLANE_MEASURES)),
        wide(frames, "unit", ["method", "size"], ["accuracy", "support"]).dropna(axis=1, how="all"),
    ]
    return pd.concat(parts, axis=1)


def claim_tables(
    volumes: pd.DataFrame,
    pancreas: pd.DataFrame,
    networks: pd.DataFrame,
    planes: pd.DataFrame,
    names: list[str],
    plane_networks: pd.DataFrame,
    localised: pd.DataFrame,
    attention: pd.DataFrame,
) -> dict[str, pd.DataFrame]:
    """Each table indexed by (seed, unit): see the comments in `claims/gates.yaml`.

    Args:
        volumes, pancreas, networks: as for the tables of scans in `whereabouts.chapters.gates.scan_tables`; the folds
            become one arm.
        planes, names, plane_networks, localised: as for the tables of planes in
            `whereabouts.chapters.gates.plane_tables`.
        attention: columns seed, case, moment (1 to 5, those that are kept), inside and outside: the mean coefficient of
            the Attention U-Net's gates, in [0, 1], over voxels of the structures and over all others; and `LEVELS`, the
            first without the second of each skip connection.
    """
    folds = pancreas.arm.str.replace(r"-fold\d+$", "-folds", regex=True)
    one = {"seed": 0, "unit": WHOLE}
    ways = ["parameters", "forward_ms", "backward_ms"]
    of_networks = wide(networks.assign(**one), "unit", ["arm"], list(COSTS))
    of_plane_networks = wide(sized(plane_networks, planes).assign(**one), "unit", ["method", "size"], ways)
    boxes = localised.assign(unit=WHOLE).rename(columns={"mean": "iou", "constant": "constant_iou"})
    gates = attention.assign(contrast=attention.inside - attention.outside)
    kept = gates.pivot(index=["seed", "case"], columns="moment", values=["inside", "outside", "contrast", *LEVELS])
    kept.columns = [identifier(*column) for column in kept.columns]
    return {
        "volumes": of_scans(volumes),
        "pancreas": of_scans(pancreas.assign(arm=folds)),
        "networks": of_networks,
        "plane_networks": of_plane_networks,
        "planes": 100 * of_planes(planes, names),
        "boxes": 100 * boxes.groupby(["seed", "unit"])[["iou", "correct", "relative", "constant_iou"]].mean(),
        "attention": 100 * kept,
    }
