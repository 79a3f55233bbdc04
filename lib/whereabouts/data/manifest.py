"""What a raw data set consists of: every file with its size and sha256. Loaders read this and never search folders."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from whereabouts import files, paths
from whereabouts.errors import InputError, raise_all
from whereabouts.files import sha256
from whereabouts.formats import limits
from whereabouts.formats.walk import below, unreadable
from whereabouts.pipeline import progress

AGAIN = "delete it and run `dvc repro` to make it again"


@dataclass(frozen=True)
class Manifest:
    """The files of one raw data set.

    Args:
        dataset: name of the data set, as printed in tables ("ACDC").
        source: "synthetic", "real" or, for CLEVR-Seg, "released".
        root: the folder below which the files lie, from the root of the repository.
        files: path below `root` (with forward slashes) -> {"size": bytes, "sha256": hexadecimal}.
        licence: under which the files may be used; empty for what was made here.
    """

    dataset: str
    source: str
    root: str
    files: dict[str, dict]
    licence: str = ""

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that stand for the content of every file."""
        text = "".join(f"{name} {self.files[name]['sha256']}\n" for name in sorted(self.files))
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]  # names need not be UTF-8

    @property
    def label(self) -> str:
        """How tables and figures name the data: name, source, digest and licence."""
        return f"{self.dataset} ({', '.join(filter(None, [self.source, self.digest, self.licence]))})"

    def path(self, name: str) -> Path:
        """Absolute path of the file called `name` in the manifest."""
        return paths.at(self.root) / name

    def write(self, path: Path) -> None:
        files.write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """What `write` wrote.

        Raises:
            InputError: unreadable, no manifest, or one that names files that are not below its root.
        """
        path = paths.at(path)
        try:
            manifest = cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise InputError(f"{paths.shown(path)}: not there yet; run `make repro` at its scale to make it") from None
        except (OSError, ValueError, TypeError, RecursionError) as fault:
            raise InputError(f"{paths.shown(path)}: no manifest ({type(fault).__name__}); {AGAIN}") from None
        if not _sound(manifest):
            raise InputError(f"{paths.shown(path)}: damaged, not what is written here; {AGAIN}")
        return manifest

    @classmethod
    def of(cls, dataset: str, source: str, root: str | Path) -> "Manifest":
        """Index the folder `root`, see `whereabouts.formats.walk`; what is left out is named on standard output.

        Raises:
            InputError: as `below`; or a file that cannot be read, or is larger than any data set needs.
        """
        folder, content, problems, left_out = paths.at(root), {}, [], []
        found = below(folder, left_out)
        for line in left_out:
            print(line)
        for name, path in progress.bar(found.items(), desc=f"index {dataset}", unit="file"):
            try:
                content[name] = {"size": limits.check(path, limits.HDF5), "sha256": sha256(path)}
            except OSError as fault:
                problems.append(unreadable(path, fault))
            except InputError as fault:
                problems += fault.problems
        raise_all(problems)
        return cls(dataset, source, paths.relative(folder), content)


def _sound(manifest: Manifest) -> bool:
    """Whether a manifest says all that it should, and names files below its root only."""
    words = (manifest.dataset, manifest.source, manifest.root, manifest.licence)
    if not all(isinstance(word, str) for word in words) or not isinstance(manifest.files, dict):
        return False
    return all(_is_below(name) and _is_entry(entry) for name, entry in manifest.files.items())


def _is_below(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict) or entry.keys() != {"size", "sha256"}:
        return False
    return type(entry["size"]) is int and entry["size"] >= 0 and isinstance(entry["sha256"], str)
