"""Executing a notebook: as it is run, so that what it leaves is the same, byte for byte, from run to run."""

import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from whereabouts import paths
from whereabouts.errors import raise_all
from whereabouts.pipeline import identity, interruption, notebooks, precision, progress, surroundings
from whereabouts.pipeline.interruption import AGAIN
from whereabouts.pipeline.kernel_process import KernelProcess
from whereabouts.pipeline.runs import Run

INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: try again
GRACE = 20.0  # seconds from SIGTERM, in which training puts itself away, until whatever else runs is stopped


@contextmanager
def interruptible(file: Path, stop: Callable[[], None]) -> Iterator[None]:
    """SIGTERM, SIGHUP and SIGUSR1 no longer kill, here and in the kernel; they make what `interruption` looks for.

    They are blocked, which the kernel inherits: Slurm signals every process of a job. A SIGHUP that is ignored (nohup)
    stays so, as does Ctrl-C in the background: nothing here needs SIGINT.

    Args:
        file: what is made.
        stop: called again and again, in a thread, from `GRACE` after a SIGTERM or SIGHUP to the end of the block.
    """
    ending = {signal.SIGTERM} | ({signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN else set())
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ending | {signal.SIGUSR1})
    ended = threading.Event()

    def listen() -> None:
        end = float("inf")
        while not ended.is_set():
            if received := signal.sigtimedwait(ending | {signal.SIGUSR1}, 0.2):
                with suppress(OSError):  # no room for it: what runs is stopped all the same
                    file.touch()
                if received.si_signo in ending:
                    end = min(end, time.monotonic() + GRACE)
            if time.monotonic() >= end:
                stop()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield
    finally:
        ended.set()
        listener.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@contextmanager
def progress_shown(pipe: Path) -> Iterator[None]:
    """Copy what the kernel's progress bars write to `pipe` to this process's standard error, if anybody reads it."""
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDWR)  # held open for writing too, so that reading never ends early

    def copy() -> None:
        content = b""
        while not content.endswith(b"\0"):
            content = os.read(descriptor, 65536)
            with suppress(OSError):  # the terminal is gone; the kernel writes on, and would wait for a reader
                os.write(2, content.rstrip(b"\0"))

    reader = threading.Thread(target=copy, daemon=True)
    reader.start()
    try:
        yield
    finally:
        os.write(descriptor, b"\0")
        reader.join(timeout=1)
        os.close(descriptor)


def execute(notebook: Path, output: Path, values: dict) -> int:
    """Run `notebook` with `values` and write it normalised to `output`, with the traceback if it fails.

    Returns:
        0, or `INTERRUPTED` if it was asked to end, by a signal or Ctrl-C, and did.

    Raises:
        InputError: what went wrong, a line each.
    """
    with surroundings.folder() as folder:
        kernel, executed = KernelProcess(folder), folder / "executed.ipynb"
        channels = {
            identity.CHANNEL: identity.of(notebooks.code_text(notebook), values),
            interruption.CHANNEL: str(folder / "interrupt"),
            progress.CHANNEL: str(folder / "progress"),
        }
        with interruptible(folder / "interrupt", kernel.stop):
            with progress_shown(folder / "progress"), closing(kernel):
                environment = (
                    surroundings.variables(folder) | precision.environment(_precision(notebook, values)) | channels
                )
                problems = _run(notebook, executed, values, kernel, environment, paths.shown(output))
            if executed.exists():
                notebooks.write(notebooks.normalise(notebooks.read(executed), outputs=True), output)
    interrupted = any(problem.endswith(AGAIN) for problem in problems)
    if not interrupted:
        raise_all(problems)
    for problem in problems:
        print(f"{paths.shown(output)}: {problem}", file=sys.stderr)
    return INTERRUPTED if interrupted else 0


def _precision(notebook: Path, values: dict) -> str:
    """What the parameters of a notebook ask for, or else the run that they name; empty where it reads none."""
    defaults = notebooks.parameters(notebooks.read(notebook), notebook.name)
    if values.get("precision") or "run" not in defaults:
        return values.get("precision", "")
    return precision.of(Run.of(values.get("run", defaults["run"])).scale)


def _run(
    notebook: Path, executed: Path, values: dict, kernel: KernelProcess, environment: dict[str, str], name: str
) -> list[str]:
    """papermill, and what it says when a notebook does not run through: lines, none if it does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kernel.start(environment)
            return _papermill(notebook, executed, values, kernel, name)
    except RuntimeError:  # nbclient's DeadKernelError
        return [f"stopped; {AGAIN}" if kernel.stopped else f"{name}: {kernel.ended()}"]
    except KeyboardInterrupt:
        return [f"stopped; {AGAIN}"]


def _papermill(notebook: Path, executed: Path, values: dict, kernel: KernelProcess, name: str) -> list[str]:
    import papermill  # while the kernel starts, which takes as long

    try:
        papermill.log.logger.disabled = True  # what it logs is said below
        papermill.execute_notebook(
            notebooks.read(notebook),  # not its path, in which papermill takes {braces} for parameters
            str(executed).replace("{", "{{").replace("}", "}}"),
            parameters=values,
            km=kernel.manager,
            kernel_name=kernel.name,
            language="python",
            cwd=str(paths.ROOT),
            progress_bar=False,
            autosave_cell_every=0,
            start_timeout=300,
        )
    except papermill.PapermillExecutionError as error:
        if error.ename in ("InputError", "Interrupted"):
            return error.evalue.splitlines()
        if error.ename == "KeyboardInterrupt":
            return [f"stopped; {AGAIN}"]
        return [f"{name}: cell {error.exec_count}: {error.ename}: {' '.join(error.evalue.split())}"]
    except papermill.exceptions.PapermillException as error:
        return [f"{name}: {error}"]
    return []
