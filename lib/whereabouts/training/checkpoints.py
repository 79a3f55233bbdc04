"""Checkpoints of unfinished runs: outside the pipeline's outputs, keyed by configuration and code, whole or ignored."""

import hashlib
import io
import json
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import torch

from whereabouts import files, paths
from whereabouts.errors import InputError
from whereabouts.pipeline import code, identity


def code_digest() -> str:
    """Of every module of `whereabouts` that this process has loaded, but for comments and docstrings."""
    sources = sorted(
        m.__file__ for n, m in list(sys.modules.items()) if n.split(".")[0] == "whereabouts" and m.__file__
    )
    digests = [code.digest(Path(source).read_text(encoding="utf-8")) for source in sources]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


class Checkpoint:
    """The state of one run in one file: a line with the sha256 of what follows, then what `torch.save` wrote.

    The version before is kept beside it, and taken where the newest cannot be read.
    """

    def __init__(self, path: Path):
        self.path, self.previous = path, path.with_suffix(".previous")

    def save(self, state: dict) -> None:
        buffer = io.BytesIO()  # not a file: torch.save writes the file's name into the bytes
        torch.save(state, buffer)
        content = buffer.getvalue()
        try:
            if self.path.exists():
                self.path.replace(self.previous)
        except OSError as error:
            raise files.unwritable(self.path, error) from None
        files.write_bytes(self.path, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)

    def load(self) -> dict | None:
        """The newest state that is whole, or None; a damaged file is reported by a warning and removed.

        Raises:
            InputError: one that the system does not let us read.
        """
        for path in (self.path, self.previous):
            if not path.exists():
                continue
            try:
                digest, _, content = path.read_bytes().partition(b"\n")
            except OSError as error:  # it may be whole, so it is neither passed over nor removed
                problem = f"cannot be read ({error.strerror}); mend that, or remove it to begin anew"
                raise InputError(f"{paths.shown(path)}: {problem}") from None
            if hashlib.sha256(content).hexdigest().encode() == digest:
                with suppress(Exception):  # torch's, of what is not ours: it loads tensors and plain values only
                    return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
            warnings.warn(f"{paths.shown(path)}: damaged checkpoint passed over; its steps are run again", stacklevel=2)
            path.unlink()  # lest the next `save` put it in the place of the good one before it
        return None

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.previous.unlink(missing_ok=True)


class Checkpoints:
    """The checkpoints of one stage; `discard` them once the stage has written its outputs.

    A run is named by the hash of its configuration, of the code, and of the notebook and parameters that the runner was
    given, so that it never resumes under another. Those of a stage begin alike, whichever process made them.
    """

    def __init__(self, folder: Path | str = "build/checkpoints"):
        self.folder = paths.at(folder)
        self.stage = _name(code_digest(), identity.this(), torch.__version__)

    def of(self, configuration: dict) -> Checkpoint:
        return Checkpoint(self.folder / f"{self.stage}-{_name(configuration)}.pt")

    def discard(self) -> None:
        for path in self.folder.glob(f"{self.stage}-*"):
            path.unlink(missing_ok=True)


def _name(*what: object) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:24]
