"""A job of any scheduler, or of none: a command line that submits a script, waits, and ends with its exit code.

`qsub -W block=true` of PBS and `qsub -sync y` of Grid Engine are such commands. Nothing else is asked of a scheduler,
so nothing else is known of a job than that its script began, and the exit code that the runner in it leaves.
"""

import os
import re
import shlex
import signal
import subprocess
import time
from contextlib import suppress

from whereabouts import files
from whereabouts.errors import raise_all
from whereabouts.pipeline.cluster import PLACE, Request, named, unknown, written
from whereabouts.pipeline.execution import INTERRUPTED
from whereabouts.pipeline.job import LATE, LIMIT, PUT_AWAY, End, Job, Tail, say

ENDING = 60  # seconds until a job that was cancelled surely has ended


def fill(line: str, setting: str, values: dict[str, object]) -> str:
    """A command line with a value, quoted for the shell, in place of each {name}.

    Raises:
        InputError: names that nothing has.
    """
    given = {name: written(value) for name, value in values.items() if value is not None}
    raise_all(unknown(setting, line, given))
    return re.sub(PLACE, lambda match: shlex.quote(given[match[1]]), line)


def run(job: Job, options: dict[str, object], request: Request) -> End:
    """Submit a try, and wait until it has ended.

    Raises:
        KeyboardInterrupt: by Ctrl-C or SIGTERM; the job is cancelled, if `cancel:` says how.
        InputError: the command line has names that nothing is asked for under, or the script cannot be written.
    """
    script, said, begun = (job.log.with_suffix(suffix) for suffix in (".sh", ".said", ".begun"))
    values = options | {"name": _short(job.name), "log": job.log, "script": script}
    submit, cancel = fill(request.submit, "submit", values), fill(request.cancel, "cancel", values)
    files.write_text(script, f"#!/bin/sh\n: >{shlex.quote(str(begun))}\n{job.script}")
    script.chmod(0o755)
    tails = Tail(said), Tail(job.log)
    with said.open("w", encoding="utf-8") as file:
        waiting = subprocess.Popen(
            ["sh", "-c", submit], stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
    try:
        end = float("inf")
        while True:
            if waiting.poll() is not None:  # the exit code may be late: at once, only if the command failed too
                end = min(end, time.monotonic() + (0 if waiting.returncode else LATE))
                os.listdir(job.left.parent)  # without it NFS goes on saying that the file is not there
            ended = waiting.returncode is not None and (job.left.exists() or time.monotonic() >= end)
            for tail in tails:
                tail.copy()
            if ended:
                ending = _end(job, waiting.returncode, begun.exists())
                begun.unlink(missing_ok=True)
                if not job.log.exists():  # no scheduler made one: what the submitter said is all there is
                    said.replace(job.log)
                for file in () if ending.code else (script, said):
                    file.unlink(missing_ok=True)
                return ending
            if signal.sigtimedwait({signal.SIGTERM}, 0.2):
                raise KeyboardInterrupt
    except BaseException:
        _cancel(waiting, cancel)
        raise


def _short(name: str) -> str:
    """A job's name as all schedulers take it: a letter first, at most 15 letters, digits, _ and -."""
    stem, _, digest = name.rpartition("-")
    plain = re.sub(r"\W|^[^A-Za-z]+", "", stem, flags=re.ASCII)
    return f"{plain[:6] or 'w'}-{digest}"


def _end(job: Job, returned: int, begun: bool) -> End:
    """What the job left; where that is nothing it did not end by itself, but for its time or its memory, say."""
    if not job.left.exists():
        wait = "; it has to wait until the job has ended" if returned == 0 else ""
        if not begun:  # refused, or still in the queue: another try would be refused too, or be a second job
            return End(returned or 1, f"no job began, and `submit:` ended with {returned}{wait or '; mend it'}")
        return End(returned or 1, f"the job left no exit code, and its submitter {returned}{wait}", LIMIT)
    code = int(job.left.read_text(encoding="utf-8"))
    return End(code, "the job was put away", PUT_AWAY) if code == INTERRUPTED else End(code, "the job failed")


def _cancel(waiting: subprocess.Popen, cancel: str) -> None:
    """Cancel the job, or at least end the command that waits for it, which then may end the job itself."""
    done = subprocess.run(["sh", "-c", cancel or "exit 1"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        why = f"`{cancel}`: {' '.join(done.stderr.split())}" if cancel else f"{named()} has no cancel: line"
        say(f"error: the command that submitted it is told to end, the job perhaps is not ({why}); see the queue\n")
        _signal(waiting, signal.SIGTERM)
    end = time.monotonic() + ENDING
    while waiting.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
    _signal(waiting, signal.SIGKILL)
    waiting.wait()


def _signal(waiting: subprocess.Popen, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(waiting.pid, number)
