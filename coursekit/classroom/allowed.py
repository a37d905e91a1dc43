"""Files of the workbook that may leave this machine: by an allow-list, and through no link that leads elsewhere."""

import os
from collections.abc import Iterator
from pathlib import Path

from coursekit.errors import StorageError, UsageError

SUFFIXES = {".css", ".html", ".j2", ".json", ".lua", ".md", ".py", ".toml", ".txt", ".typ"}
NAMES = {"LICENSE"}
LARGEST = 100_000_000  # bytes of one file


def files(root: Path, top: str) -> Iterator[Path]:
    """Every file of the allow-list at or below `root / top`; hidden ones, caches and what has another suffix stay out.

    Raises UsageError when `top` is not there, not below `root`, hidden, or one file that is not on the list.
    """
    start = Path(os.path.normpath(root / top))
    if not start.is_relative_to(root) or _is_hidden(start.relative_to(root)):
        raise UsageError(f"{top} is not handed in; name files and folders below the workbook's folder")
    if not os.path.lexists(start):
        raise UsageError(f"no {top} in {root.resolve().name}; call this in the workbook's folder")
    if not start.is_dir():
        if not _is_listed(start):
            raise UsageError(f"{top} is not handed in; what is, ends in {', '.join(sorted(SUFFIXES))}")
        yield start
        return
    _real(start, root)
    for folder, folders, names in os.walk(start):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        for name in folders:
            _real(Path(folder, name), root)
        paths = (Path(folder, name) for name in sorted(names))
        yield from (path for path in paths if _is_listed(path) and not path.name.startswith("."))


def read(path: Path, root: Path) -> bytes:
    """A file's content; raises StorageError for a link that leaves `root`, for what is no file, and for a huge one."""
    real = _real(path, root)
    if not real.is_file():
        raise StorageError(f"{path.name} is no file; remove it")
    size = real.stat().st_size
    if size > LARGEST:
        raise StorageError(f"{path.name} has {size / 1e6:.0f} MB, too much to be handed in; make it smaller")
    try:
        return real.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path.name}: {error.strerror}") from error


def _real(path: Path, root: Path) -> Path:
    """Where a path leads. Raises StorageError for a link that leaves `root`, loops, or is not what its name says."""
    name = path.relative_to(root)
    try:
        real, home = path.resolve(strict=True), root.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: a circle of links
        raise StorageError(f"{name} leads nowhere; remove it") from error
    if not real.is_relative_to(home):
        raise StorageError(f"{name} is a link that leaves {home.name}; put the file itself there")
    if _is_hidden(real.relative_to(home)) or real.suffix != path.suffix or (path.is_symlink() and real.is_dir()):
        raise StorageError(f"{name} is a link to {real.name}, which is not handed in; put a file there")
    return real


def _is_listed(path: Path) -> bool:
    return path.suffix in SUFFIXES or path.name in NAMES


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
