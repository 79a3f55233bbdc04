"""What a notebook of the pipeline finds around it: the machine as it is, and nobody's personal settings.

Variables of the environment that say where programs and packages are, or which cores and GPUs to use, stay. Those that
are a person's, a terminal's or a locale's would change what a notebook leaves: they go, and the files that a person's
settings are read from are looked for in a folder of the run's own.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from whereabouts.errors import InputError

_KEPT = ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")  # where Python's own files are
_PERSONAL = (  # how the names begin of variables that go
    *("HOME", "USER", "LOGNAME", "XDG_", "TMP", "TEMP"),
    *("LC_", "LANG", "TZ", "TERM", "COLUMNS", "LINES", "COLOR", "CLICOLOR", "NO_COLOR", "FORCE_COLOR", "TQDM_"),
    *("PYTHON", "IPYTHON", "IPYKERNEL", "JUPYTER", "JPY_", "TRAITLETS_", "PYDEVD_", "DEBUGPY_", "NBFORMAT_"),
    *("MPL", "_MPL", "MATPLOTLIB", "PANDAS_", "SCIPY_ARRAY_API", "SKLEARN_"),
    "WHEREABOUTS_EXIT",  # is this job's; a run that the notebook starts would leave its own there
)
_FIXED = {
    "USER": "whereabouts",
    "LOGNAME": "whereabouts",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "COLUMNS": "80",
    "LINES": "24",
    "PYTHONUTF8": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONNOUSERSITE": "1",
    "MPL_IGNORE_SYSTEM_FONTS": "1",  # nor are those of the machine listed, which would take each stage seconds
    "SOURCE_DATE_EPOCH": "0",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}
LONGEST = 107 - len("/whereabouts-12345678/kernel-1")  # characters of a socket's path that are left for the folder


def variables(folder: Path) -> dict[str, str]:
    """The environment of a notebook whose run has `folder`: settings are looked for, and caches kept, below it."""
    home = str(folder / "home")
    given = {name: os.environ[name] for name in os.environ if name in _KEPT or not name.startswith(_PERSONAL)}
    return given | _FIXED | {"HOME": home, "MPLCONFIGDIR": f"{home}/matplotlib", "TMPDIR": str(folder)}


def _place() -> str:
    """Where temporary files go, by TMPDIR and its like, or else another place whose name leaves room for a socket's."""
    try:
        first = tempfile.gettempdir()
    except FileNotFoundError:
        raise InputError("temporary files can be written nowhere; set TMPDIR to a folder that has room") from None
    for place in (first, "/tmp", "/var/tmp"):
        if place.isascii() and len(place) <= LONGEST and os.access(place, os.W_OK | os.X_OK):
            return place
    raise InputError(
        f"TMPDIR={first}: {len(first)} characters, where a kernel's sockets leave room for {LONGEST}, all ASCII, and "
        "neither /tmp nor /var/tmp can be written; set TMPDIR to a shorter path"
    )


@contextmanager
def folder() -> Iterator[Path]:
    """A folder of a run's own, gone afterwards: sockets and whatever else is for its duration only, and a home folder.

    Raises:
        InputError: there is no place for it.
    """
    with tempfile.TemporaryDirectory(prefix="whereabouts-", dir=_place(), ignore_cleanup_errors=True) as name:
        (Path(name) / "home").mkdir()
        yield Path(name)
