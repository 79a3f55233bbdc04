"""Finished parts of a long evaluation, so that one that is killed and started again goes on and begins nothing anew."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from whereabouts import files
from whereabouts.pipeline import identity, interruption
from whereabouts.pipeline.interruption import Interrupted
from whereabouts.training.checkpoints import Checkpoints


class Parts:
    """The tables that make up an evaluation, each kept from when it is finished until `discard`.

    They lie among the checkpoints, outside the stage's outputs, and are named by the same: notebook, parameters and
    code; and by what the evaluation reads, so that parts of networks that were since trained anew are never taken up.
    A notebook that is run by hand keeps none: its cells may be others by the next try, and nothing tells.

    Args:
        data: facts of the prepared data, with their sha256.
        weights: files of all networks that are evaluated.
    """

    def __init__(self, data: dict, weights: Iterable[Path], folder: Path | str = "build/checkpoints"):
        self._checkpoints = Checkpoints(folder) if identity.this() else None
        there = [path for path in weights if path.is_file()]  # of one that is not, whatever reads it says so
        self._read = {"data": data, "weights": sorted(map(files.sha256, there))}

    def of(self, compute: Callable[..., pd.DataFrame], *part, **given) -> pd.DataFrame:
        """What `compute(*part, **given)` returns, from disk if an earlier try got that far; rows numbered anew.

        Args:
            compute: has a name; columns of numbers, text or truth values.
            part: which part it is, JSON values.
            given: what else it takes, and what follows from the part.

        Raises:
            Interrupted: the runner is to end; what is finished is kept.
        """
        if not self._checkpoints:
            return compute(*part, **given).reset_index(drop=True)
        checkpoint = self._checkpoints.of(self._read | {"part": [compute.__name__, *part]})
        if (kept := checkpoint.load()) is None:
            if interruption.asked():
                raise Interrupted("between two parts of an evaluation")
            table = compute(*part, **given)
            kept = {name: (str(column.dtype), column.tolist()) for name, column in table.items()}
            checkpoint.save(kept)
        return pd.DataFrame({name: pd.Series(values, dtype=dtype) for name, (dtype, values) in kept.items()})

    def discard(self) -> None:
        """Forget the parts; once the stage has written its outputs."""
        if self._checkpoints:
            self._checkpoints.discard()
