"""Whether what DVC says of a fresh clone is understood."""

import subprocess

import pytest

from whereabouts.errors import InputError
from whereabouts.pipeline import fits

FRESH = "Running stage 'index':\n> a\n\nStage 'strip' didn't change, skipping\nRunning stage 'results':\n> b\n"


def said(monkeypatch, answers):
    """DVC in a clone where `auto` is a word says so: word -> output of `dvc repro --dry`, or its error."""

    def run(command, cwd=None, **_):
        if command[0] == "git":
            return None
        word = (cwd / fits.precision.FILE).read_text(encoding="utf-8").split('"')[3]
        output, error = answers[word]
        failed = bool(error) and "--dry" in command
        return subprocess.CompletedProcess(command, int(failed), output, error)

    monkeypatch.setattr(fits.subprocess, "run", run)


@pytest.mark.parametrize("word", ["bfloat16", "float32"])
def test_one_word_that_fits_is_enough(word, monkeypatch, capsys):
    other = {"bfloat16", "float32"} - {word}
    said(monkeypatch, {word: (FRESH, ""), other.pop(): (FRESH + "Running stage 'train@1':\n", "")})
    fits.main([])
    assert capsys.readouterr().out == "dvc.lock fits the code: nothing is stale\n"


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ((FRESH + "Running stage 'train@1':\nRunning stage 'train@2':\n", ""), "train@1, train@2"),
        (("", "WARNING: x\nERROR: failed to reproduce 'train': no such file\n"), "ERROR: failed to reproduce 'train'"),
    ],
)
def test_what_is_stale_is_named_and_so_is_what_dvc_cannot_do(answer, found, monkeypatch):
    said(monkeypatch, {"bfloat16": answer, "float32": answer})
    with pytest.raises(InputError, match=f"^dvc.lock: does not fit the code; run `make repro` and commit it: {found}"):
        fits.main([])
