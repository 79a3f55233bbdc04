"""Files that are whole or absent, and the manifest of a data set."""

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest

from whereabouts import files, paths
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError
from whereabouts.files import sha256

# ------------------------------------------------------------------------------------------------------------- writing


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
        assert folder.parent == path.parent and folder.name.startswith(".new.")
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


def test_text_and_json(tmp_path):
    files.write_text(tmp_path / "a", "Jacenków ±\r\n")
    assert (tmp_path / "a").read_bytes() == "Jacenków ±\r\n".encode()
    files.write_json(tmp_path / "b", {"b": [1, None], "a": {"d": 0.5, "c": "ó"}})
    text = (tmp_path / "b").read_text(encoding="utf-8")
    assert json.loads(text) == {"b": [1, None], "a": {"d": 0.5, "c": "ó"}}
    files.write_json(tmp_path / "c", {"a": {"c": "ó", "d": 0.5}, "b": [1, None]})
    assert (tmp_path / "c").read_text(encoding="utf-8") == text
    assert text.endswith("}\n")


# ------------------------------------------------------------------------------------------------------------ manifest


@pytest.fixture
def root(tmp_path):
    for name in ("b.txt", "a/x.bin", "a/deep/er/y.bin", ".gitkeep", "a/._x.bin", "a/.DS_Store"):
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}", encoding="utf-8")
    return tmp_path / "raw"


def index(root):
    return Manifest.of("X", "synthetic", root)


def test_every_file_but_the_hidden_with_size_and_sha256(root):
    manifest = index(root)
    assert list(manifest.files) == ["a/deep/er/y.bin", "a/x.bin", "b.txt"]
    for name, entry in manifest.files.items():
        content = f"content of {name}".encode()
        assert entry == {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        assert manifest.path(name).read_bytes() == content
        assert sha256(manifest.path(name)) == entry["sha256"]


def test_links_are_followed(root, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / "a" / "x.bin").rename(elsewhere / "moved.bin")
    (root / "a" / "deep").rename(elsewhere / "deep")
    before = index(root)
    (root / "a" / "x.bin").symlink_to(elsewhere / "moved.bin")
    (root / "a" / "deep").symlink_to(elsewhere / "deep")
    (tmp_path / "link").symlink_to(root)
    assert list(before.files) == ["b.txt"]
    assert list(index(root).files) == ["a/deep/er/y.bin", "a/x.bin", "b.txt"]
    assert index(tmp_path / "link").digest == index(root).digest != before.digest


def test_digest_stands_for_names_and_content_alone(root, tmp_path):
    digest = index(root).digest
    assert len(digest) == 12
    assert set(digest) <= set("0123456789abcdef")
    assert Manifest.of("Y", "real", root.rename(tmp_path / "other")).digest == digest
    root = tmp_path / "other"
    os.utime(root / "b.txt", (1, 1))
    (root / ".hidden").write_text("hidden", encoding="utf-8")
    (root / "a" / ".ipynb_checkpoints").mkdir()
    (root / "a" / ".ipynb_checkpoints" / "x").write_text("hidden below", encoding="utf-8")
    assert index(root).digest == digest

    digests = {digest}
    (root / "b.txt").write_text("Content of b.txt", encoding="utf-8")  # one letter, the same size
    digests.add(index(root).digest)
    (root / "b.txt").rename(root / "c.txt")
    digests.add(index(root).digest)
    (root / "empty").touch()
    digests.add(index(root).digest)
    (root / "a" / "x.bin").unlink()
    digests.add(index(root).digest)
    assert len(digests) == 5


def test_written_and_read_again(root, tmp_path):
    manifest = index(root)
    manifest.write(tmp_path / "manifest.json")
    assert Manifest.read(tmp_path / "manifest.json") == manifest
    again = tmp_path / "again.json"
    index(root).write(again)
    assert again.read_bytes() == (tmp_path / "manifest.json").read_bytes()


def test_label(root):
    manifest = index(root)
    assert manifest.label == f"X (synthetic, {manifest.digest})"


def test_a_missing_folder_has_no_files(tmp_path):
    assert index(tmp_path / "nowhere").files == {}


# --------------------------------------------------------------------------------------------------------------- paths


def test_paths_below_the_root_are_shown_from_it(tmp_path):
    assert paths.shown(paths.ROOT / "data" / "raw") == "data/raw"
    assert paths.shown("/elsewhere/file") == "/elsewhere/file"
    assert paths.at("params") == paths.ROOT / "params"
    assert paths.at(tmp_path) == tmp_path
    assert index(paths.ROOT / "claims").root == "claims"


def test_files_that_cannot_be_read_are_all_named(root, monkeypatch):
    def refuse(path):
        if path.suffix == ".bin":
            raise PermissionError(13, "Permission denied")
        return sha256(path)

    monkeypatch.setattr("whereabouts.data.manifest.sha256", refuse)
    with pytest.raises(InputError) as caught:
        index(root)
    said = "cannot be read (Permission denied); mend that, or remove it"
    assert caught.value.problems == [f"{root}/a/deep/er/y.bin: {said}", f"{root}/a/x.bin: {said}"]


def test_folders_that_cannot_be_read_are_all_named(root, monkeypatch):
    """What lies in them would be missing, and nobody would know. Hidden ones are not looked into."""
    (root / ".git").mkdir()
    scan = os.scandir

    def refuse(path):
        if Path(path).name in ("deep", ".git"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError) as caught:
        index(root)
    assert caught.value.problems == [f"{root}/a/deep: cannot be read (Permission denied); mend that, or remove it"]


def test_links_to_nothing_are_all_named(root):
    for name in ("one", "two"):
        (root / name).symlink_to(root / "gone")
    with pytest.raises(InputError) as caught:
        index(root)
    assert [line.split(": ", 1)[1] for line in caught.value.problems] == ["a link to nothing; mend or remove it"] * 2
