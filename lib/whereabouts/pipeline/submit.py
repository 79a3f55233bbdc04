"""The notebook runner as a job: submitted here, awaited, and ended with the job's own exit code.

What every scheduler shares; `whereabouts.pipeline.cluster` says what a job asks for, `slurm` and `template` submit it.
"""

import os
import signal
import sys
from pathlib import Path

from whereabouts import files, paths
from whereabouts.errors import InputError
from whereabouts.pipeline import cluster, job, slurm, template

ROUNDS = 50  # tries of a job that is put away at every limit; under Slurm it goes back into the queue by itself


def wanted() -> bool:
    """Whether the runner is to submit itself: it was asked to, and is not in a job of its own making already.

    Somebody else's allocation, an interactive one or a driver job's, is only where it is submitted from.
    """
    return cluster.place() != "here" and job.EXIT not in os.environ


def submit(arguments: list[str], notebook: str) -> int:
    """Run `python -m whereabouts.run` with `arguments` as a job, copy its log to standard error; returns its exit code.

    A job whose memory or time ran out is submitted once more with what `again` says. A terminal that is closed ends
    nothing.

    Raises:
        KeyboardInterrupt: by Ctrl-C or SIGTERM; the job is cancelled.
        InputError: the scheduler is not there, or refuses the job; or what it is to be told is wrong.
    """
    where = cluster.place()
    request = cluster.request(notebook, where)
    run = {"slurm": slurm.run, "cluster": template.run}[where]
    paths.at(job.LOGS).mkdir(parents=True, exist_ok=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # it waits until there is a job to cancel
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    options, rounds = request.options, 1
    while True:
        one = job.new(arguments, notebook, request, where)
        end = run(one, options, request)
        one.left.unlink(missing_ok=True)
        told = f"{notebook}: {end.how}; its log is {paths.shown(one.log)}"
        if not end.code:
            return 0
        if end.why == job.LIMIT and request.again and options is request.options:
            options = options | request.again
            job.say(f"{told}; once more, with {' '.join(slurm.words(request.again))}\n")
        elif end.why == job.PUT_AWAY and rounds < ROUNDS:
            rounds += 1
            job.say(f"{told}; submitted again, {rounds} of at most {ROUNDS} times\n")
        else:
            job.say(f"error: {told}\n")
            return end.code


def finish(code: int, again: bool) -> int:
    """In a job: put it back into Slurm's queue, if `again`, or leave its exit code for its submitter; the code."""
    left, number = os.environ.get(job.EXIT), os.environ.get("SLURM_JOB_ID")
    ours = number if os.environ.get(cluster.SWITCH) == "slurm" else None  # or an allocation that a template runs in
    if left and ours and again:
        slurm.requeue(ours)
    elif left:
        try:
            files.write_text(Path(left), str(code))
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            code = code or 1
        if ours:
            slurm.stay_ended(ours)
    return code
