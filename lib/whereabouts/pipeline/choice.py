"""Run the pipeline as `params.yaml` says, or for once at another scale or on other data.

`python -m whereabouts.pipeline.choice [scale=smoke acdc=real ..] -- MODULE ARGUMENTS` runs `python -m MODULE
ARGUMENTS`; it is what `make repro` and `make fan-out` call. While another choice runs, `params.yaml` says so and
`dvc.lock` is that choice's own, kept at `build/locks/<choice>.lock` from run to run; afterwards both are as they were.
Only the lines of the switches are turned back, so that whatever else was edited in `params.yaml` meanwhile stays. What
was stopped with `kill -9`, or by a power cut, is put back at the next call.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from whereabouts import files, paths
from whereabouts.errors import InputError
from whereabouts.pipeline import params, plain_yaml, system

FOLDER = "build/locks"
WAIT = "wait until it has ended, or work in a second clone"


def _run() -> Path:
    """What a run of another choice found, as long as it lasts."""
    return paths.at(FOLDER) / "run.json"


def _read(path: Path) -> str | None:
    return path.read_bytes().decode() if path.exists() else None


def _hold() -> int:
    """The descriptor of a lock that lasts until this process and the command it runs, which inherits it, have ended.

    Raises:
        InputError: another run has it.
    """
    place = paths.at(FOLDER) / "running"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise files.unwritable(place, error) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        process = os.read(descriptor, 20).decode()
        raise InputError(
            f"{paths.shown(place)}: process {process} runs the pipeline in this checkout; {WAIT}"
        ) from None
    _say_process(descriptor, os.getpid())
    return descriptor


def _say_process(descriptor: int, process: int) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(process).encode(), 0)


def _at_work(process: int) -> bool:
    """Whether it is there, and not one that has ended and that nobody has asked about yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@contextmanager
def _without_dvc() -> Iterator[None]:
    """DVC's own lock, and nobody of DVC at work: it gives the lock away while a stage runs, and says so elsewhere.

    Raises:
        InputError: somebody is, or DVC finds no repository.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(paths.ROOT)) as repo, repo.lock:
            said = json.loads(_read(Path(repo.tmp_dir) / "rwlock") or "{}")
            there = [*said.get("write", {}).values(), *(one for some in said.get("read", {}).values() for one in some)]
            for its in there:
                if _at_work(its["pid"]):
                    raise InputError(f"`{its['cmd']}`: process {its['pid']} is at work in this checkout; {WAIT}")
            yield
    except DvcException as error:
        raise InputError(f"params.yaml: cannot be turned now ({' '.join(str(error).split())}); {WAIT}") from None


def begin(said: dict[str, str]) -> bool:
    """Turn `params.yaml` to what is said (switch -> word) and take up that choice's lock; whether anything was to turn.

    Raises:
        InputError: no such switch or word, or DVC is at work here.
    """
    place, lock = paths.at("params.yaml"), paths.at("dvc.lock")
    plain_yaml.load(place)  # or one line
    text = turned = _read(place)
    for switch, word in said.items():
        turned = params.turn(turned, switch, word)
    if turned == text:
        return False
    words = {switch: params.word(turned, switch) for switch in params.SWITCHES}
    name = "-".join(
        [str(words.pop("scale")), *(f"{switch}-{word}" for switch, word in words.items() if word != "synthetic")]
    )
    with _without_dvc():
        before = {switch: params.word(text, switch) for switch in said}
        found = {"choice": name, "said": said, "before": before, "lock": _read(lock)}
        files.write_json(_run(), found)  # from here on it can be put back, whatever happens
        files.write_text(place, turned)
        kept = paths.at(FOLDER) / f"{name}.lock"
        if _is_whole(kept):
            files.write_bytes(lock, kept.read_bytes())
        _shorten(lock)
    return True


def _shorten(lock: Path) -> None:
    """Leave out of `dvc.lock` the stages that this choice does not have, or has with another command.

    DVC would take up nothing of them, and writes the file anew after each stage: the demo's takes it a second.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.utils.serialize import modify_yaml

    if not _is_whole(lock):
        return
    with suppress(DvcException), Repo(str(paths.ROOT)) as repo:  # what is wrong with dvc.yaml, DVC says when it runs
        commands = {stage.addressing: stage.cmd for stage in repo.index.stages}
        stages = YAML(typ="safe").load(lock).get("stages") or {}
        if others := [name for name, stage in stages.items() if stage.get("cmd") != commands.get(name)]:
            with modify_yaml(lock) as content:
                for name in others:
                    del content["stages"][name]


def _is_whole(lock: Path) -> bool:
    """Whether a lock was kept, and not half of one, as DVC leaves it where the power is cut."""
    try:
        return lock.exists() and isinstance(YAML(typ="safe").load(lock), dict)
    except YAMLError:
        return False


def put_back(ended: bool) -> None:
    """`params.yaml` and `dvc.lock` as `begin` found them, if it turned anything; the choice's own lock is kept.

    Args:
        ended: the run has; if not, it was killed, and whoever turned the switches back by hand since then may have gone
            on with `dvc.lock`, which is left alone then.

    Raises:
        InputError: DVC is at work here.
    """
    if not _run().exists():
        return
    place, lock, found = paths.at("params.yaml"), paths.at("dvc.lock"), json.loads(_read(_run()))
    with _without_dvc():
        now, text = _read(lock), _read(place) or ""
        ours = {switch: word for switch, word in found["said"].items() if params.word(text, switch) == word}
        if now != found["lock"] and not ended and ours != found["said"]:
            files.write_text(paths.at(FOLDER) / "before.lock", found["lock"] or "")
            print(f"dvc.lock: left as it is; as it was before the run that was stopped: {FOLDER}/before.lock")
        elif now != found["lock"]:
            if now is not None:
                files.write_text(paths.at(FOLDER) / f"{found['choice']}.lock", now)
            if found["lock"] is None:
                lock.unlink()
            else:
                files.write_text(lock, found["lock"])
        for switch in ours:
            text = params.turn(text, switch, found["before"][switch])
        if ours:
            files.write_text(place, text)
        if not ended:
            print(f"params.yaml, dvc.lock: put back as they were before the run of {found['choice']} that was stopped")
        _run().unlink()


def run(command: list[str], said: dict[str, str]) -> int:
    """The exit code of `python -m *command`, run with the switches as they are said; told to end, it tells the command.

    Raises:
        InputError: as `begin` and `params.check`.
    """
    told, child = [], None

    def tell(number: int, _) -> None:
        told.append(number)
        if child and number == signal.SIGTERM and told.count(number) == 1:  # a terminal's the command has itself
            child.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, tell)
    descriptor = _hold()
    put_back(ended=False)
    turned = begin(said)
    try:
        params.check()
        print(params.chosen(), flush=True)
        if not told:
            child = subprocess.Popen([sys.executable, "-m", *command], cwd=paths.ROOT, pass_fds=[descriptor])
            _say_process(descriptor, child.pid)
            if signal.SIGTERM in told:  # since then
                child.send_signal(signal.SIGTERM)
            child.wait()
    finally:
        if turned:
            put_back(ended=True)
    code = child.returncode if child else -told[0]
    return code if code >= 0 else 128 - code


def main(arguments: list[str]) -> None:
    end = arguments.index("--") if "--" in arguments else len(arguments)
    said = {}
    for argument in arguments[:end]:
        switch, equals, word = argument.partition("=")
        if not equals:
            raise InputError(f"{argument}: no switch=word; write such as scale=smoke")
        said |= {switch: word} if word else {}
    sys.exit(run(arguments[end + 1 :] or ["dvc", "repro"], said))


if __name__ == "__main__":
    system.command(main, sys.argv[1:])
