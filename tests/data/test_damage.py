"""Damaged inputs are refused in a line each that names the file, or read right; nothing is written, taken or loaded."""

import ast
import dataclasses
import hashlib
import os
import pickle
import resource
import signal
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import stored
from damage import CASES, PLAIN, becomes, flipped
from sound import FORMATS
from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.pipeline.notebooks import nbformat
from whereabouts.training.checkpoints import Checkpoint

pytestmark = pytest.mark.usefixtures("on_the_cpu")

SECONDS = 5
MEMORY = 300 * 2**20  # bytes that refusing a file may take
SPACE = 2**31  # bytes of addresses, touched or not
SELF = Path("/proc/self")


# Guards


class Hang(BaseException):
    """Not an Exception, lest a loader takes it for a fault of the file."""


@contextmanager
def in_time():
    """Raise `Hang` after some seconds."""

    def stop(*_):
        raise Hang(f"no answer within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def memory(field: str) -> int:
    """Bytes, as Linux counts them: VmRSS now, VmHWM at most so far, VmSize of addresses."""
    lines = (SELF / "status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))


@contextmanager
def in_memory():
    """Fail where more than `MEMORY` was used at any time; more than `SPACE` is not to be had."""
    if not (SELF / "clear_refs").exists():  # not Linux
        yield
        return
    (SELF / "clear_refs").write_text("5", encoding="utf-8")  # VmHWM starts anew
    before, limits = memory("VmRSS"), resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (memory("VmSize") + SPACE, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert memory("VmHWM") - before < MEMORY


def listing(*folders: Path) -> dict[Path, tuple[int, int]]:
    """Every file and folder with its size and time."""
    found = [path for folder in folders for path in folder.rglob("*")]
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in found}


# The corpus


def digest(value: object) -> object:
    """What two readings share if they are the same."""
    if dataclasses.is_dataclass(value):
        value = [getattr(value, field.name) for field in dataclasses.fields(value)]
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.newbyteorder("=").str, hashlib.sha256(_native(value)).hexdigest()
    if isinstance(value, pd.DataFrame):
        return value.to_csv()
    if isinstance(value, dict):
        return {key: digest(item) for key, item in value.items()}
    return [digest(item) for item in value] if isinstance(value, (list, tuple)) else value


def _native(array: np.ndarray) -> bytes:
    return array.astype(array.dtype.newbyteorder("=")).tobytes()


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A function: name of a format -> its data set's folder and what is read of it, made once."""
    made = {}

    def make(name: str) -> tuple[Path, object]:
        if name not in made:
            root = tmp_path_factory.mktemp(name)
            FORMATS[name].write(root)
            made[name] = root, digest(FORMATS[name].read(root))
        return made[name]

    return make


@pytest.mark.parametrize("case", CASES, ids=str)
def test_damage(case, sound, tmp_path, monkeypatch):
    root, expected = sound(case.format)
    path = FORMATS[case.format].path(root, case.kind)
    content = path.read_bytes()
    monkeypatch.chdir(tmp_path)
    path.write_bytes(case.damage(content))
    try:
        before = listing(root, tmp_path)
        with in_time(), in_memory():
            found, problems = outcome(FORMATS[case.format].read, root)
        assert listing(root, tmp_path) == before
    finally:
        path.write_bytes(content)
    if case.harmless:
        assert not problems and found == expected
        return
    assert problems
    names = FORMATS[case.format].names(root, case.kind)
    for problem in problems:
        assert "\n" not in problem and ("; " in problem or ": write " in problem) and "MemoryError" not in problem
        assert any(name in problem for name in names)


def outcome(read, root: Path) -> tuple[object, list[str]]:
    try:
        return digest(read(root)), []
    except InputError as error:
        return None, error.problems


def test_every_file_of_every_format_is_damaged():
    damaged = {(case.format, case.kind) for case in CASES}
    assert damaged == {(name, kind) for name, sound in FORMATS.items() for kind in sound.files}
    assert len({str(case) for case in CASES}) == len(CASES) >= 150


# Checkpoints, which are passed over instead: nobody has to mend what a run can make again


class Evil:
    """Makes a folder where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("unpickled",)


def signed(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


CHECKPOINTS = PLAIN | {
    "flipped first byte": flipped(0),
    "flipped middle byte": flipped(0.5),
    "flipped last byte": flipped(1.0),
    "huge line": lambda content: content.replace(b"\n", b"0" * 2**20),
    "pickle": becomes(pickle.dumps(Evil())),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_damaged_checkpoint_is_passed_over(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint = Checkpoint(tmp_path / "run.pt")
    checkpoint.save({"step": torch.tensor(3)})
    checkpoint.path.write_bytes(CHECKPOINTS[name](checkpoint.path.read_bytes()))
    with in_time(), in_memory(), pytest.warns(UserWarning, match=r"run\.pt: damaged checkpoint passed over; its steps"):
        assert checkpoint.load() is None
    assert not list(tmp_path.iterdir())


# Nothing unsafe is called

MODULES = {
    "pickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "zipfile",
    "tarfile",
    "xml",
    "lxml",
}
NAMES = {"eval", "exec", "compile", "__import__"}
METHODS = {"read_pickle", "unpack_archive", "extractall", "unsafe_load", "full_load", "load_all", "system", "popen"}
LOADS = {"np": ("allow_pickle", False), "torch": ("weights_only", True), "yaml": ("Loader", "none is safe enough")}


def unsafe(source: str) -> list[str]:
    """Lines of Python that could run what a file says, or unpack an archive."""
    found = []
    for node in ast.walk(ast.parse(source)):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if any(module.split(".")[0] in MODULES for module in modules) or (isinstance(node, ast.Call) and _runs(node)):
            found.append(ast.unparse(node))
    return found


def _runs(call: ast.Call) -> bool:
    if isinstance(call.func, ast.Name):
        return call.func.id in NAMES
    if not isinstance(call.func, ast.Attribute):
        return False
    given = {word.arg: getattr(word.value, "value", None) for word in call.keywords}
    keyword, value = LOADS.get(ast.unparse(call.func.value), (None, None))
    return call.func.attr in METHODS or (
        call.func.attr == "load" and keyword is not None and given.get(keyword) != value
    )


def sources() -> dict[str, str]:
    """Path -> code of every module and notebook."""
    found = {paths.shown(path): path.read_text(encoding="utf-8") for path in sorted(paths.at("lib").rglob("*.py"))}
    for path in stored.listed():
        cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        found[paths.shown(path)] = "\n".join(cell.source for cell in cells)
    return found


def test_nothing_unsafe_is_called():
    found = {path: unsafe(source) for path, source in sources().items()}
    assert len(found) > 100
    own = "lib/whereabouts/training/processes.py"  # pickles what its own processes tell each other, and no file
    assert {path: lines for path, lines in found.items() if lines} == {own: ["import pickle"]}


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from xml.etree import ElementTree",
        "import os, zipfile",
        "eval(text)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=allowed)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text, Loader=yaml.SafeLoader)",
        "yaml.unsafe_load(text)",
        "pd.read_pickle(path)",
        "archive.extractall(folder)",
        "os.system(text)",
    ],
)
def test_what_is_unsafe_is_seen(line):
    assert unsafe(line) == [line]


def test_what_is_safe_is_let_pass():
    safe = "np.load(path, mmap_mode='r', allow_pickle=False)\ntorch.load(path, weights_only=True)\nyaml.safe_load(text)"
    assert unsafe(f"{safe}\nmodel.eval()\nre.compile(text)\njson.load(file)") == []
