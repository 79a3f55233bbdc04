"""Bars in a notebook: one output each, redrawn in place from any thread, and what they say at their end."""

import io
import re
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import IPython
import pytest
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

from whereabouts.pipeline import progress
from whereabouts.pipeline.progress import bar


class Page(DisplayPublisher):
    """What a front end would show: display id -> the mime bundles it has had, in the order in which they appeared."""

    def __init__(self):
        super().__init__()
        self.outputs = {}

    def publish(self, data, metadata=None, *, transient=None, update=False, **_):
        key = transient["display_id"]
        assert update == (key in self.outputs), "drawn twice, or redrawn before it is there"
        self.outputs.setdefault(key, []).append(data)

    def texts(self) -> list[str]:
        """The last state of each output; digits of times are zeros."""
        return [re.sub(r"\d\d:\d\d", "00:00", drawn[-1]["text/plain"]) for drawn in self.outputs.values()]


@pytest.fixture
def page(monkeypatch, capsys):
    """A kernel's shell, for display; nothing may be printed."""
    shell = types.SimpleNamespace(kernel=None, display_pub=Page())
    monkeypatch.delenv(progress.CHANNEL, raising=False)
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    monkeypatch.setattr(InteractiveShell, "initialized", lambda: True)
    monkeypatch.setattr(InteractiveShell, "instance", lambda: shell)
    yield shell.display_pub
    assert capsys.readouterr() == ("", "")


def test_each_of_several_bars_in_threads_is_redrawn_in_place(page):
    def count(name):
        with bar(total=30, desc=name, unit="step") as steps:
            for number in range(30):
                steps.update()
                steps.set_postfix({"dice": f".{number}"})

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(count, [f"network {k}" for k in range(6)]))
    assert sorted(page.texts()) == [f"network {k}: step 30 of 30 in 00:00, dice=.29" for k in range(6)]
    for drawn in page.outputs.values():
        assert re.fullmatch(r"network \d: step 0 of 30, \? left", drawn[0]["text/plain"]) and len(drawn) > 30


def by_hand(steps, fault=None, total=4):
    with bar(total=total, desc="train", unit="step") as counted:
        counted.update(steps)
        if fault:
            raise fault


def iterate(steps, fault=None):
    for number in bar(range(4), desc="train", unit="step"):
        if number == steps:
            if fault:
                raise fault
            break


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (lambda: by_hand(4), "step 4 of 4 in 00:00"),
        (lambda: by_hand(3), "step 3 of 4, stopped after 00:00"),
        (lambda: by_hand(3, KeyboardInterrupt()), "step 3 of 4, stopped by KeyboardInterrupt after 00:00"),
        (lambda: by_hand(4, ValueError("nan")), "step 4 of 4, stopped by ValueError after 00:00"),
        (lambda: by_hand(3, total=None), "step 3 of ? in 00:00"),
        (lambda: iterate(9), "step 4 of 4 in 00:00"),
        (lambda: iterate(3), "step 3 of 4, stopped after 00:00"),
        (lambda: iterate(0, KeyboardInterrupt()), "step 0 of 4, stopped after 00:00"),
        (lambda: list(bar([], desc="train", unit="step")), "step 0 of 0 in 00:00"),
    ],
)
def test_a_bar_that_ends_says_how(page, run, said):
    with suppress(KeyboardInterrupt, ValueError):
        run()
    assert page.texts() == [f"train: {said}"]
    (drawn,) = page.outputs.values()
    assert drawn[-1]["text/html"].count("<progress ") == 1


def test_a_title_is_text(page):
    list(bar([1], desc="<b>a&b</b>", unit="step"))
    (drawn,) = page.outputs.values()
    assert "&lt;b&gt;a&amp;b&lt;/b&gt;: step 1 of 1" in drawn[-1]["text/html"]


@pytest.mark.parametrize("kernel", [True, False], ids=["in the runner's kernel", "in a terminal"])
def test_elsewhere_it_is_written_and_leaves_nothing_in_a_notebook(kernel, tmp_path, monkeypatch):
    written = tmp_path / "pipe"
    if kernel:
        monkeypatch.setenv(progress.CHANNEL, str(written))
        monkeypatch.setattr(IPython, "get_ipython", lambda: types.SimpleNamespace(kernel=None))
    else:
        monkeypatch.delenv(progress.CHANNEL, raising=False)
        monkeypatch.setattr(sys, "stderr", io.StringIO())
    counted = bar(range(3), desc="count", unit="step")
    assert sum(counted) == 3 and not isinstance(counted, progress.InNotebook)
    counted.fp.flush()
    assert "count:   0%|" in (written.read_text(encoding="utf-8") if kernel else sys.stderr.getvalue())
    if kernel:
        counted.fp.close()
