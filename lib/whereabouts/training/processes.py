"""Independent pieces of work on all cores: each in a process on one thread, so that cores change no result.

Threads share one interpreter, in which all but the largest kernels wait for each other. The processes are forked: they
see whatever the caller sees, its functions and its data, without a copy. What they write is their own, but for the
weights of networks that `shared` placed.
"""

import mmap
import os
import pickle
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import TypeVar
from weakref import WeakSet

import torch
from torch import nn

from whereabouts.errors import InputError
from whereabouts.pipeline import interruption, progress
from whereabouts.pipeline.interruption import Interrupted

R, T = TypeVar("R"), TypeVar("T")
ALIGNED = 64  # bytes, as PyTorch aligns its own memory
_placed: WeakSet[nn.Module] = WeakSet()
_working = False  # in a process of `each`


def shared(model: nn.Module) -> nn.Module:
    """`model`, its weights and buffers moved to memory that processes forked from this one write for all to see."""
    tensors, starts, end = [*model.parameters(), *model.buffers()], [], 0
    for tensor in tensors:
        starts.append(end)
        end += -(-tensor.nbytes // ALIGNED) * ALIGNED
    memory = mmap.mmap(-1, max(end, 1))
    for tensor, start in zip(tensors, starts, strict=True):
        if tensor.numel():
            flat = torch.frombuffer(memory, dtype=tensor.dtype, count=tensor.numel(), offset=start)
            tensor.data = flat.as_strided(tensor.shape, tensor.stride()).copy_(tensor.data)
    _placed.add(model)
    return model


def expect_shared(model: nn.Module) -> None:
    """Raise ValueError where what `model` learns would be lost with this process."""
    if _working and model not in _placed:
        raise ValueError("a network that `build` did not make: what it learns side by side with others would be lost")


def each(work: Callable[[R], T], pieces: list[R], count: int) -> dict[R, T]:
    """piece -> work(piece), in `count` processes; results come back pickled.

    Progress bars and what is printed are shown here. Where one piece fails, or the caller is interrupted, the others
    are asked to put themselves away (`interruption.asked`), and waited for.

    Raises:
        Whatever `work` raises.
        InputError: a process was killed.
    """
    context, todo, results = get_context("fork"), list(range(len(pieces))), {}
    processes, at = {}, {}  # our end of a pipe -> the process at its other end; -> the piece that it is at
    bars: dict = {}
    try:
        for _ in range(min(count, len(pieces))):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(work, pieces, theirs, os.getpid()), daemon=True)
            with warnings.catch_warnings():  # of threads, whose locks stay locked: no work here needs those
                warnings.simplefilter("ignore", DeprecationWarning)
                process.start()
            theirs.close()
            processes[ours] = process
            _next(ours, todo, at)
        while at:
            for ours in wait(list(at)):
                kind, said = _received(ours, processes[ours], pieces[at[ours]])
                if kind == "bar":
                    _show(bars, (ours, said.pop("key")), said)
                elif kind == "text":
                    sys.stderr.write(said)
                elif kind == "failed":
                    raise said
                else:
                    results[at.pop(ours)] = said
                    _next(ours, todo, at)
    finally:
        _end(processes)
        for bar in bars.values():
            bar.close()
    return {piece: results[k] for k, piece in enumerate(pieces)}


def _next(ours: Connection, todo: list[int], at: dict[Connection, int]) -> None:
    """Give a process that waits the next piece, or tell it that there is none."""
    if todo:
        at[ours] = todo.pop(0)
    ours.send(at.get(ours))


def _received(ours: Connection, process, piece: object) -> tuple[str, object]:
    try:
        return pickle.loads(ours.recv_bytes())
    except (EOFError, ConnectionError):
        process.join()
        why = f"ended with {process.exitcode}" if process.exitcode >= 0 else signal.Signals(-process.exitcode).name
        raise InputError(f"{piece}: its process: {why}; if memory ran out, choose a smaller batch or scale") from None


def _end(processes: dict) -> None:
    """Tell all processes to end, wait until they have, and close the pipes; a second interrupt kills them."""
    try:
        for ours in processes:
            with suppress(OSError):  # it has ended
                ours.send(None)
        for ours in processes:
            with suppress(EOFError, OSError):
                while True:
                    ours.recv_bytes()  # lest it wait for a reader
    finally:
        for ours, process in processes.items():
            process.kill()
            process.join()
            process.close()
            ours.close()


def _show(bars: dict, key: tuple, said: dict) -> None:
    """Draw a process's bar as it says that it is."""
    ended, n, postfix = (said.pop(name) for name in ("ended", "n", "postfix"))
    if key not in bars:
        bars[key] = progress.bar(initial=n, **said)
    bar = bars[key]
    bar.n, bar.postfix, bar.why = n, postfix, ended
    bar.refresh()
    if ended:
        bars.pop(key).close()


class _Printed:
    """In place of a process's standard output and error: tells whole lines, among which those of others may be."""

    def __init__(self, tell: Callable[[str, object], None]):
        self.tell, self.text = tell, ""

    def write(self, text: str) -> None:
        self.text += text
        if self.text.endswith("\n"):
            self.flush()

    def flush(self) -> None:
        if self.text:
            self.tell("text", self.text)
        self.text = ""


def _serve(work: Callable, pieces: list, theirs: Connection, parent: int) -> None:
    """Do the pieces whose numbers arrive, until None does; whatever arrives during work asks for its end."""
    global _working
    _working = True
    interruption.end_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's, or Jupyter's: the parent has it too
    torch.set_num_threads(1)

    def tell(kind: str, said: object) -> None:
        theirs.send_bytes(pickle.dumps((kind, said)))  # not `send`, by which tensors would not outlive the process

    progress.tell(lambda said: tell("bar", said))
    interruption.also_asked = theirs.poll
    sys.stdout = sys.stderr = _Printed(tell)
    while (number := theirs.recv()) is not None:
        try:
            tell("done", work(pieces[number]))
        except BaseException as error:
            if not isinstance(error, (InputError, Interrupted)):
                error.add_note("".join(traceback.format_exception(error)))
            try:
                tell("failed", error)
            except Exception:  # one that cannot be pickled
                tell("failed", RuntimeError("".join(traceback.format_exception(error))))
