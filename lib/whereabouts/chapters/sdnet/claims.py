"""What the claims of the SDNet chapter speak of, from the scores that its notebooks write."""

import pandas as pd

from whereabouts.chapters.sdnet.tables import accuracies_of, variances_of
from whereabouts.metrics.scores import AVERAGE


def identifier(*parts: str | float) -> str:
    """ "sdnet-labelled", 1.5 and "slice" as the name of a column in a claim: sdnet_labelled_1_5_slice."""
    name = "_".join(part if isinstance(part, str) else f"{part:g}" for part in parts)
    return name.replace("-", "_").replace(".", "_")


def wide(rows: pd.DataFrame, columns: list[str], value: str, unit: str = "subject") -> pd.DataFrame:
    """`value` indexed by (seed, unit), a column for each combination of what is in `columns`."""
    names = pd.Series([identifier(*key) for key in rows[columns].itertuples(index=False)], rows.index, dtype=object)
    return rows.groupby(["seed", unit, names.rename("column")])[value].mean().unstack()


def claim_tables(
    acdc: pd.DataFrame,
    qmri: pd.DataFrame,
    mmwhs: pd.DataFrame,
    volume_scores: pd.DataFrame,
    volumes: pd.DataFrame,
    modality: pd.DataFrame,
    leak: pd.DataFrame,
    reconstruction: pd.DataFrame,
    factors: pd.DataFrame,
) -> dict[str, pd.DataFrame]:
    """What `claims/sdnet.yaml` speaks of, each table indexed by (seed, unit): see the comments there.

    Args:
        acdc, qmri, mmwhs: scores as for `table1` and `table3`.
        volume_scores, volumes: as for `lvv`.
        modality, factors: accuracies and variances, as for the functions of these names.
        leak, reconstruction: as for `beyond`.
    """

    def dice(scores: pd.DataFrame, *columns: str) -> pd.DataFrame:
        return 100 * wide(scores[scores.structure == AVERAGE], [*columns, "unit"], "dice")

    told = accuracies_of(modality).melt(["data", "seed"], ["all", "best", "chance"], "kind").assign(training="all")
    spread = variances_of(factors).melt(var_name="kind", ignore_index=False).reset_index().assign(training="all")
    measured = volumes.groupby(["seed", "subject"])[["predicted", "true"]].mean()
    return {
        "acdc": dice(acdc, "arm", "percent"),
        "qmri": dice(qmri, "arm", "percent"),
        "mmwhs": dice(mmwhs, "modality", "mixture"),
        "volume": dice(volume_scores, "when").join(measured, how="outer"),
        "modality": wide(told, ["data", "kind"], "value", "training"),
        "factors": wide(spread, ["arm", "kind"], "value", "training"),
        "reconstruction": wide(reconstruction, ["arm"], "error"),
        "leak": wide(leak.assign(r2=leak.r2.clip(lower=0)), ["arm"], "r2", "quantity"),
    }
