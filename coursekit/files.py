"""Files written so that a reader sees the old one or the new one, never half of either."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import time
import uuid
from pathlib import Path

import psutil

from coursekit.errors import StorageError, UsageError

LARGEST_TEXT = 10_000_000  # bytes of a file that text is put into
TEMPORARY = re.compile(r"\..+\.(\d+)\.[0-9a-f]{8}\.tmp")


def write_bytes(path: Path | str, content: bytes) -> None:
    """Replace `path` by `content` in one step, making its folder where it is missing.

    Raises StorageError when the bytes could not be put on the disk; what was at `path` before is then untouched.
    """
    path = Path(path)
    if not path.name:
        raise StorageError(f"cannot write {path}: it is a folder; name a file in it")
    try:
        try:
            _write(path, content)
        except FileNotFoundError:  # another process that has finished the same run has just removed the folder
            _write(path, content)
    except OSError as error:
        size = f"{len(content) / 1e6:.1f} MB"
        raise StorageError(f"cannot write {path.name} ({size}) to {path.parent}: {_why(error, path.parent)}") from error


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Let the new name survive a power cut too; not every system can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _why(error: OSError, folder: Path) -> str:
    free = ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        with contextlib.suppress(OSError):
            free = f" ({shutil.disk_usage(folder).free / 1e6:.1f} MB free)"
    return f"{error.strerror}{free}"


def probe(folder: Path) -> None:
    """Raise StorageError now when nothing can be written to `folder`, rather than after hours of work."""
    path = folder / f".probe.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp"
    write_bytes(path, b"")
    path.unlink(missing_ok=True)


def write_between(path: Path, mark: str, text: str, what: str) -> None:
    """Put text between the two lines `mark` of a file; raises UsageError, saying `what` belongs there, without them."""
    try:
        parts = read_bytes(path, LARGEST_TEXT).decode().split(mark)
    except StorageError as error:
        raise UsageError(str(error)) from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text (byte {error.start}); name a file such as README.md") from None
    if len(parts) != 3:
        raise UsageError(f"{path} must hold the line {mark} twice, with {what} between; found {len(parts) - 1}")
    between = f"{mark}\n{text}{mark}"
    if parts[1].startswith("\r\n"):
        between = between.replace("\n", "\r\n")
    write_bytes(os.path.realpath(path), f"{parts[0]}{between}{parts[2]}".encode())  # a link stays a link


def read_bytes(path: Path | str, largest: int) -> bytes:
    """The content of a regular file; raises StorageError for a pipe or a device, and above `largest` bytes."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # before it is opened: a pipe would wait for its writer
            raise StorageError(f"cannot read {path}: not a regular file")
        with open(path, "rb") as file:
            content = file.read(largest + 1)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > largest:
        raise StorageError(f"cannot read {path}: larger than {largest / 1e6:.0f} MB")
    return content


def remove_temporaries(folder: Path) -> None:
    """Delete what writers left behind that were killed while they wrote; those of living processes stay."""
    for path in folder.glob(".*.tmp"):
        found = TEMPORARY.fullmatch(path.name)
        if found and not psutil.pid_exists(int(found[1])):
            path.unlink(missing_ok=True)


def write_json(path: Path, body: dict) -> None:
    """Write a dictionary so that it reads well, a row of a list or an entry of a dictionary per line, with its digest.

    Floats keep six significant digits, whole numbers all.
    """
    text = _text(body)
    write_bytes(path, f'{text},\n"sha256": "{sha256(text.encode())}"}}\n'.encode())


def read_json(path: Path) -> dict:
    """What `write_json` wrote; raises ValueError where one byte is another."""
    text, _, digest = path.read_bytes().decode().rpartition(',\n"sha256": ')
    if digest != f'"{sha256(text.encode())}"}}\n':
        raise ValueError("sha256 differs")
    return json.loads(text + "}")


def as_read(body: dict) -> dict:
    """A dictionary with the digits and types that `read_json` would find in its file."""
    return json.loads(_text(body) + "}")


def _text(body: dict) -> str:
    return "{" + ",\n".join(f'"{name}": {_block(_rounded(value))}' for name, value in body.items())


def _block(value) -> str:
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f"  {json.dumps(str(name))}: {_line(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(f"  {_line(row)}" for row in value) + "]"
    return _line(value)


def _line(value) -> str:
    separators = (",", ": ") if isinstance(value, list) else None  # a long list of numbers is a fifth shorter
    return json.dumps(value, ensure_ascii=False, separators=separators)


def _rounded(value):
    if isinstance(value, float) and not value.is_integer():
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


def _replace(temporary: Path, path: Path, tries: int = 5) -> None:
    for attempt in range(tries):
        try:
            os.replace(temporary, path)
            return
        except PermissionError:  # Windows refuses while another process has the file open
            if attempt == tries - 1:
                raise
            time.sleep(0.1 * 2**attempt)


def sha256(content) -> str:
    """SHA-256 of bytes or of any contiguous buffer (a NumPy array, say), in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
