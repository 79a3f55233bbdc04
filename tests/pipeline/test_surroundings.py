"""What a pipeline's notebook leaves, and a figure drawn by hand, is the same whoever runs it and wherever."""

import os
import tempfile
from pathlib import Path

import matplotlib
import pytest
from matplotlib import font_manager

from runs import execute, notebook
from whereabouts.errors import InputError
from whereabouts.pipeline import surroundings
from whereabouts.reporting import plotting

SEES = """import locale, os, shutil, sys, time, warnings
import matplotlib, matplotlib.pyplot as plt, pandas as pd
print(matplotlib.get_backend(), matplotlib.rcParams["figure.dpi"], matplotlib.rcParams["font.family"])
print(locale.getlocale(), sys.getfilesystemencoding(), time.tzname, shutil.get_terminal_size())
print(sys.flags, sys.warnoptions, get_ipython().history_manager.enabled, pd.get_option("display.max_rows"))
print("Größe:", open(name, encoding="utf-8").read())
print(sorted(key for key in os.environ if not key.startswith(("WHEREABOUTS", "JPY", "PYTEST", "COV", "OMP"))))
os.system("echo said by no Python")  # as libraries do whose reports the environment asks for
plt.plot([0, 1]);"""


@pytest.fixture
def personal(tmp_path):
    """The environment of a person with settings of many kinds, each of which would be seen or felt."""
    home = tmp_path / "home"
    files = {
        ".config/matplotlib/matplotlibrc": "figure.dpi: 30\nfont.family: serif\nimage.cmap: jet\n",
        ".ipython/profile_default/startup/00.py": "raise SystemExit(7)",
        ".ipython/profile_default/ipython_config.py": "c.InteractiveShellApp.exec_lines = ['print(7)']",
        ".ipython/profile_default/ipython_kernel_config.py": "c.InlineBackend.figure_formats = ['svg']",
        ".jupyter/jupyter_config.py": "1 / 0",
        "start.py": "print('hello')",
    }
    for name, text in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    jupyter = ("JUPYTER_PATH", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DEFAULT_PROVISIONER_NAME")
    return {
        **dict.fromkeys((*jupyter, "NBFORMAT_VALIDATOR", "XDG_RUNTIME_DIR", "TMPDIR"), "/nowhere"),
        **{"HOME": str(home), "USER": "me", "XDG_CONFIG_HOME": f"{home}/.config"},
        **{"IPYTHONDIR": f"{home}/.ipython", "JUPYTER_CONFIG_DIR": f"{home}/.jupyter"},
        **{"PYTHONSTARTUP": f"{home}/start.py", "PYTHONWARNINGS": "error", "PYTHONHASHSEED": "5"},
        **{"MPLBACKEND": "TkAgg", "MATPLOTLIBRC": f"{home}/.config/matplotlib/matplotlibrc"},
        **{"LC_ALL": "de_DE.ISO-8859-1", "TZ": "Asia/Tokyo", "COLUMNS": "20", "TERM": "dumb", "NO_COLOR": "1"},
        **{"TQDM_DISABLE": "1"},
    }


def test_an_executed_notebook_is_the_same_whoever_runs_it(tmp_path, personal, monkeypatch):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # under which ipykernel takes less
    outputs, read = [], tmp_path / "größe"
    read.write_text("é", encoding="utf-8")
    for environment in ({}, personal):
        out = tmp_path / f"{len(outputs)}.ipynb"
        result = execute(notebook(tmp_path, SEES), out, f"name={read}", **environment)
        assert result.returncode == 0, result.stderr
        outputs.append(out.read_text(encoding="utf-8"))
    assert outputs[0] == outputs[1]
    assert "image/png" in outputs[0] and "Größe: é" in outputs[0] and "by no Python\\n" not in outputs[0]


def test_variables_of_the_machine_stay_and_those_of_a_person_go(monkeypatch, personal):
    stays = {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "1", "OMP_NUM_THREADS": "1", "SLURM_JOB_ID": "7"}
    stays |= {"PYTHONPATH": "/packages", "LD_LIBRARY_PATH": "/cuda", "WHEREABOUTS_CORES": "0"}
    for name, value in (personal | stays).items():
        monkeypatch.setenv(name, value)
    found = surroundings.variables(Path("/run"))
    assert stays.items() <= found.items()
    assert not personal.items() & found.items()
    assert all(found[name].startswith("/run") for name in ("HOME", "MPLCONFIGDIR", "TMPDIR"))


def test_the_folder_of_a_run_leaves_room_for_sockets_and_is_gone_afterwards(monkeypatch, tmp_path):
    for place in ("x" * surroundings.LONGEST, "übung"):
        (tmp_path / place).mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / place))
        with surroundings.folder() as folder:
            assert len(f"{folder}/kernel-1") <= 107 and (folder / "home").is_dir()
            assert not folder.is_relative_to(tmp_path)
        assert not folder.exists()


def test_no_place_for_the_folder_of_a_run_is_one_line(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/" + "x" * 100)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with (
        pytest.raises(InputError, match=r"TMPDIR=/x+: 101 characters, .* set TMPDIR to a shorter path"),
        surroundings.folder(),
    ):
        pass


def test_figures_start_from_the_defaults_and_a_font_that_is_everywhere():
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        plotting.style()
        plain = dict(matplotlib.rcParams)
        matplotlib.rcParams |= {"savefig.facecolor": "black", "savefig.bbox": "tight", "lines.linewidth": 7}
        matplotlib.rcParams |= {"font.family": "serif", "image.cmap": "jet", "mathtext.fontset": "cm"}
        plotting.style()
        assert dict(matplotlib.rcParams) == plain
        found = font_manager.findfont(font_manager.FontProperties(family=["sans-serif"]))
        assert found.startswith(matplotlib.get_data_path())
