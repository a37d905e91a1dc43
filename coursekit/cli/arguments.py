"""What a command line may say: counts, seconds, and notebooks by number, name or path."""

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

from coursekit.errors import NotebookError, UsageError

SOURCES = Path("notebooks/src")
COMMITTED = Path("notebooks")
BUILT = Path("build/notebooks")
LONGEST = 1e9  # seconds: above, limits of the operating system overflow
DIGITS = 6  # of a count: a million jobs, threads or gigabytes are a slip of the finger


def at_least_one(text: str) -> int:
    """A count, for argparse."""
    if not text.isdecimal() or len(text) > DIGITS or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text[:20]} is not a number of at least 1, of at most {DIGITS} digits")
    return int(text)


def seconds(text: str) -> float:
    """A time above 0, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < LONGEST:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return value


def printable(text: str) -> str:
    """One line that moves no cursor: the name of a file may have any character."""
    return "".join(c if c.isprintable() else " " for c in text)


def is_text(word: str) -> bool:
    """Whether UTF-8 can hold it: on Linux, a word of the command line may be any bytes."""
    return word.encode(errors="ignore").decode() == word


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
        matches = [Path(word)] if os.path.isfile(word) else [p for p in known if _is(word, p)]
        if len(matches) != 1:
            names = ", ".join(path.stem for path in known) or f"none in {folder}{os.sep}"
            raise UsageError(f"no such notebook {word!r}; there are: {names}")
        found += matches
    return found


def _is(word: str, path: Path) -> bool:
    number = path.stem[:2]
    return word in (path.stem, number, number.lstrip("0"), path.stem[3:])


def refuse_to_overwrite(written: Iterable[Path], read: Iterable[Path]) -> None:
    """Raise UsageError where a file to be written is also read, by whatever name or link, or would be written twice."""
    sources = {_identity(path): path for path in read}
    targets: set[object] = set()
    for path in written:
        identity = _identity(path)
        if identity in sources:
            raise UsageError(f"{sources[identity]} would be overwritten; choose another place with -o")
        if identity in targets:
            raise UsageError(f"{path} would be written twice; rename one of the notebooks, or name each of them once")
        targets.add(identity)


def _identity(path: Path) -> object:
    """The same for all names of one file: its inode, or where it would be."""
    try:
        status = os.stat(path)
    except OSError:
        return os.path.realpath(path)
    return status.st_dev, status.st_ino
