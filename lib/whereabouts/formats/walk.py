"""Which files of a folder count, for the index, `whereabouts.predict` and whoever else takes a folder as it is.

DVC is not asked: it does not follow links to folders, and what people put below data/raw without telling it (which git,
and so DVC, does not look into) may hold FIFOs, devices and names that are not UTF-8.
"""

import heapq
import os
from pathlib import Path

from whereabouts import paths
from whereabouts.errors import raise_all
from whereabouts.formats.limits import kind_of

_LEFTOVERS = ("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "$recycle.bin", "lost+found", "@eadir")
_MANY = 3  # names in one line


def below(folder: Path, left_out: list[str] | None = None) -> dict[str, Path]:
    """Every file below `folder`: path from there (with forward slashes) -> path, sorted by the path.

    Links are followed, but no folder is entered twice; of several ways to it the one with fewest links counts, so links
    that lead back end nothing. What is hidden (`.gitkeep`, macOS's `._*`) or an editor's or a system's leftover is
    left out, and so is what is no regular file.

    Args:
        left_out: gets a line for each reason for which something is left out, but for what is hidden or a leftover.

    Raises:
        InputError: a link leads nowhere, or a folder cannot be read.
    """
    found, problems, again, others = [], [], [], {}
    seen, waiting = set(), [(0, Path(folder))]  # links on the way, folder
    while waiting:
        links, parent = heapq.heappop(waiting)
        try:
            status = parent.stat()
            if (status.st_dev, status.st_ino) in seen:
                again.append(parent)
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = [entry for entry in os.scandir(parent) if not _leftover(entry.name)]
        except OSError as fault:
            if parent != folder or not isinstance(fault, FileNotFoundError):  # a folder that is not there has no files
                problems.append(unreadable(parent, fault))
            continue
        for entry in entries:
            path = parent / entry.name
            try:
                mode = entry.stat().st_mode
            except FileNotFoundError:
                problems.append(f"{paths.shown(path)}: a link to nothing; mend or remove it")
            except OSError as fault:  # a link to itself, or into what cannot be read
                problems.append(unreadable(path, fault))
            else:
                kind = kind_of(mode)
                if kind is None:
                    found.append(path)
                elif entry.is_dir():
                    heapq.heappush(waiting, (links + entry.is_symlink(), path))
                else:
                    others.setdefault(kind, []).append(path)
    raise_all(sorted(problems))
    if left_out is not None:
        left_out += [f"{few(again)}: left out, a link to a folder that is read already"] if again else []
        left_out += [f"{few(items)}: left out, {kind} and no regular file" for kind, items in sorted(others.items())]
    return {path.relative_to(folder).as_posix(): path for path in sorted(found)}


def unreadable(path: str | Path, fault: OSError) -> str:
    """One line for what the system would not let be read."""
    return f"{paths.shown(path)}: cannot be read ({fault.strerror}); mend that, or remove it"


def few(items: list[Path]) -> str:
    """Paths in one line, the first of them by name."""
    items = sorted(items)
    more = f" and {len(items) - _MANY} more" if len(items) > _MANY else ""
    return ", ".join(paths.shown(item) for item in items[:_MANY]) + more


def _leftover(name: str) -> bool:
    """Hidden, or what editors, DVC, macOS, Windows and file servers leave behind."""
    return (
        name.startswith((".", "~$"))
        or name.endswith(("~", ".swp", ".swo", ".dvc"))
        or (name.startswith("#") and name.endswith("#"))
        or name.casefold() in _LEFTOVERS
    )
