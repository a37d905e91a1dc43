"""What only a process of its own can go through: crashes.py points|full|small|readonly FOLDER.

`points` forks a child for each moment of the save protocol, which dies there by SIGKILL, and prints as JSON what the
next process finds. The others print the error that the fault ends with.
"""

import contextlib
import io
import json
import os
import resource
import signal
import sys
from pathlib import Path

import torch
from torch import nn

from coursekit import files
from coursekit.errors import StorageError
from coursekit.training import checkpoint
from coursekit.training.checkpoint import Progress


def die(*_, **__) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner, name: str) -> None:
    """Die in place of a call."""
    setattr(owner, name, die)


def after(owner, name: str) -> None:
    """Make the call, then die."""
    call = getattr(owner, name)
    setattr(owner, name, lambda *arguments, **options: (call(*arguments, **options), die()))


def half_written(owner, name: str) -> None:
    """Die when half of the bytes are in the file."""

    class Half(io.FileIO):
        def write(self, content):
            super().write(content[: len(content) // 2])
            die()

    setattr(owner, name, lambda descriptor, _: Half(descriptor, "wb"))


POINTS = {
    "before the temporary file": (before, os, "open"),
    "after the temporary file": (after, os, "open"),
    "half way through the bytes": (half_written, os, "fdopen"),
    "before fsync": (before, os, "fsync"),
    "after fsync": (after, os, "fsync"),
    "before the rename": (before, os, "replace"),
    "after the rename": (after, os, "replace"),
    "before fsync of the folder": (before, files, "_sync_folder"),
    "before the old one is dropped": (before, Path, "unlink"),
    "after the old one is dropped": (after, Path, "unlink"),
}


def points(folder: Path) -> None:
    """Steps 1 and 2 are saved, the child dies while it saves step 3; then step 3 is saved again."""
    found = {}
    for point, (how, owner, name) in POINTS.items():
        here = folder / point.replace(" ", "-")
        for step in (1, 2):
            checkpoint.save(here, step, {"step": step, "weights": torch.rand(1000)})
        child = os.fork()
        if not child:
            how(owner, name)
            checkpoint.save(here, 3, {"step": 3, "weights": torch.rand(1000)})
            os._exit(0)
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            loaded = checkpoint.load(here)["step"]
        checkpoint.save(here, 4, {"step": 4})
        found[point] = {"killed": killed, "loaded": loaded, "said": said.getvalue(), "left": len(list(here.iterdir()))}
    print(json.dumps(found))


def state(width: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Linear(width, width)
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


def full(folder: Path) -> None:
    """No file may grow beyond 64 kB: a quota, in the middle of a write."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, resource.RLIM_INFINITY))
    small(folder)


def small(folder: Path) -> None:
    """A checkpoint that fits, and one that does not, on a disk that whoever calls this has made small."""
    checkpoint.write(folder, *state(10), Progress(step=12))
    try:
        checkpoint.write(folder, *state(1000), Progress(step=13))
    except StorageError as error:
        print(error)


def readonly(folder: Path) -> None:
    """A folder without write permission, seen by somebody who is not root."""
    here = state(10)
    folder.mkdir(mode=0o555)
    if not os.geteuid():
        os.setuid(65534)
    try:
        checkpoint.restore(folder, *here)
    except StorageError as error:
        print(error)


if __name__ == "__main__":
    {"points": points, "full": full, "small": small, "readonly": readonly}[sys.argv[1]](Path(sys.argv[2]))
