"""What a notebook's job asks for and how it is submitted: params/cluster.yaml, and over it a private file.

WHEREABOUTS_CLUSTER names the private file. A line is a setting (`SETTINGS`), or a pattern with the options of every
notebook whose path fits it, from any folder on; later lines win, those of the private file over all. The switch is an
environment variable too, WHEREABOUTS_RUN_ON, so that stage commands, `dvc.lock` and the keys of DVC's cache are the
same everywhere.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch

from whereabouts import paths
from whereabouts.errors import InputError, raise_all
from whereabouts.pipeline.plain_yaml import load

SWITCH, FILE = "WHEREABOUTS_RUN_ON", "WHEREABOUTS_CLUSTER"
SHARED = "params/cluster.yaml"
PLACES = ("here", "slurm", "cluster")  # the last is whatever `submit:` says
SETTINGS = ("submit", "cancel", "python", "setup")
AGAIN = "again"  # among the options of a pattern: the options of a second try
OF_SBATCH = (  # options that the runner depends on
    *("wait", "parsable", "requeue", "no-requeue", "open-mode", "dependency", "job-name", "chdir", "signal", "export"),
    *("output", "error", "input", "wrap", "array", "test-only", "quiet", "get-user-env", "export-file", "hold"),
)
OF_SUBMIT = ("name", "log", "script")  # what the runner itself puts into `submit:`
PLACE = r"(?<!\$)\{([A-Za-z][A-Za-z0-9_-]*)\}"  # {time}, but not ${HOME} of the shell


@dataclass(frozen=True)
class Request:
    """What a notebook's job asks for.

    Args:
        options: name -> text, number, list, `true` or `false`.
        again: those of a second try, after memory or time ran out; of time and memory never less than of the first.
        submit: a command line that submits a script, waits for the job, and ends with its exit code; "" for sbatch.
        cancel: a command line that cancels the job.
        python: what runs Python in the job; "" for this Python.
        setup: lines of a shell before that.
    """

    options: dict[str, object]
    again: dict[str, object]
    submit: str = ""
    cancel: str = ""
    python: str = ""
    setup: str = ""


def place() -> str:
    """Where notebooks run, one of `PLACES`.

    Raises:
        InputError: the switch is set to anything else.
    """
    where = os.environ.get(SWITCH, "here")
    if where not in PLACES:
        raise InputError(f"{SWITCH}={where}: unknown; choose one of {', '.join(PLACES)}")
    return where


def named() -> str:
    """The file that the user is to mend: the private one, if there is one."""
    return os.environ.get(FILE) or SHARED


def request(notebook: str, where: str) -> Request:
    """What the files say of a notebook, all of them checked whether it fits or not.

    Raises:
        InputError: every line that is wrong.
    """
    options, settings, problems, names = {}, {}, [], set(OF_SUBMIT)
    for file in dict.fromkeys((SHARED, named())):
        mend = () if file == SHARED else (f"write it as docs/cluster.md shows, or unset {FILE}",)
        for key, value in load(paths.at(file), *mend).items():
            if key in SETTINGS:
                problems += _wrong_setting(f"{file}: {key}", key, value)
                settings[key] = "\n".join(map(str, value)) if isinstance(value, list) else value
            elif not re.search(r"[*?\[]|\.ipynb$", str(key)):
                known = f"{', '.join(SETTINGS)}, and patterns of notebooks such as '*/*_train*'"
                problems.append(f"{file}: {key}: no setting and no pattern; known: {known}")
            elif wrong := list(_wrong_options(f"{file}: {key}", value, where)):
                problems += wrong
            else:
                names |= value.keys() - {AGAIN}
                if fnmatch(f"/{notebook}", f"*/{key}"):
                    options |= value
    if not problems:
        problems = _wrong_place(settings.get("submit"), where)
        for name in ("submit", "cancel") if where == "cluster" else ():
            problems += unknown(name, settings.get(name) or "", names)
    raise_all(problems)
    again = options.pop(AGAIN, None) or {}
    again = {name: _larger(options.get(name), value) for name, value in again.items()}
    return Request(options, again, **{name: line for name, line in settings.items() if line})


def _larger(first: object, second: object) -> object:
    """The second, unless both are times or memories, as Slurm writes them, and the first is more.

    A second try's may come from another file, or another pattern, than what it is beside.
    """
    amounts = [_amount(str(value)) for value in (first, second)]
    return first if None not in amounts and amounts[0] > amounts[1] else second


def _amount(value: str) -> float | None:
    """Minutes of 90, 90:00, 1:30:00, 1-12 or 1-12:30:00; megabytes of 64G; None of anything else."""
    if match := re.fullmatch(r"(\d+)([KMGT])B?", value, re.IGNORECASE):
        return int(match[1]) * 1024.0 ** ("KMGT".index(match[2].upper()) - 1)
    if not (match := re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", value)):
        return None
    days, *parts = (None if part is None else int(part) for part in match.groups())
    parts = [part for part in parts if part is not None]
    units = (60, 1, 1 / 60) if days is not None or len(parts) == 3 else (1, 1 / 60)
    return (days or 0) * 1440 + sum(part * unit for part, unit in zip(parts, units, strict=False))


def unknown(setting: str, line: str, names: Iterable[str]) -> list[str]:
    """What is wrong with a command line that has {name} of none of the `names`, a line each."""
    problem = f"nothing is asked for under that name; write one of {', '.join(sorted(names))}"
    return [f"{named()}: {setting}: {{{name}}}: {problem}" for name in re.findall(PLACE, line) if name not in names]


def written(value: object) -> str:
    """An option's value as schedulers take it: a list with commas, `true` and `false` as 1 and 0."""
    if isinstance(value, list):
        return ",".join(map(written, value))
    return str(int(value) if isinstance(value, bool) else value)


def _wrong_setting(where: str, key: str, value: object) -> list[str]:
    lines = value if key == "setup" and isinstance(value, list) else [value]
    if value is None or all(isinstance(line, str) for line in lines):
        return []
    kind = "lines of a shell, as in [module load cuda]" if key == "setup" else "a command line"
    return [f"{where}: {value!r} is not {kind}; write text"]


def _wrong_options(where: str, asked: object, place: str, second: bool = False) -> Iterator[str]:
    """What is wrong with a pattern's options, or with those of its second try."""
    if not isinstance(asked, dict):
        yield f"{where}: not options, as in {{time: '01:00:00', mem: 8G}}"
        return
    for name, value in asked.items():
        here = f"{where}: {name}: {value!r}"
        if name == AGAIN and not second:
            yield from [] if value in (None, False) else _wrong_options(f"{where}: {name}", value, place, second=True)
            continue
        for one in value if isinstance(value, list) else [value]:
            if one is not None and not isinstance(one, (bool, int, str)):
                yield f"{here} is no text as schedulers take it; put it between quotes"
            elif str(one).lower() in ("yes", "no", "on", "off"):
                yield f"{here} is a word to YAML; write true or false, or another value"
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", str(name)):
            yield f"{here}: no option; write its long name without dashes, as in mem: 8G"
        elif ours := _ours(name, place):
            yield f"{here}: the runner itself sets {ours}; remove it"


def _ours(name: str, place: str) -> str:
    """The option of the runner's own that `name` is; sbatch takes names that are cut short."""
    if place == "cluster":
        return name if name in OF_SUBMIT else ""
    return next((one for one in OF_SBATCH if one.startswith(name)), "")


def _wrong_place(submit: str | None, where: str) -> list[str]:
    """What is wrong with the switch beside what the files say of `submit`."""
    file = named()
    if where == "cluster" and not submit:
        return [f"{SWITCH}=cluster: {file} has no submit: line; add one, or set {SWITCH}=slurm"]
    if where == "cluster" and "{script}" not in submit:
        return [f"{file}: submit: has no {{script}}, the file that the job is to run; put it where that is named"]
    if where == "slurm" and submit:
        return [f"{SWITCH}=slurm: {file} has a submit: line, for {SWITCH}=cluster; set that, or remove the line"]
    return []
