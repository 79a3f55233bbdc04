"""The notebook runner as a Slurm job: submitted here, awaited, and ended with the job's own exit code.

The switch is an environment variable, WHEREABOUTS_RUN_ON=slurm, so that stage commands, `dvc.lock` and the keys of
DVC's cache are the same everywhere. What a job asks for is in params/cluster.yaml.
"""

import hashlib
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

from whereabouts import files, paths
from whereabouts.errors import InputError, raise_all
from whereabouts.pipeline.plain_yaml import load

SWITCH, FILE = "WHEREABOUTS_RUN_ON", "WHEREABOUTS_CLUSTER"
EXIT = "WHEREABOUTS_EXIT"  # where a job leaves its exit code
LOGS = "build/slurm"
OURS = (  # options of sbatch that the runner depends on
    *("wait", "parsable", "requeue", "no-requeue", "open-mode", "dependency", "job-name", "chdir", "signal", "export"),
    *("output", "error", "input", "wrap", "array", "test-only", "quiet", "get-user-env", "export-file", "hold"),
)
NUMBER = r"(?m)^(?:Submitted batch job )?(\d+)(?:;(\S+))?\s*$"  # of --parsable, or of an sbatch that drops it
WARNING_SECONDS = 60  # from SIGUSR1, on which training puts itself away, to the time limit
LATE = 60  # seconds until a file written on another host is surely seen here, over NFS
ENDING = 100  # seconds until a job that is ending has ended: KillWait, 30 by default, and a margin
ASKED = 10  # seconds between two searches for the job whose number sbatch does not say
SAID = 3  # seconds that sbatch has to say it, once this process is told to end


def wanted() -> bool:
    """Whether the runner is to submit itself: it was asked to, and is not in a job of its own making already.

    Somebody else's allocation, an interactive one say, is only where it is submitted from.
    """
    place = os.environ.get(SWITCH, "here")
    if place not in ("here", "slurm"):
        raise InputError(f"{SWITCH}={place}: unknown; choose one of here, slurm")
    return place == "slurm" and EXIT not in os.environ


def resources(notebook: str) -> list[str]:
    """sbatch's options for a notebook: those of every pattern in the file that fits it, the later ones winning.

    `true` stands for an option without a value, `false` and nothing for none.
    """
    file = os.environ.get(FILE, "params/cluster.yaml")
    options: dict[str, object] = {}
    problems = []
    for pattern, asked in load(paths.at(file)).items():
        if not isinstance(asked, dict):
            raise InputError(f"{file}: {pattern}: not options of sbatch, as in {{time: '01:00:00', mem: 8G}}")
        for name, value in asked.items():
            where = f"{file}: {pattern}: {name}: {value!r}"
            if value is not None and not isinstance(value, (bool, int, str)):
                problems.append(f"{where} is no text as sbatch takes it; put it between quotes")
            elif str(value).lower() in ("yes", "no", "on", "off"):
                problems.append(f"{where} is a word to YAML; write true or false, or another value")
            if not re.fullmatch(r"[a-z][a-z0-9-]*", str(name)):
                problems.append(f"{where}: no option of sbatch; write its long name without dashes, as in mem: 8G")
            elif ours := [one for one in OURS if one.startswith(name)]:  # sbatch takes names that are cut short
                problems.append(f"{where}: the runner itself sets {ours[0]}; remove it")
        if fnmatch(notebook, str(pattern)):
            options |= asked
    raise_all(problems)
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    return [f"--{name}" if value is True else f"--{name}={value}" for name, value in given.items()]


def submit(arguments: list[str], notebook: str) -> int:
    """Run `python -m whereabouts.run` with `arguments` as a job, copy its log to standard error; returns its exit code.

    Two jobs of one name never run at once, so that a job left behind by a killed submitter is awaited, not doubled.
    A terminal that is closed ends nothing.

    Raises:
        KeyboardInterrupt: by Ctrl-C or SIGTERM; the job is cancelled.
        InputError: Slurm is not there, or refuses the job.
    """
    name = f"{Path(notebook).stem}-{hashlib.sha256(f'{paths.ROOT} {arguments}'.encode()).hexdigest()[:8]}"
    log = paths.at(LOGS) / f"{name}-{secrets.token_hex(4)}.log"
    left, said = log.with_suffix(".exit"), log.with_suffix(".sbatch")
    log.parent.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["env", f"{EXIT}={left}", sys.executable, "-m", "whereabouts.run", *arguments])
    sbatch = [
        *("sbatch", "--wait", "--parsable", "--requeue", "--open-mode=append", "--dependency=singleton"),
        *(f"--job-name={name}", f"--chdir={paths.ROOT}", f"--signal=B:USR1@{WARNING_SECONDS}"),
        *("--export=ALL", f"--output={_literal(log)}", f"--error={_literal(log)}", "--input=/dev/null"),
        *resources(notebook),
        # the runner is in place of the shell, since signals are for it; until it listens, the warning is ignored
        f"--wrap=trap '' USR1; exec {command}",
    ]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # it waits until there is a job to cancel
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    job = None
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
        job = _number(waiting, said, name, log)
        code, how = _wait(waiting, job, log, left)
    except InputError:
        raise
    except BaseException:
        waiting.kill()  # lest it submit what is cancelled
        _cancel(job or ["--me", f"--name={name}"])
        raise
    finally:
        waiting.kill()
        waiting.wait()
        said.unlink(missing_ok=True)
    if code:
        _say(f"error: {notebook}: job {job[-1]} {how}; its log is {paths.shown(log)}\n".encode())
    left.unlink(missing_ok=True)
    return code


def _literal(path: Path) -> str:
    """A path in which sbatch replaces nothing: `%j` would be the job's number."""
    return str(path).replace("%", "%%")


def _environment() -> dict[str, str]:
    """This process's, which the job is to have, without what would make another kind of job of it or of a question.

    That is a job array, the user's start-up files in place of this environment, what is left of an allocation that this
    process is in, and habits such as SCANCEL_INTERACTIVE. All else that sites and users have in SBATCH_.. either stands
    back behind sbatch's options, or is a choice such as of account and partition.
    """
    unwanted = ("SBATCH_ARRAY_INX", "SBATCH_GET_USER_ENV", "SLURM_", "SCANCEL_", "SCONTROL_", "SQUEUE_")
    kept = ("SLURM_CONF", "SLURM_CLUSTERS")
    return {name: value for name, value in os.environ.items() if name in kept or not name.startswith(unwanted)}


def _client(*command: str) -> subprocess.CompletedProcess:
    """A command of Slurm's that ends by itself, with what it says."""
    options = {"capture_output": True, "text": True, "errors": "replace", "check": False}
    return subprocess.run(command, stdin=subprocess.DEVNULL, env=_environment(), **options)


def _cancel(job: list[str]) -> None:
    done = _client("scancel", *job)
    if done.returncode:
        _say(f"error: {job[-1]}: not cancelled ({' '.join(done.stderr.split())}); see squeue --me\n".encode())


def _say(text: bytes) -> None:
    """To standard error, which may be gone with its terminal: the job goes on."""
    with suppress(OSError):
        os.write(2, text)


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
            raise InputError(f"sbatch refused the job ({reason}); mend params/cluster.yaml")
        if signal.SIGTERM in signal.sigpending():
            told = told or time.monotonic()
            if time.monotonic() - told > SAID:
                raise KeyboardInterrupt
        time.sleep(0.2)


def _wait(waiting: subprocess.Popen, job: list[str], log: Path, left: Path) -> tuple[int, str]:
    """Until the job has left its exit code, or `sbatch --wait`, which asks at ever longer intervals, says it ended.

    A job that left none did not end by itself, whatever `sbatch` says: after a time limit that says 0. Only if Slurm
    calls it completed is the file late.

    Returns:
        the code, and in words how a job that does not end with 0 ended.
    """
    seen, state, end = 0, "", float("inf")
    while True:
        if not state and waiting.poll() is not None:
            state = _state(job)
            end = time.monotonic() + (LATE if state == "COMPLETED" else 0)
        if state:
            os.listdir(left.parent)  # without it NFS goes on saying that the file is not there
        there, over = left.exists(), time.monotonic() >= end
        code = int(left.read_text(encoding="utf-8")) if there else waiting.returncode or 1 if over else None
        if log.exists():
            with log.open("rb") as file:
                file.seek(seen)
                content = file.read()
            _say(content)
            seen += len(content)
        if code is not None:
            return code, "failed" if there else f"ended as {state}"
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


def finish(code: int, again: bool) -> int:
    """In a job: put it back into the queue, if `again`, or leave its exit code for whoever submitted it; the code.

    Slurm decides what goes back: one that was cancelled or is over its time limit stays ended, and one that was
    pre-empted is in the queue already.
    """
    left, job = os.environ.get(EXIT), os.environ.get("SLURM_JOB_ID")
    if left and job and again:
        _client("scontrol", "requeue", "Incomplete", job)
    elif left and job:
        try:
            files.write_text(Path(left), str(code))
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            code = code or 1
        _client("scancel", "--state=PENDING", job)  # pre-empted as it ended, it would run again
    return code
