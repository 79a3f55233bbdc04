"""Executing a notebook: as it is run, so that what it leaves is the same, byte for byte, from run to run."""

import os
import signal
import sys
import tempfile
import threading
import warnings
from contextlib import contextmanager
from pathlib import Path

from lib import files, identity, interruption, notebooks, paths, progress
from lib.errors import raise_all
from lib.interruption import AGAIN

INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: try again
GRACE = 20.0  # seconds from SIGTERM, in which training puts itself away, until whatever else runs is stopped


@contextmanager
def interruptible(folder: str):
    """SIGTERM and SIGUSR1 no longer kill, here and in the kernel, but make the file that `lib.interruption` looks for.

    They are blocked, which the kernel inherits: Slurm signals every process of a job. `GRACE` after a SIGTERM the main
    thread is interrupted as by Ctrl-C. Yields whether a signal came, to be called.
    """
    signals = {signal.SIGTERM, signal.SIGUSR1}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    file, ended = os.path.join(folder, "interrupt"), threading.Event()

    def listen() -> None:
        while not ended.is_set():
            if received := signal.sigtimedwait(signals, 0.2):
                open(file, "w", encoding="utf-8").close()
                wait = GRACE
                while received.si_signo == signal.SIGTERM and not ended.wait(wait):
                    signal.raise_signal(signal.SIGINT)
                    wait = 5  # again: one that falls into a finaliser is lost

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    os.environ[interruption.CHANNEL] = file
    try:
        yield lambda: os.path.exists(file)
    finally:
        del os.environ[interruption.CHANNEL]
        ended.set()
        listener.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@contextmanager
def progress_shown(folder: str):
    """Copy what the kernel's progress bars write to this process's standard error."""
    pipe = os.path.join(folder, "progress")
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDWR)  # held open for writing too, so that reading never ends early

    def copy() -> None:
        content = b""
        while not content.endswith(b"\0"):
            content = os.read(descriptor, 65536)
            os.write(2, content.rstrip(b"\0"))

    reader = threading.Thread(target=copy, daemon=True)
    reader.start()
    os.environ[progress.CHANNEL] = pipe
    try:
        yield
    finally:
        del os.environ[progress.CHANNEL]
        os.write(descriptor, b"\0")
        reader.join(timeout=1)
        os.close(descriptor)


def execute(notebook: Path, output: Path, values: dict) -> int:
    """Run `notebook` with `values` and write it normalised to `output`, with the traceback if it fails.

    Returns:
        0, or `INTERRUPTED` if it was asked to end and did.

    Raises:
        InputError: what went wrong, a line each.
    """
    os.environ[identity.CHANNEL] = identity.of(notebook.read_text(encoding="utf-8"), values)
    with tempfile.TemporaryDirectory() as folder:
        executed = Path(folder) / "executed.ipynb"
        with interruptible(folder) as asked, progress_shown(folder):
            problems = _run(notebook, executed, values, paths.shown(output))
            interrupted = asked() and any(problem.endswith(AGAIN) for problem in problems)
        if executed.exists():
            notebooks.write(notebooks.normalise(notebooks.read(executed), outputs=True), output)
    if not interrupted:
        raise_all(problems)
    for problem in problems:
        print(f"{paths.shown(output)}: {problem}", file=sys.stderr)
    return INTERRUPTED if interrupted else 0


def _kernel(folder: Path) -> str:
    """The name under which Jupyter finds `lib.kernel`, in this Python, by a specification below `folder`."""
    argv = [sys.executable, "-m", "lib.kernel", "-f", "{connection_file}"]
    specification = {"argv": argv, "display_name": "Whereabouts", "language": "python"}
    files.write_json(folder / "kernels" / "whereabouts" / "kernel.json", specification)
    os.environ["JUPYTER_PATH"] = str(folder)
    return "whereabouts"


def _run(notebook: Path, executed: Path, values: dict, name: str) -> list[str]:
    """papermill, and what it says when a notebook does not run through: lines, none if it does."""
    import papermill
    from traitlets.config import Config

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            papermill.execute_notebook(
                notebook,
                executed,
                parameters=values,
                kernel_name=_kernel(executed.parent),
                language="python",
                cwd=str(paths.ROOT),
                progress_bar=False,
                autosave_cell_every=0,
                start_timeout=300,
                # sockets are files, not TCP ports: others may share the node
                config=Config(
                    {
                        "KernelManager": {"transport": "ipc", "ip": str(executed.with_name("kernel"))},
                        "NotebookClient": {"shutdown_kernel": "immediate"},  # torch alone takes .5 s to be taken down
                    }
                ),
            )
    except papermill.PapermillExecutionError as error:
        if error.ename in ("InputError", "Interrupted"):
            return error.evalue.splitlines()
        if error.ename == "KeyboardInterrupt":
            return [f"stopped; {AGAIN}"]
        return [f"{name}: cell {error.exec_count}: {error.ename}: {error.evalue}"]
    except papermill.exceptions.PapermillException as error:
        return [f"{name}: {error}"]
    except RuntimeError as error:  # nbclient's DeadKernelError
        return [f"{name}: {error}; if memory ran out, choose a smaller batch or scale"]
    except KeyboardInterrupt:
        return [f"stopped; {AGAIN}"]
    return []
