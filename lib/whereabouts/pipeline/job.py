"""One try of a notebook as a job of a scheduler: its script, its log, and the exit code that it leaves."""

import hashlib
import os
import secrets
import shlex
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from whereabouts import paths
from whereabouts.pipeline.cluster import SWITCH, Request

EXIT = "WHEREABOUTS_EXIT"  # where a job leaves its exit code
LOGS = "build/jobs"
LATE = 60  # seconds until a file written on another host is surely seen here, over NFS
LIMIT, PUT_AWAY = "limit", "put away"  # why a job is worth a second try


@dataclass(frozen=True)
class Job:
    """A try.

    Args:
        name: of the notebook and of what it is given: the same for every try.
        log: its own.
        script: lines of a shell, the last of which the runner replaces.
    """

    name: str
    log: Path
    script: str

    @property
    def left(self) -> Path:
        """Where the exit code will be."""
        return self.log.with_suffix(".exit")


@dataclass(frozen=True)
class End:
    """How a job ended: its exit code; in words, if it is not 0; and whether another try is worth it."""

    code: int
    how: str = ""
    why: str = ""


def new(arguments: list[str], notebook: str, request: Request, where: str) -> Job:
    """A try of `python -m whereabouts.run` with `arguments`."""
    name = f"{Path(notebook).stem}-{hashlib.sha256(f'{paths.ROOT} {arguments}'.encode()).hexdigest()[:8]}"
    log = paths.at(LOGS) / f"{name}-{secrets.token_hex(4)}.log"
    left, library = shlex.quote(str(log.with_suffix(".exit"))), shlex.quote(str(paths.ROOT / "lib"))
    python = request.python or shlex.quote(sys.executable)
    lines = [
        "trap '' USR1",  # a warning that comes before the runner listens
        f"trap {shlex.quote(f'echo $? > {left}- && mv {left}- {left}')} EXIT",  # a line before the last failed
        "set -e",
        f"cd {shlex.quote(str(paths.ROOT))}",
        *filter(None, [request.setup]),
        f"export PYTHONPATH={library}${{PYTHONPATH:+:$PYTHONPATH}}",
        # in place of the shell, since signals are for it
        f"exec env {SWITCH}={where} {EXIT}={left} {python} -m whereabouts.run {shlex.join(arguments)}",
    ]
    return Job(name, log, "\n".join(lines) + "\n")


def say(text: str | bytes) -> None:
    """To standard error, which may be gone with its terminal: the job goes on."""
    with suppress(OSError):
        os.write(2, text if isinstance(text, bytes) else text.encode())


class Tail:
    """A file that grows, copied to standard error as it does."""

    def __init__(self, path: Path):
        self.path, self.seen = path, 0

    def copy(self) -> None:
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self.seen)
                content = file.read()
            say(content)
            self.seen += len(content)
