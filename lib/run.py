"""The notebook runner: `python -m lib.run NOTEBOOK OUTPUT [-f params/x.yaml:section] [key=value ...]`.

Every notebook of the pipeline runs through it, here or on a cluster. It refuses unknown parameters and wrong types
before anything starts, shows live progress in the terminal, and writes an executed notebook that is the same, byte for
byte, from run to run. It ends with 0 if all cells ran, with 1 and one line for each problem if not.
"""

import argparse
import os
import sys
import tempfile
import threading
import warnings
from contextlib import contextmanager
from pathlib import Path

import yaml

from lib import notebooks, params, paths, progress
from lib.errors import InputError, raise_all


def collect(pairs: list[str], sources: list[str]) -> dict[str, object]:
    """Parameters from `key=value` words (values are YAML) and `file.yaml[:section.subsection]` sources; words win."""
    values: dict[str, object] = {}
    for source in sources:
        path, _, section = source.partition(":")
        content = params.load(paths.at(path))
        for key in filter(None, section.split(".")):
            if not isinstance(content.get(key), dict):
                raise InputError(f"{path}: no section {section}; at this level it has {', '.join(content)}")
            content = content[key]
        values |= content
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"{pair}: not a parameter; write key=value")
        values[key] = yaml.safe_load(value)
    return values


def check(values: dict, defaults: dict, notebook: str) -> None:
    """Raise InputError with every parameter that the notebook does not have, or has with another type."""
    problems = [
        f"{key}: unknown parameter of {notebook}; it has {', '.join(sorted(defaults))}"
        for key in sorted(values.keys() - defaults.keys())
    ]
    for key in sorted(values.keys() & defaults.keys()):
        if not params.same_kind(values[key], defaults[key]):
            kind = type(defaults[key]).__name__
            problems.append(f"{key}={values[key]!r}: {notebook} wants a {kind}, such as {defaults[key]!r}")
    raise_all(problems)


@contextmanager
def progress_shown():
    """Copy what the kernel's progress bars write to this process's standard error; yields a folder for this run."""
    with tempfile.TemporaryDirectory() as folder:
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
            yield folder
        finally:
            del os.environ[progress.CHANNEL]
            os.write(descriptor, b"\0")
            reader.join(timeout=1)
            os.close(descriptor)


def execute(notebook: Path, output: Path, values: dict) -> list[str]:
    """Run `notebook` with `values`, write it normalised to `output`, and return its problems, none if it ran through.

    The file at `output` is there after a failure too, with the traceback, for reading.
    """
    import papermill
    from traitlets.config import Config

    raw = output.with_name(f".{output.name}.running")
    raw.parent.mkdir(parents=True, exist_ok=True)
    problems = []
    try:
        with progress_shown() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            papermill.execute_notebook(
                notebook,
                raw,
                parameters=values,
                kernel_name="python3",
                language="python",
                cwd=str(paths.ROOT),
                progress_bar=False,
                autosave_cell_every=0,
                start_timeout=300,
                # no TCP port: others may share the node
                config=Config({"KernelManager": {"transport": "ipc", "ip": f"{folder}/kernel"}}),
            )
    except papermill.PapermillExecutionError as error:
        if error.ename == "InputError":
            problems = error.evalue.splitlines()
        else:
            problems = [f"{paths.shown(output)}: cell {error.exec_count}: {error.ename}: {error.evalue}"]
    except papermill.exceptions.PapermillException as error:
        problems = [f"{paths.shown(output)}: {error}"]
    except RuntimeError as error:  # nbclient's DeadKernelError
        problems = [f"{paths.shown(output)}: {error}; if memory ran out, choose a smaller batch or scale"]
    if raw.exists():
        notebooks.write(notebooks.normalise(notebooks.read(raw), outputs=True), output)
        raw.unlink()
    return problems


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m lib.run", description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("-f", dest="sources", metavar="FILE[:SECTION]", action="append", default=[])
    parser.add_argument("pairs", nargs="*", metavar="key=value")
    options = parser.parse_intermixed_args(arguments)
    os.environ |= {"SOURCE_DATE_EPOCH": "0", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    try:
        source = paths.at(options.notebook)
        values = collect(options.pairs, options.sources)
        check(values, notebooks.parameters(notebooks.read(source), paths.shown(source)), paths.shown(source))
        problems = execute(source, paths.at(options.output), values)
    except InputError as error:
        problems = error.problems
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
