"""YAML: what is written is what arrives, or it is refused with the line and the reason."""

import os

import pytest
from dvc.utils.serialize import parse_yaml

from whereabouts.errors import InputError
from whereabouts.paths import ROOT
from whereabouts.pipeline import plain_yaml

BOMB = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 10))


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-3", 0.001),
        ("unet_1_5", "unet_1_5"),
        ("true", True),
        ("null", None),
        ("0", 0),
        ("-0.5", -0.5),
        ("8G", "8G"),
        ("on", "on"),  # to YAML 1.1 a truth value
        ("No", "No"),
        ("1:30", "1:30"),  # to YAML 1.1 the number 90
        ("'0123'", "0123"),
        ("1.2.3", "1.2.3"),
        ("[a, [1]]", ["a", [1]]),
        ("{b: 1}", {"b": 1}),
    ],
)
def test_what_is_written_is_what_arrives_here_and_in_dvc(written, value):
    text = f"a: {written}\n"
    for content in (plain_yaml.parse(text, "f"), parse_yaml(text, "f")):
        assert content == {"a": value} and type(content["a"]) is type(value)


def test_a_time_of_day_is_text_in_lines_of_its_own():
    assert plain_yaml.parse("time: 12:00:00\n", "f") == {"time": "12:00:00"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\na: 0123", "f: line 2: 0123 would lose the 0 that it begins with; put it between quotes"),
        ("a: [-007.5]", "f: line 1: -007.5 would lose the 0"),
        ("a: 2024_05", "f: line 1: 2024_05 would lose its _; put it between quotes"),
        ("a: 2024-01-02", "f: line 1: 2024-01-02 would be read as a date; put it between quotes"),
        ("a: 2024-13-45", "would be read as a date"),
        ("a: 1e999", "f: line 1: 1e999 is larger than any number here"),
        ("a: 1\na: 2", "f: not valid YAML (line 2: found duplicate key"),
        ("a: !!set {b}", "no tags are read here"),
        ("!!python/object/apply:os.system [ls]", "no tags are read here"),
        ("true: 2", "f: the key True is neither text nor a number; put it between quotes"),
        ("a: {b: [{? [c] : 1}]}", "is neither text nor a number; put it between quotes"),
        ("a: &x [*x]", "f: line 1: aliases within aliases, without end"),
        ("a: *y", "undefined alias"),
        (BOMB, "f: line 6: aliases within aliases, without end"),
        (BOMB.replace("{<<: [", "[").replace("]}", "]"), "aliases within aliases, without end"),
        ("[" * 100_000, "f: line 1: lists within lists, more than 50 deep"),  # the parser itself would crash
        ("a: [1", "f: not valid YAML (line "),
        ("a: \0", "f: not valid YAML ("),
        ("a: \ud800", "f: not valid YAML ("),
        ("a: " + "9" * 5000, "f: not valid YAML ("),
    ],
)
def test_what_would_arrive_changed_or_without_end_is_one_line(text, said):
    with pytest.raises(InputError) as caught:
        plain_yaml.parse(text, "f")
    (line,) = caught.value.problems
    assert said in line and "\n" not in line


def test_all_that_would_arrive_changed_is_named_at_once():
    with pytest.raises(InputError) as caught:
        plain_yaml.parse("a: 01\nb: 2\nc: {d: 2001-02-03}\n", "f")
    assert [problem.split()[2] for problem in caught.value.problems] == ["1:", "3:"]


@pytest.mark.parametrize("path", [ROOT / "params.yaml", *(ROOT / "params").glob("*"), *(ROOT / "claims").glob("*")])
def test_the_projects_own_files_are_what_dvc_reads(path):
    assert plain_yaml.load(path) == parse_yaml(path.read_text(encoding="utf-8"), path)


def test_a_mark_at_the_beginning_is_none_of_the_content(tmp_path):
    (tmp_path / "f.yaml").write_text("a: é\r\nb: 1\r\n", encoding="utf-8-sig")
    assert plain_yaml.load(tmp_path / "f.yaml") == {"a": "é", "b": 1}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "no such file; restore it from git"),
        (lambda path: path.mkdir(), "a folder, where a file of parameters or claims is expected"),
        (os.mkfifo, "a FIFO, where"),
        (lambda path: path.symlink_to("/dev/zero"), "a device, where"),
        (lambda path: path.write_bytes(b"a: \xe9"), "not UTF-8 at byte 3"),
        (lambda path: path.write_bytes(b"#" * 2**21), "more than the 1,048,576 that"),
        (lambda path: path.write_text("- a", encoding="utf-8"), "expected `key: value` lines"),
        (lambda path: path.touch(), "expected `key: value` lines"),
    ],
    ids=["none", "folder", "FIFO", "device", "not UTF-8", "large", "list", "empty"],
)
def test_what_is_no_such_file_is_one_line(make, said, tmp_path):
    make(tmp_path / "f.yaml")
    with pytest.raises(InputError) as caught:
        plain_yaml.load(tmp_path / "f.yaml")
    (line,) = caught.value.problems
    assert line.startswith(f"{tmp_path}/f.yaml: ") and said in line
