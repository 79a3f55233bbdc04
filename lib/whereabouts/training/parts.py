"""Finished parts of a long evaluation, so that one that is killed and started again goes on and begins nothing anew."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from whereabouts import files
from whereabouts.pipeline import interruption
from whereabouts.pipeline.interruption import Interrupted
from whereabouts.training.checkpoints import Checkpoints


class Parts:
    """The tables that make up an evaluation, each kept from when it is finished until `discard`.

    They lie among the checkpoints, outside the stage's outputs, and are named by the same: notebook, parameters and
    code; and by what the evaluation reads, so that parts of networks that were since trained anew are never taken up.

    Args:
        data: facts of the prepared data, with their sha256.
        weights: files of all networks that are evaluated.
    """

    def __init__(self, data: dict, weights: list[Path], folder: Path | str = "build/checkpoints"):
        self._checkpoints = Checkpoints(folder)
        self._read = {"data": data, "weights": sorted(files.sha256(path) for path in weights)}

    def of(self, part: list, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """What `compute` returns, from disk if an earlier run got that far; rows numbered anew.

        Args:
            part: what tells this part from the others, JSON values.
            compute: the same table whenever it is called; columns of numbers, text or truth values.

        Raises:
            Interrupted: the runner is to end; what is finished is kept.
        """
        checkpoint = self._checkpoints.of(self._read | {"part": part})
        if (kept := checkpoint.load()) is None:
            if interruption.asked():
                raise Interrupted("between two parts of an evaluation")
            table = compute()
            kept = {name: (str(column.dtype), column.tolist()) for name, column in table.items()}
            checkpoint.save(kept)
        return pd.DataFrame({name: pd.Series(values, dtype=dtype) for name, (dtype, values) in kept.items()})

    def discard(self) -> None:
        """Forget the parts; once the stage has written its outputs."""
        self._checkpoints.discard()
