"""A job of Slurm: submitted by sbatch, awaited, its log copied, and Slurm asked how it ended."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.pipeline.cluster import SWITCH, named, written
from whereabouts.pipeline.job import LATE, LIMIT, End, Job, Tail, say

NUMBER = r"(?m)^(?:Submitted batch job )?(\d+)(?:;(\S+))?\s*$"  # of --parsable, or of an sbatch that drops it
WARNING_SECONDS = 60  # from SIGUSR1, on which training puts itself away, to the time limit
ENDING = 100  # seconds until a job that is ending has ended: KillWait, 30 by default, and a margin
ASKED = 10  # seconds between two searches for the job whose number sbatch does not say
SAID = 3  # seconds that sbatch has to say it, once this process is told to end
LIMITS = ("TIMEOUT", "OUT_OF_MEMORY")
ALLOCATED = ("CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES", "TMPDIR")  # to a job, on its node


def words(options: dict[str, object]) -> list[str]:
    """Options as sbatch takes them: `true` without a value, `false` and nothing not at all, a list with commas."""
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    return [f"--{name}" if value is True else f"--{name}={written(value)}" for name, value in given.items()]


def run(job: Job, options: dict[str, object], *_) -> End:
    """Submit a try, and wait until it has ended.

    Two jobs of one name never run at once, so that a job left behind by a killed submitter is awaited, not doubled.

    Raises:
        KeyboardInterrupt: by Ctrl-C or SIGTERM; the job is cancelled.
        InputError: Slurm is not there, or refuses the job.
    """
    said, number = job.log.with_suffix(".sbatch"), None
    sbatch = [
        *("sbatch", "--wait", "--parsable", "--requeue", "--open-mode=append", "--dependency=singleton"),
        *(
            f"--job-name={job.name}",
            f"--chdir={paths.ROOT}",
            f"--signal=B:USR1@{WARNING_SECONDS}",
            "--export=ALL",
            "--input=/dev/null",
        ),
        *(f"--output={_literal(job.log)}", f"--error={_literal(job.log)}"),
        *words(options),
        f"--wrap={job.script}",
    ]
    try:
        with said.open("w", encoding="utf-8") as file:  # whatever a site's own sbatch says, it never waits for a reader
            waiting = subprocess.Popen(
                sbatch,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,  # Ctrl-C in a terminal is for this process only
            )
    except FileNotFoundError:
        said.unlink()
        raise InputError(f"{SWITCH}=slurm: no sbatch here; run on a host of the cluster, or unset it") from None
    try:
        number = _number(waiting, said, job.name, job.log)
        return _wait(waiting, number, job)
    except InputError:
        raise
    except BaseException:
        waiting.kill()  # lest it submit what is cancelled
        _cancel(number or ["--me", f"--name={job.name}"])
        raise
    finally:
        waiting.kill()
        waiting.wait()
        said.unlink(missing_ok=True)


def requeue(number: str) -> None:
    """Put a job that is about to end back into the queue.

    Slurm decides what goes back: one that was cancelled or is over its time limit stays ended, and one that was
    pre-empted is in the queue already.
    """
    _client("scontrol", "requeue", "Incomplete", number)


def stay_ended(number: str) -> None:
    """Take a job that was pre-empted as it ended, and would run again, out of the queue."""
    _client("scancel", "--state=PENDING", number)


def _literal(path: Path) -> str:
    """A path in which sbatch replaces nothing: `%j` would be the job's number."""
    return str(path).replace("%", "%%")


def _environment() -> dict[str, str]:
    """This process's, which the job is to have, without what would make another kind of job of it or of a question.

    That is a job array, the user's start-up files in place of this environment, what is left of an allocation that this
    process is in, its GPUs and its place for temporary files too, and habits such as SCANCEL_INTERACTIVE. All else that
    sites and users have in SBATCH_.. either stands back behind sbatch's options, or is a choice such as of account and
    partition.
    """
    unwanted = ("SBATCH_ARRAY_INX", "SBATCH_GET_USER_ENV", "SLURM_", "SCANCEL_", "SCONTROL_", "SQUEUE_")
    unwanted += ALLOCATED if "SLURM_JOB_ID" in os.environ else ()
    kept = ("SLURM_CONF", "SLURM_CLUSTERS")
    return {name: value for name, value in os.environ.items() if name in kept or not name.startswith(unwanted)}


def _client(*command: str) -> subprocess.CompletedProcess:
    """A command of Slurm's that ends by itself, with what it says."""
    options = {"capture_output": True, "text": True, "errors": "replace", "check": False}
    return subprocess.run(command, stdin=subprocess.DEVNULL, env=_environment(), **options)


def _cancel(job: list[str]) -> None:
    done = _client("scancel", *job)
    if done.returncode:
        say(f"error: {job[-1]}: not cancelled ({' '.join(done.stderr.split())}); see squeue --me\n")


def _number(waiting: subprocess.Popen, said: Path, name: str, log: Path) -> list[str]:
    """The job, as scontrol and scancel take it: its number, and before it the cluster, if sbatch says one.

    It stands in a line of its own among whatever a site's sbatch says; where it does not, Slurm is asked for the job of
    that name and log.

    Raises:
        KeyboardInterrupt: by SIGTERM, where the number is unknown a while later too.
        InputError: there is no job.
    """
    start, asked, told, others = time.monotonic(), 0, 0.0, set()
    while True:
        ended = waiting.poll() is not None
        text = said.read_text(encoding="utf-8", errors="replace")
        for match in re.finditer(NUMBER, text):
            job = [*([f"--clusters={match[2]}"] if match[2] else []), match[1]]
            if match[0] not in others and _facts(job).get("JobName") == name:
                return job
            others.add(match[0])  # a quota, say
        if ended or time.monotonic() - start > ASKED * (asked + 1):
            asked += 1
            listed = _client("squeue", "--noheader", "--states=all", f"--name={name}", "--format=%A").stdout
            for number in listed.split():
                if _facts([number]).get("StdOut") == str(log):
                    return [number]
        if ended:
            reason = "; ".join(filter(None, map(str.strip, text.splitlines()))) or f"exit code {waiting.returncode}"
            raise InputError(f"sbatch refused the job ({reason}); mend {named()}")
        if signal.SIGTERM in signal.sigpending():
            told = told or time.monotonic()
            if time.monotonic() - told > SAID:
                raise KeyboardInterrupt
        time.sleep(0.2)


def _wait(waiting: subprocess.Popen, number: list[str], job: Job) -> End:
    """Until the job has left its exit code, or `sbatch --wait`, which asks at ever longer intervals, says it ended.

    A job that left none did not end by itself, whatever `sbatch` says: after a time limit that says 0. Only if Slurm
    calls it completed is the file late. One that left a code may have failed because Slurm killed a process of its.
    """
    log, state, end = Tail(job.log), "", float("inf")
    while True:
        if not state and waiting.poll() is not None:
            state = _state(number)
            end = time.monotonic() + (LATE if state == "COMPLETED" else 0)
        if state:
            os.listdir(job.left.parent)  # without it NFS goes on saying that the file is not there
        there, over = job.left.exists(), time.monotonic() >= end
        code = int(job.left.read_text(encoding="utf-8")) if there else waiting.returncode or 1 if over else None
        log.copy()
        if code is not None:
            state = _state(number) if code and not state else state
            how = "failed" if there and state not in LIMITS else f"ended as {state}"
            return End(code, f"job {number[-1]} {how}", LIMIT if state in LIMITS else "")
        if signal.sigtimedwait({signal.SIGTERM}, 0.2):
            raise KeyboardInterrupt


def _facts(job: list[str]) -> dict[str, str]:
    """What Slurm knows of a job: JobName, JobState, StdOut and so on; nothing of one that it does not know."""
    done = _client("scontrol", "--oneliner", *job[:-1], "show", "job", job[-1])
    return dict(re.findall(r"(?:^| )(\w+)=(.*?)(?= [\w/:]+=|$)", done.stdout.strip()))


def _state(job: list[str]) -> str:
    """What Slurm says of a job that ended: "TIMEOUT", "OUT_OF_MEMORY"; for a while it may still be ending."""
    end = time.monotonic() + ENDING
    while True:
        state = _facts(job).get("JobState", "unknown to Slurm")
        if state not in ("COMPLETING", "RUNNING") or time.monotonic() > end:
            return state
        time.sleep(0.5)
