"""A training's state on disk: immutable files that know their own digest, the newest two kept."""

import io
import re
import sys
from pathlib import Path

import torch

from coursekit import storage
from coursekit.errors import StorageError

KEPT = 2
NAME = re.compile(r"step-(\d{9})\.([0-9a-f]{16})\.pt")


def save(folder: Path, step: int, state: dict) -> Path:
    """Write the state after `step` steps and drop all but the newest two files."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    path = folder / f"step-{step:09d}.{storage.sha256(content)[:16]}.pt"
    storage.write_bytes(path, content)
    for old in _newest_first(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def load(folder: Path, device: torch.device | str = "cpu") -> dict | None:
    """The newest state whose bytes are those that were written; None where there is no checkpoint.

    A damaged file is named on stderr and the one before it is used. Raises StorageError when all are damaged: starting
    again in silence would hide the loss.
    """
    paths = _newest_first(folder)
    for path in paths:
        content = path.read_bytes()
        if storage.sha256(content)[:16] == NAME.fullmatch(path.name)[2]:
            return torch.load(io.BytesIO(content), map_location=device, weights_only=True)
        print(f"warning: checkpoint {path.name} is damaged (sha256 differs), using the one before", file=sys.stderr)
    if paths:
        names = ", ".join(path.name for path in paths)
        raise StorageError(f"no readable checkpoint in {folder} (damaged: {names}); delete them to start again")
    return None


def _newest_first(folder: Path) -> list[Path]:
    """By the step in the name; clocks and directory listings lie."""
    found = [path for path in folder.glob("step-*.pt") if NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: path.name, reverse=True)
