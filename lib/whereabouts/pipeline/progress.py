"""Progress that is seen while it is made: in the runner's terminal, below the cell of a notebook, or in a terminal.

What the runner executes keeps nothing of it. A notebook run by hand keeps one line for each bar.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterable
from html import escape

from tqdm import tqdm

CHANNEL = "WHEREABOUTS_PROGRESS"  # the runner names a pipe here; it copies what arrives to its own terminal
_tell: Callable[[dict], None] | None = None  # in a forked process: takes what a bar shows to where it is shown


def tell(function: Callable[[dict], None]) -> None:
    """In a process that is forked: have its bars told to `function`, not drawn."""
    global _tell
    _tell = function
    tqdm.set_lock(threading.RLock())  # the one it has may have been held, by a thread that it has not
    tqdm.monitor_interval = 0


def bar(iterable: Iterable | None = None, **options) -> tqdm:
    """A tqdm bar on the runner's terminal where there is a runner, else in the notebook or on standard error.

    Args:
        iterable: what to count, or None for a bar that is advanced by hand, in a `with` block.
        options: passed to tqdm (`desc`, `total`, `unit`).
    """
    if _tell:
        return Told(iterable, **options)
    channel = os.environ.get(CHANNEL)
    if not channel and _in_notebook():
        return InNotebook(iterable, mininterval=0.5, **options)
    file = open(channel, "w", encoding="utf-8", buffering=1) if channel else sys.stderr  # noqa: SIM115, lives as long as the bar
    return tqdm(iterable, file=file, dynamic_ncols=not channel, mininterval=0.5, leave=False, **options)


def _in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    return "IPython" in sys.modules and hasattr(sys.modules["IPython"].get_ipython(), "kernel")


class Told(tqdm):
    """A bar that is drawn by another process: it tells its name, how far it is and, at the end, why it ended."""

    def __init__(self, iterable: Iterable | None = None, **options):
        self.ended = None
        super().__init__(iterable, gui=True, disable=False, mininterval=0.5, miniters=1, **options)
        self.display()

    def display(self, *_, **__) -> None:
        said = {"desc": self.desc, "total": self.total, "unit": self.unit, "n": self.n, "postfix": self.postfix}
        _tell({"key": id(self), "ended": self.ended, **said})

    def close(self) -> None:
        if not self.disable:
            super().close()
            self.ended = self.ended or "stopped"
            self.display()

    def __exit__(self, kind: type[BaseException] | None, *fault) -> None:
        if kind:
            self.ended = f"stopped by {kind.__name__}"
        super().__exit__(kind, *fault)


class InNotebook(tqdm):
    """A bar below the cell that runs: one output of it, redrawn in place from whatever thread, which stays as one line.

    Plain HTML and text, no widget: every front end shows it, and a saved notebook has it as it was last. A bar that was
    closed before its end says so.
    """

    def __init__(self, iterable: Iterable | None = None, **options):
        from IPython.display import display

        self.why = "stopped"
        super().__init__(iterable, gui=True, disable=False, **options)  # gui: prints nothing by itself
        self.output = display(self._shown(), raw=True, display_id=True)

    def display(self, *_, **__) -> None:
        """Redraw; tqdm calls this."""
        self.output.update(self._shown(), raw=True)

    def close(self) -> None:
        if not self.disable:  # tqdm's word for closed
            super().close()
            self.display()

    def __exit__(self, kind: type[BaseException] | None, *fault) -> None:
        if kind:
            self.why = f"stopped by {kind.__name__}"
        super().__exit__(kind, *fault)

    def _shown(self) -> dict[str, str]:
        """The bar as HTML and as text."""
        state = ", {remaining} left"
        if self.disable:
            whole = self.why == "stopped" and self.n >= (self.total or 0)
            state = " in {elapsed}" if whole else f", {self.why} after {{elapsed}}"
        line = "{desc}: {unit} {n_fmt} of {total_fmt}" + state + "{postfix}"
        text = self.format_meter(**{**self.format_dict, "bar_format": line})
        drawn = f'<progress style="flex: none" value="{self.n}" max="{self.total or max(self.n, 1)}"></progress>'
        row = f'<div style="display: flex; align-items: center; gap: 1ch">{drawn}<span>{escape(text)}</span></div>'
        return {"text/html": row, "text/plain": text}
