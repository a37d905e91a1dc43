"""Bytes written so that a reader sees the old file or the new one, never half of either."""

import contextlib
import hashlib
import os
import time
import uuid
from pathlib import Path

from coursekit.errors import StorageError


def write_bytes(path: Path | str, content: bytes) -> None:
    """Replace `path` by `content` in one step, making its folder where it is missing.

    Raises StorageError when the bytes could not be put on the disk; what was at `path` before is then untouched.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        size = f"{len(content) / 1e6:.1f} MB"
        raise StorageError(f"cannot write {path.name} ({size}) to {path.parent}: {error.strerror}") from error


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
