"""The notebook runner: `python -m whereabouts.run NOTEBOOK OUTPUT [-f params/x.yaml:section] [key=value ...]`.

Every notebook of the pipeline runs through it, here or on a cluster. It refuses unknown parameters and wrong types
before anything starts, shows live progress in the terminal, and writes an executed notebook that is the same, byte for
byte, from run to run. It ends with 0 if all cells ran, with 1 and one line for each problem if not, and with 75 if it
was asked to end (SIGTERM, SIGUSR1 before a time limit, or the end of the DVC whose stage it is): run it again and
training goes on where it was put away.

With WHEREABOUTS_RUN_ON=slurm or =cluster in the environment the notebook runs as a job (see
`whereabouts.pipeline.submit`), else in place.
"""

import argparse
import json
import os
import select
import signal
import sys
import tempfile
import threading
from pathlib import Path

from whereabouts import files, paths
from whereabouts.errors import InputError, raise_all
from whereabouts.pipeline import measure, notebooks, params, plain_yaml, streams, submit, system
from whereabouts.pipeline.execution import INTERRUPTED, execute
from whereabouts.pipeline.interruption import AGAIN

DVC = "WHEREABOUTS_DVC"  # lib/python names the process of the DVC that runs this stage here


def collect(pairs: list[str], sources: list[str]) -> dict[str, object]:
    """Parameters from `key=value` words (values are YAML) and `file.yaml[:section.subsection]` sources; words win.

    Raises:
        InputError: every word and source that cannot be read.
    """
    values, problems = {}, []
    for source in sources:
        try:
            values |= _section(source)
        except InputError as error:
            problems += error.problems
    for pair in pairs:
        key, equals, value = pair.partition("=")
        try:
            if not equals:
                raise InputError(f"{pair}: not a parameter; write key=value")
            values[key] = plain_yaml.parse(value, pair)
        except InputError as error:
            problems += error.problems
    raise_all(problems)
    return values


def _section(source: str) -> dict[str, object]:
    """What `file.yaml[:section.subsection]` stands for."""
    path, _, section = source.partition(":")
    content = params.load(paths.at(path))
    for key in filter(None, section.split(".")):
        if not isinstance(content.get(key), dict):
            raise InputError(f"{path}: no section {section}; at this level it has {', '.join(map(str, content))}")
        content = content[key]
    return content


def check(values: dict, defaults: dict, notebook: str) -> None:
    """Raise InputError with every parameter that the notebook does not have, or has with another type, or JSON not."""
    problems = [
        f"{key}: unknown parameter of {notebook}; it has {', '.join(sorted(defaults))}"
        for key in sorted(values.keys() - defaults.keys(), key=str)
    ]
    for key in sorted(values.keys() & defaults.keys()):
        if not _is_json(values[key]):
            allowed = "numbers, text, lists and dictionaries whose keys are text"
            problems.append(f"{key}: a parameter is made of {allowed}; quote what is none of these")
        elif not params.same_kind(values[key], defaults[key]):
            kind = type(defaults[key]).__name__
            problems.append(f"{key}={values[key]!r}: {notebook} wants a {kind}, such as {defaults[key]!r}")
    raise_all(problems)


def _is_json(value: object) -> bool:
    """Whether JSON has `value`, which then is what it was when it is read again."""
    try:
        return repr(json.loads(json.dumps(value))) == repr(value)
    except (TypeError, ValueError, RecursionError):  # ValueError: a list that holds itself
        return False


def check_output(output: Path, notebook: Path) -> None:
    """Make the folder of `output`, and raise InputError if an executed notebook must not, or cannot, be put there.

    Not over anything but an executed notebook, nor among the data, nor among the notebooks that are run.
    """
    folder, name = output.parent.resolve(), paths.shown(output)
    if output.suffix != ".ipynb":
        raise InputError(f"{name}: the output is an executed notebook; give it a name that ends in .ipynb")
    if (output.exists() or output.is_symlink()) and not output.is_file():
        raise InputError(f"{name}: there is something that is no file; choose another output")
    if output.exists() and output.samefile(notebook):
        raise InputError(f"{name}: is the notebook itself; choose another output")
    links = [path for path in paths.RAW.iterdir() if path.is_symlink()] if paths.RAW.is_dir() else []
    for place in (paths.RAW, *links, paths.at("notebooks"), paths.at("build/notebooks")):
        if folder.is_relative_to(place.resolve()):
            raise InputError(f"{name}: what is below {paths.shown(place)} is read, not written; choose another output")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder, prefix=f".{output.name}.").close()
    except OSError as error:
        raise files.unwritable(output, error) from None


def end_with(process: int) -> None:
    """Tell this run to end once a process of this host has ended: nobody is left to record what it makes."""

    def watch() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are for the main thread
        try:
            select.select([os.pidfd_open(process)], [], [])
        except ProcessLookupError:
            pass
        except OSError:  # a system that cannot tell
            return
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m whereabouts.run", description="Run a notebook of the pipeline.")
    parser.add_argument("notebook", type=Path, help="to run")
    words = "executed notebook to write, .ipynb; without it the notebook's parameters are listed"
    parser.add_argument("output", type=Path, nargs="?", help=words)
    section = "parameters from a YAML file; as often as needed"
    parser.add_argument("-f", dest="sources", metavar="FILE[:SECTION]", action="append", default=[], help=section)
    parser.add_argument("pairs", nargs="*", metavar="key=value", help="parameters, stronger than those of -f")
    options = parser.parse_intermixed_args(arguments)
    system.check()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})  # one that comes early waits until it is listened for
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)  # a job's shell had it ignored
    if dvc := os.environ.pop(DVC, ""):  # not for a job, on another host
        end_with(int(dvc))
    try:
        source = paths.at(options.notebook)
        notebook, name = notebooks.read(source), paths.shown(source)
        defaults = notebooks.parameters(notebook, name)
        if options.output is None:
            print(notebooks.parameters_cell(notebook, name).source)
            return 0
        output = paths.at(options.output)
        values = collect(options.pairs, options.sources)
        check(values, defaults, name)
        check_output(output, source)
        if submit.wanted():
            return submit.submit(arguments, name)
        with measure.stage():
            code = execute(source, output, values)
    except (InputError, OSError) as error:  # of the second, the place for temporary files is full, say
        for problem in getattr(error, "problems", [error]):
            print(f"error: {problem}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        print(f"{paths.shown(output)}: stopped; {AGAIN}", file=sys.stderr)
        code = INTERRUPTED
    return submit.finish(code, again=code == INTERRUPTED)


if __name__ == "__main__":
    if sys.getfilesystemencoding() != "utf-8":  # as in the kernel, where names of files must mean the same
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    streams.outlast()
    sys.exit(main(sys.argv[1:]))
