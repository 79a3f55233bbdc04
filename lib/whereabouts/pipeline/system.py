"""What the project runs on: Linux, and a Python that requirements.lock installs on; run as a file it looks.

Nothing here is newer than Python 2, so that an old one says so too.
"""

import os
import signal
import sys

OLDEST, NEWEST = (3, 11), (3, 13)


def check():
    """Exit with 1 and one line where the project cannot run."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        words = sys.version_info[:2] + OLDEST + NEWEST
        sys.exit("error: Python {}.{}: from {}.{} to {}.{} is needed; use such a one (make PYTHON=..)".format(*words))
    needed = ((signal, "sigtimedwait"), (os, "sched_getaffinity"), (os, "mkfifo"))
    lacking = [name for module, name in needed if not hasattr(module, name)]
    if lacking or not os.path.isdir("/proc/self"):
        words = sys.platform, ", ".join(lacking) or "/proc"
        sys.exit("error: {} has no {}: this runs on Linux only; use a Linux machine or container".format(*words))
    _with_code_of_here()


def _with_code_of_here():
    """Start again with the code of the checkout in which this is called, where the environment was made for another.

    Of two checkouts that share an environment, the one would otherwise run the other's code, on the other's files.
    """
    place = os.getcwd()
    while not os.path.exists(os.path.join(place, "lib", "whereabouts", "__init__.py")):
        if place == os.path.dirname(place):
            return  # no checkout
        place = os.path.dirname(place)
    ours = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if not os.path.samefile(ours, os.path.join(place, "lib")):
        given = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([os.path.join(place, "lib")] + ([given] if given else []))
        os.execv(sys.executable, [sys.executable] + sys.orig_argv[1:])  # noqa: RUF005 (Python 2)


def command(function, *arguments):
    """Call what a command does; whatever the user can mend ends it with 1 and a line for each problem."""
    check()
    from whereabouts.errors import InputError
    from whereabouts.pipeline import streams

    streams.outlast()
    try:
        function(*arguments)
    except InputError as error:
        sys.exit("\n".join("error: " + problem for problem in error.problems))


if __name__ == "__main__":
    check()
