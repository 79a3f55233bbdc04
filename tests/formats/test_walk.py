"""Which files of a folder count, what is opened of them, and how they are named."""

import os
import socket

import pandas as pd
import pytest

from whereabouts import paths
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError
from whereabouts.formats import limits
from whereabouts.formats.csv_tables import read_table
from whereabouts.formats.limits import Limit
from whereabouts.formats.walk import below

LATIN = os.fsdecode(b"B\xe4r.txt")


def fill(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name.split("/")[-1], encoding="utf-8", errors="surrogateescape")


# Walking


def test_leftovers_and_what_is_hidden_are_no_data(tmp_path):
    left = (
        ".gitkeep",
        "._a",
        "a~",
        "~$a.docx",
        ".a.swp",
        "a.swp",
        "#a#",
        "a.dvc",
        "Thumbs.db",
        "desktop.ini",
        ".DS_Store",
    )
    fill(tmp_path, *left, "__MACOSX/a", ".git/a", "lost+found/a", "b/c", "a", "sub/#7", "b~c")
    assert list(below(tmp_path)) == ["a", "b/c", "b~c", "sub/#7"]


def test_no_folder_is_entered_twice_and_the_way_with_fewest_links_counts(tmp_path):
    fill(tmp_path, "z/a", "z/deep/b")
    for link, target in {"a": "z", "z/latest": ".", "z/up": "..", "z/deep/again": "../../a", "me": "."}.items():
        (tmp_path / link).symlink_to(target)
    left_out = []
    assert list(below(tmp_path, left_out)) == ["z/a", "z/deep/b"]
    (line,) = left_out
    assert line.endswith(": left out, a link to a folder that is read already") and "and 2 more" in line


def test_many_links_that_lead_back_end(tmp_path):
    fill(tmp_path, "a")
    for number in range(40):
        (tmp_path / f"link{number}").symlink_to(tmp_path)
    assert list(below(tmp_path)) == ["a"]


def test_a_linked_folder_is_read(tmp_path):
    fill(tmp_path / "store", "acdc/a")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/acdc").symlink_to(tmp_path / "store/acdc")
    assert list(below(tmp_path / "raw")) == ["acdc/a"]
    assert below(tmp_path / "nowhere") == {}


def test_what_is_no_file_is_left_out_unopened(tmp_path, capsys):
    fill(tmp_path, "a")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as own, pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)  # a socket's path is short
        own.bind("socket")
        assert list(Manifest.of("X", "real", tmp_path).files) == ["a"]
    said = capsys.readouterr().out
    for name, kind in {"pipe": "a FIFO", "socket": "a socket", "endless": "a device"}.items():
        assert f"{tmp_path.as_posix()}/{name}: left out, {kind} and no regular file\n" in said


def test_links_that_lead_nowhere_are_named_together(tmp_path):
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "gone").symlink_to("nowhere")
    with pytest.raises(InputError) as caught:
        below(tmp_path)
    assert [line.split(": ", 1)[1].split(";")[0] for line in caught.value.problems] == [
        "a link to nothing",
        "cannot be read (Too many levels of symbolic links)",
    ]


# Names


def test_a_name_that_is_not_utf8_is_indexed_and_printed(tmp_path):
    fill(tmp_path, LATIN, "a\nb")
    manifest = Manifest.of("X", "real", tmp_path)
    manifest.write(tmp_path.parent / "manifest.json")
    again = Manifest.read(tmp_path.parent / "manifest.json")
    assert again == manifest and set(again.files) == {LATIN, "a\nb"} and len(again.digest) == 12
    assert [paths.shown(again.path(name)).rpartition("/")[2] for name in sorted(again.files)] == [
        r"B\udce4r.txt",
        r"a\nb",
    ]


def test_names_in_tables_stay_text(tmp_path):
    names = ["001", "NA", "nan", "1e5", "True", "None", "", "a,b", 'q"x', "n\nl", "r\rr", " sp ", "-x", "Ü", "[a]*"]
    table = pd.DataFrame(
        {"case": names, "dice": [0.5, float("nan")] + [1.0] * (len(names) - 2), "n": range(len(names))}
    )
    for na, suffix, separator in (("", "csv", ","), ("nan", "tsv", "\t")):
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(table.to_csv(index=False, na_rep=na, sep=separator).encode())
        pd.testing.assert_frame_equal(read_table(path), table.astype({"case": "str"}))


# Opening


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (os.mkfifo, "a FIFO, where a note is expected; replace or remove it"),
        (os.mkdir, "a folder, where a note is expected"),
        (lambda path: os.symlink("/dev/zero", path), "a device, where a note is expected"),
        (lambda path: None, r"cannot be read \(No such file or directory\); mend that"),
        (
            lambda path: os.truncate(path, 2**40) if path.touch() is None else None,
            r"1,099,511,627,776 bytes, more than",
        ),
    ],
)
def test_only_regular_files_within_their_limit_are_opened(make, text, tmp_path):
    path, limit = tmp_path / "a", Limit("a note", 9)
    make(path)
    for way in (limits.read, limits.check):
        with pytest.raises(InputError, match=rf"/a: {text}"):
            way(path, limit)


def test_a_file_of_just_the_limit_is_read(tmp_path):
    fill(tmp_path, "123456789")
    assert limits.read(tmp_path / "123456789", Limit("a note", 9)) == b"123456789"


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_what_is_no_name_of_a_file(name):
    with pytest.raises(InputError, match="no name of a file"):
        limits.read(name, limits.INFO)
