"""Files and folders that are either whole or absent."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lib import paths
from lib.errors import InputError


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


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A hidden folder beside `path` to be filled: it becomes `path` where the block ends well, and is removed if not.

    Raises:
        InputError: as `write_bytes`, or something is at `path` that is no empty folder; it is left as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    except OSError as error:
        raise unwritable(path, error) from None
    try:
        yield hidden
        try:
            os.chmod(hidden, 0o755)
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
