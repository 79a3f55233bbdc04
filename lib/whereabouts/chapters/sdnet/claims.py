"""What the claims of the SDNet chapter speak of, from the scores that its notebooks write."""

import re

import pandas as pd
from pandas.api.typing import DataFrameGroupBy

from whereabouts.chapters.sdnet.tables import accuracies_of, variances_of
from whereabouts.metrics.scores import AVERAGE

WHOLE = "all"  # the unit of a table without units


def identifier(*parts: str | float) -> str:
    """ "sdnet-labelled", 1.5 and "slice" as the name of a column in a claim: sdnet_labelled_1_5_slice."""
    name = "_".join(part if isinstance(part, str) else f"{part:g}" for part in parts)
    return re.sub(r"\W", "_", name)


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
    painted: pd.DataFrame,
    held: pd.DataFrame,
) -> dict[str, pd.DataFrame]:
    """What `claims/sdnet.yaml` speaks of, each table indexed by (seed, unit): see the comments there.

    Args:
        acdc, qmri, mmwhs: scores as for `table1` and `table3`.
        volume_scores, volumes: as for `lvv`.
        modality, factors: accuracies and variances, as for the functions of these names.
        leak, reconstruction: as for `beyond`.
        painted: columns seed, fold, subject, correlated (in [0, 1]) and those of
            `whereabouts.evaluation.latent.repainted`.
        held: columns seed, fold, discrete and r2, of `whereabouts.evaluation.latent.explained`.
    """

    def dice(scores: pd.DataFrame, *columns: str) -> pd.DataFrame:
        return 100 * wide(scores[scores.structure == AVERAGE], [*columns, "unit"], "dice")

    def in_folds(scores: pd.DataFrame) -> pd.DataFrame:
        """A subject that two folds test (the released ones share some) is two units."""
        return scores.assign(subject=scores.fold.astype(str) + "-" + scores.subject)

    def by_fold(table: pd.DataFrame) -> DataFrameGroupBy:
        """The subjects of each network: those of a seed and a fold."""
        return table.groupby(["seed", table.index.get_level_values("subject").str.split("-").str[0].rename("fold")])

    of_acdc, of_mmwhs = (
        dice(in_folds(s), *by) for s, by in ((acdc, ("arm", "percent")), (mmwhs, ("modality", "mixture")))
    )
    parts = volume_scores[volume_scores.structure != AVERAGE]
    half = qmri[(qmri.arm == "sdnet") & (qmri.percent == 50)]
    measured = volumes.groupby(["seed", "subject"])[["predicted", "true"]].mean()
    of_volumes = dice(volume_scores, "when").join(
        [100 * wide(parts, ["when", "structure", "unit"], "dice"), measured], how="outer"
    )
    told = accuracies_of(modality).melt(["data", "seed"], ["all", "best", "second", "chance"], "kind")
    spread = variances_of(factors).melt(var_name="kind", ignore_index=False).reset_index()
    fold = leak.groupby(["arm", "seed", "quantity"]).cumcount()  # which are not told apart, as in factors
    return {
        "acdc": of_acdc,
        "spread": by_fold(of_acdc).std(),
        "qmri": dice(in_folds(qmri), "arm", "percent"),
        "mmwhs": of_mmwhs,
        "mixtures": by_fold(of_mmwhs).mean(),
        "volume": of_volumes.join(dice(half, "arm", "percent")),
        "modality": wide(told.assign(training=WHOLE), ["data", "kind"], "value", "training"),
        "factors": wide(spread, ["arm", "kind"], "value", "run"),
        "reconstruction": wide(reconstruction, ["arm"], "error"),
        "painted": in_folds(painted.assign(correlated=100 * painted.correlated))
        .drop(columns=["scale", "fold"], errors="ignore")
        .groupby(["seed", "subject"])
        .mean(),
        "held": wide(held, ["discrete"], "r2", "fold"),
        "leak": wide(leak.assign(r2=leak.r2.clip(lower=0), fold=fold), ["arm"], "r2", "fold"),
    }
