"""Reading the CSV and TSV tables that are written here, in which identifiers are text whatever they look like."""

from pathlib import Path

import pandas as pd

from whereabouts import paths
from whereabouts.errors import InputError

TEXT = (  # columns of names, which people choose: "001", "NA", "1e5" and "True" are names too
    *("case", "subject", "patient", "volume", "item", "image", "sequence", "group", "part", "licence"),
    *("modality", "structure", "method", "arm", "mixture", "data", "origin", "unit"),
)
MISSING = ("", "nan", "NaN")  # in all other columns


def read_table(path: Path) -> pd.DataFrame:
    """The table at `path`, commas between its cells, or tabs where the file is called .tsv.

    Raises:
        InputError: it is not there yet.
    """
    if not Path(path).exists():
        raise InputError(f"{paths.shown(path)}: not there yet; run `make repro` at its scale to make it")
    separator = "\t" if Path(path).suffix == ".tsv" else ","
    options = {"sep": separator, "encoding": "utf-8", "lineterminator": "\n"}  # a name may hold another end of line
    columns = pd.read_csv(path, nrows=0, **options).columns
    missing = {column: list(MISSING) for column in columns if column not in TEXT}
    return pd.read_csv(path, dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=missing, **options)
