"""Files and folders that are either whole or absent, and open to whom the umask says.

What takes another's place is as open as that was, as if it had been written into; what is new, as the umask, or the
folder's own rules (its default ACL, its group), would have it.
"""

import hashlib
import json
import os
import platform
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from whereabouts import paths
from whereabouts.errors import InputError


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically: a temporary file in the same folder, flushed to disk, then renamed.

    Raises:
        InputError: the disk is full, the folder is read-only, or whatever else the system says; `path` is as it was.
    """
    path = Path(path)
    try:
        _write(path, content)
    except OSError as error:
        raise unwritable(path, error) from None


def unwritable(path: Path, error: OSError) -> InputError:
    """One line for a file that the system would not write."""
    problem = f"cannot be written ({error.strerror or error})"
    return InputError(f"{paths.shown(path)}: {problem}; what was there is left; mend that and run again")


def _hidden(path: Path) -> Path:
    """A name beside `path` that nothing has; never too long, however long the name of `path` is."""
    return path.with_name(f".{path.name[:20]}.{secrets.token_hex(8)}")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _hidden(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)  # less what the umask takes
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            before = os.lstat(path).st_mode
            if stat.S_ISREG(before):
                os.chmod(temporary, before & 0o777)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def unfinished(folder: Path, name: str = "") -> Path:
    """A new hidden folder in `folder`, in which something called `name` is made; removes what the killed left there.

    That is: what a process of this host made under the same name that is no more; what others are making stays.

    Raises:
        OSError: whatever the system says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mark = f".{name[:20]}+{platform.node()}+"  # a sign that no host has in its name
    for left in [folder / found for found in os.listdir(folder) if found.startswith(mark)]:
        if not _at_work(left.name.removeprefix(mark).partition("+")[0]):
            shutil.rmtree(left, ignore_errors=True)
    hidden = folder / f"{mark}{os.getpid()}+{secrets.token_hex(8)}"
    hidden.mkdir()
    return hidden


def _at_work(process: str) -> bool:
    """Whether there is such a process here; of what is no number nothing is known, so it is left alone."""
    if not (process.isascii() and process.isdigit()):
        return True
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        pass
    return True


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A hidden folder beside `path` to be filled: it becomes `path` where the block ends well, and is removed if not.

    See `unfinished` for what is left where a process is killed.

    Raises:
        InputError: as `write_bytes`, or something is at `path` that is no empty folder; it is left as it was.
    """
    try:
        hidden = unfinished(path.parent, path.name)
    except OSError as error:
        raise unwritable(path, error) from None
    try:
        if path.is_dir():
            with suppress(OSError):  # whoever is in that group may give files to it
                os.chown(hidden, -1, path.stat().st_gid)
            shutil.copystat(path, hidden)  # before anything is in it
        yield hidden
        try:
            os.replace(hidden, path)
        except OSError as error:
            raise unwritable(path, error) from None
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
    """Write `value` as JSON with sorted keys, atomically."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def sha256(path: Path) -> str:
    """sha256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
