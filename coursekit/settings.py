"""How much to run and on what data: the two settings that a notebook reads from its surroundings."""

import ctypes
import functools
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch

from coursekit import uncompiled  # noqa: F401  before the first optimizer
from coursekit.errors import UsageError

PROFILES = ("full", "sample")
Value = TypeVar("Value")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def profile() -> str:
    """COURSEKIT_PROFILE, else "full": the published protocols, replayed from the results store.

    "sample": drawn data, seconds, for tests and for trying out. Raises UsageError for any other word.
    """
    name = os.environ.get("COURSEKIT_PROFILE") or "full"
    if name not in PROFILES:
        raise UsageError(f"no profile {name!r}; COURSEKIT_PROFILE is one of {', '.join(PROFILES)}")
    return name


def source() -> str:
    """Where `data.load` looks: COURSEKIT_SOURCE, else "sample" in the `sample` profile and "auto" in `full`."""
    return os.environ.get("COURSEKIT_SOURCE") or ("sample" if profile() == "sample" else "auto")


def budget(full: Value, *, sample: Value) -> Value:
    """The value of the published protocol, or the one for sample data; the code path is the same."""
    return full if profile() == "full" else sample


def notebook() -> str:
    """COURSEKIT_NOTEBOOK, which a notebook's `setup` sets, else "runs": the folder of the store for new results."""
    return os.environ.get("COURSEKIT_NOTEBOOK") or "runs"


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables set while the `with` block runs, and as they were after it."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({} if value is None else {name: value})


def device_name(threads: Sequence[int] = ()) -> str:
    """The device in words, as every result records it, with the numbers of threads in the order of their use."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    counts = list(dict.fromkeys(threads)) or [torch.get_num_threads()]
    return f"CPU ({', then '.join(map(str, counts))} thread{'s' * (counts != [1])})"


@functools.cache
def processor() -> str:
    """Name, family and model of the CPU where Linux says them: they decide the last digits of a result."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor()
    known = dict(map(str.strip, line.split(":", 1)) for line in lines if ":" in line)
    numbers = [f"{name} {known[name]}" for name in ("cpu family", "model") if name in known]
    return ", ".join([known.get("model name", platform.processor()), *numbers])


def device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@functools.cache
def gains_by_bfloat16() -> bool:
    """Whether this device multiplies bfloat16 matrices at least 1.5 times as fast as float32: measured.

    The instructions' names say little: some machines emulate them.
    """
    side = 512 if device().type == "cpu" else 4096  # of small ones a GPU's clock shows the launches alone
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        matrix = torch.ones((side, side), dtype=dtype, device=device())
        seconds[dtype] = min(_seconds_of_matmul(matrix) for _ in range(20))
    return seconds[torch.float32] > 1.5 * seconds[torch.bfloat16]


def precision_here(wanted: str) -> str:
    """ "bfloat16" where that is wanted and this device gains by it, else "float32"."""
    return "bfloat16" if wanted == "bfloat16" and gains_by_bfloat16() else "float32"


def autocast(wanted: str) -> torch.autocast:
    """Products in `precision_here(wanted)` while a `with` block runs."""
    # Cached casts would outlive the step that changes the weights.
    enabled = precision_here(wanted) == "bfloat16"
    return torch.autocast(device().type, torch.bfloat16, enabled=enabled, cache_enabled=False)


def _seconds_of_matmul(matrix: torch.Tensor) -> float:
    start = time.perf_counter()
    (matrix @ matrix)[0, 0].item()  # waits for a GPU
    return time.perf_counter() - start


def keep_freed_memory(up_to: int = 2**31 - 1) -> None:
    """From now on this process keeps freed blocks of up to `up_to` bytes for its next step.

    Else Linux takes large ones back at every step and gives them again page by page: 10 to 40 % of the time of a small
    CNN on a CPU. glibc only; elsewhere nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    for name in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD) if mallopt else ():
        mallopt(name, up_to)


def is_interactive() -> bool:
    """Whether a person sits at the notebook: the front end that sent this cell says that it can answer `input()`.

    JupyterLab, VS Code and Colab do; nbconvert, papermill and `coursekit run` do not, and a script has no front end.
    """
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    parent = getattr(get_ipython(), "get_parent", dict)()
    return parent.get("content", {}).get("allow_stdin", False)
