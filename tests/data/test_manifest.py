"""The manifest of a data set: every file that counts, with its size and sha256; what cannot be read is named."""

import hashlib
import os
from pathlib import Path

import pytest

from whereabouts import paths
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError
from whereabouts.files import sha256


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


def test_a_folder_below_the_root_is_named_from_there():
    assert index(paths.ROOT / "claims").root == "claims"
