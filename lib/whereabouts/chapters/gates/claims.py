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
        planes, names, plane_networks, localised: as for the tables of planes there.
        attention: columns seed, case, moment (1 to 5, those that are kept), inside and outside: the mean coefficient of
            the Attention U-Net's gates, in [0, 1], over voxels of the structures and over all others; and `LEVELS`, the
            first without the second of each skip connection.
    """
    folds = pancreas.arm.str.replace(r"-fold\d+$", "-folds", regex=True)
    classes = class_scores(planes, names).assign(unit=WHOLE)
    classes[list(PLANE_MEASURES)] *= 100
    frames = sized(planes, planes).assign(correct=100.0 * (planes.plane == planes.found), support=100 * planes.support)
    one = {"seed": 0, "unit": WHOLE}
    ways = ["parameters", "forward_ms", "backward_ms"]
    of_networks = wide(networks.assign(**one), "unit", ["arm"], list(COSTS))
    of_plane_networks = wide(sized(plane_networks, planes).assign(**one), "unit", ["method", "size"], ways)
    boxes = localised.assign(seed=0).rename(columns={"mean": "iou"}).set_index(["seed", "plane"])
    gates = attention.assign(contrast=attention.inside - attention.outside)
    kept = gates.pivot(index=["seed", "case"], columns="moment", values=["inside", "outside", "contrast", *LEVELS])
    kept.columns = [identifier(*column) for column in kept.columns]
    return {
        "volumes": of_scans(volumes),
        "pancreas": of_scans(pancreas.assign(arm=folds)),
        "networks": of_networks,
        "plane_networks": of_plane_networks,
        "planes": wide(classes, "plane", ["method", "size"], list(PLANE_MEASURES)),
        "classes": wide(classes, "unit", ["method", "size", "plane"], list(PLANE_MEASURES)),
        "frames": wide(frames, "index", ["method", "size"], ["correct", "support"]).dropna(axis=1, how="all"),
        "boxes": 100 * boxes[["iou", "correct", "relative"]],
        "attention": 100 * kept,
    }
