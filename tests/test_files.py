"""Files that are whole or absent."""

import errno
import json
import os
import platform
import subprocess
import sys

import pytest

from whereabouts import files
from whereabouts.errors import InputError


@pytest.mark.parametrize("content", [b"", b"new", bytes(range(256)) * 5000])
def test_writes_and_overwrites(content, tmp_path):
    path = tmp_path / "new" / "folders" / "file.bin"
    for expected in (content, b"other"):
        files.write_bytes(path, expected)
        assert path.read_bytes() == expected
        assert [p.name for p in path.parent.iterdir()] == ["file.bin"]


@pytest.fixture(params=[0o077, 0o027, 0o022, 0o002], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path):
    return path.stat().st_mode & 0o7777


def test_the_umask_says_for_whom_files_and_folders_are(umask, tmp_path):
    files.write_text(tmp_path / "a" / "b.txt", "new")
    with files.new_folder(tmp_path / "c" / "d") as folder:
        files.write_text(folder / "e.txt", "new")
        assert mode(folder) == 0o777 & ~umask  # nobody else looks in meanwhile either
    assert {mode(tmp_path / name) for name in ("a/b.txt", "c/d/e.txt")} == {0o666 & ~umask}
    assert {mode(tmp_path / name) for name in ("a", "c", "c/d")} == {0o777 & ~umask}


@pytest.mark.parametrize("old", [0o600, 0o640, 0o664, 0o444])
def test_what_takes_a_place_is_as_open_as_what_was_there(old, umask, tmp_path):
    (tmp_path / "a.txt").write_text("old", encoding="utf-8")
    (tmp_path / "a.txt").chmod(old)
    (tmp_path / "b").mkdir()
    (tmp_path / "b").chmod(old | 0o2700)
    (tmp_path / "c.txt").symlink_to("a.txt")
    files.write_text(tmp_path / "a.txt", "new")
    files.write_text(tmp_path / "c.txt", "new")  # takes the place of the link, not of what it leads to
    with files.new_folder(tmp_path / "b"):
        pass
    modes = [mode(tmp_path / name) for name in ("a.txt", "b", "c.txt")]
    assert modes == [old, old | 0o2700, 0o666 & ~umask]


def test_the_longest_name_that_a_file_may_have_is_written(tmp_path):
    for name in ("x" * 255, "ö" * 127, "\udcff" * 255):
        files.write_bytes(tmp_path / name, b"new")
        assert (tmp_path / name).read_bytes() == b"new"


@pytest.mark.parametrize("failing", ["fsync", "chmod", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_on_the_way_leaves_the_old_content_alone(failing, error, tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    files.write_text(path, "old")

    def fail(*_):
        raise error

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(InputError if isinstance(error, OSError) else KeyboardInterrupt) as caught:
        files.write_text(path, "new " * 10_000)
    if isinstance(error, OSError):
        (problem,) = caught.value.problems
        assert problem.startswith(f"{path}: cannot be written (No space left on device); ")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_seen_under_the_name_before_it_is_whole(tmp_path, monkeypatch):
    path, seen = tmp_path / "file.txt", []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append(path.exists()))
    files.write_text(path, "new")
    assert seen == [False]


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_is_whole_or_absent(there, tmp_path):
    path = tmp_path / "above" / "new"
    if there:
        path.mkdir(parents=True)
    with files.new_folder(path) as folder:
        (folder / "a").write_text("a", encoding="utf-8")
        assert folder.parent == path.parent and folder.name.startswith(".new+")
        assert path.exists() == there and not (path / "a").exists()
    assert [p.name for p in path.parent.iterdir()] == ["new"] and (path / "a").read_text(encoding="utf-8") == "a"


@pytest.mark.parametrize("error", [OSError("of the block's own"), KeyboardInterrupt()], ids=repr)
def test_a_folder_whose_filling_fails(error, tmp_path):
    with pytest.raises(type(error)) as caught, files.new_folder(tmp_path / "new") as folder:
        (folder / "a").write_text("a", encoding="utf-8")
        raise error
    assert caught.value is error
    assert not list(tmp_path.iterdir())


def test_a_folder_takes_nobodys_place(tmp_path):
    """What came into it meanwhile is left."""
    path = tmp_path / "new"
    said = r"new: cannot be written \(Directory not empty\); what was there is left"
    with pytest.raises(InputError, match=said), files.new_folder(path):
        path.mkdir()
        (path / "mine").touch()
    assert [p.name for p in tmp_path.iterdir()] == ["new"] and [p.name for p in path.iterdir()] == ["mine"]
    said = r"below: cannot be written \(File exists\)"
    with pytest.raises(InputError, match=said), files.new_folder(path / "mine" / "below"):
        pass


FILL = """
import sys
from pathlib import Path
from whereabouts import files

with files.new_folder(Path(sys.argv[1])) as folder:
    (folder / "a").touch()
    print(flush=True)
    sys.stdin.read()
"""


def test_what_was_killed_is_removed_by_the_next_and_what_is_at_work_stays(tmp_path):
    def start():
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = subprocess.Popen([sys.executable, "-c", FILL, str(tmp_path / "new")], **streams)
        process.stdout.readline()
        return process

    def hidden():
        return {path.name for path in tmp_path.iterdir() if path.name.startswith(".")}

    (tmp_path / f".new+{platform.node()}+of nobody").mkdir()
    (tmp_path / ".new+elsewhere+1+0").mkdir()  # of another host, of whose processes nothing is known here
    others = hidden()
    with start() as at_work:
        one = hidden() - others
        with start() as killed:
            assert len(hidden() - others) == 2
            killed.kill()
        assert len(hidden() - others) == 2
        with files.new_folder(tmp_path / "new"):
            assert one < hidden() - others and len(hidden() - others) == 2
        assert hidden() == others | one
        at_work.kill()
    with files.new_folder(tmp_path / "new"):
        pass
    assert hidden() == others


def test_text_and_json(tmp_path):
    files.write_text(tmp_path / "a", "Jacenków ±\r\n")
    assert (tmp_path / "a").read_bytes() == "Jacenków ±\r\n".encode()
    files.write_json(tmp_path / "b", {"b": [1, None], "a": {"d": 0.5, "c": "ó"}})
    text = (tmp_path / "b").read_text(encoding="utf-8")
    assert json.loads(text) == {"b": [1, None], "a": {"d": 0.5, "c": "ó"}}
    files.write_json(tmp_path / "c", {"a": {"c": "ó", "d": 0.5}, "b": [1, None]})
    assert (tmp_path / "c").read_text(encoding="utf-8") == text
    assert text.endswith("}\n")
