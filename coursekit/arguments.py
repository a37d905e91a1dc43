"""What a command line may say: counts, seconds, and notebooks by number, name or path."""

import argparse
import os
from pathlib import Path

from coursekit.errors import NotebookError, UsageError

SOURCES = Path("notebooks/src")
COMMITTED = Path("notebooks")
BUILT = Path("build/notebooks")


def at_least_one(text: str) -> int:
    """A count, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of at least 1")
    return int(text)


def seconds(text: str) -> float:
    """A time above 0, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return value


def find(wanted: list[str], folder: Path, suffix: str) -> list[Path]:
    """Paths of the notebooks named by path, by name or by number ("1", "01"); all in `folder` when none is named.

    Raises UsageError for a name that fits none, NotebookError when there are none at all.
    """
    known = sorted(folder.glob(f"[0-9][0-9]_*{suffix}"))
    if not wanted:
        if not known:
            raise NotebookError(f"no notebooks in {folder}{os.sep}; call this in the workbook's folder, or name a file")
        return known
    found = []
    for word in wanted:
        matches = [Path(word)] if Path(word).is_file() else [p for p in known if _is(word, p)]
        if len(matches) != 1:
            names = ", ".join(path.stem for path in known) or f"none in {folder}{os.sep}"
            raise UsageError(f"no such notebook {word!r}; there are: {names}")
        found += matches
    return found


def _is(word: str, path: Path) -> bool:
    number = path.stem[:2]
    return word in (path.stem, number, number.lstrip("0"), path.stem[3:])
