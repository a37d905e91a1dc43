"""Notebooks executed in a process of their own, saved after every cell, searched for hidden errors."""

import base64
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import psutil
from nbformat import NotebookNode
from tqdm import tqdm

from coursekit import errors, files
from coursekit.errors import DataError, NotebookError, NotStored, StorageError
from coursekit.execution import kernel
from coursekit.execution.cells import DONE, exit_text
from coursekit.execution.source import read_source
from coursekit.notebook import document, outputs

Item = TypeVar("Item")
Value = TypeVar("Value")
MEMORY_OF_ONE = 3e9  # bytes, twice what the largest notebook has had


def side_by_side() -> int:
    """How many notebooks at a time: one for each core that it has the memory for.

    The networks of the course are small: two trainings with a thread each do more than one after the other with two.
    """
    room = psutil.virtual_memory().available / MEMORY_OF_ONE
    return max(1, min(os.cpu_count() or 1, int(room)))


def run_all(sources: list[Path], folder: Path, profile: str, jobs: int = 1, **options) -> Iterator[NotebookNode]:
    """Execute notebooks into `folder`, `jobs` at a time with the cores shared out; yields them in order, when done.

    The first error stops the others. `options` are those of `run`. Several have one progress bar together.
    """
    notebooks = [read_source(source) for source in sources]  # all of them, before hours are spent on the first
    threads = max(1, (os.cpu_count() or 1) // jobs) if jobs > 1 else None
    cells = sum(cell.cell_type == "code" for notebook in notebooks for cell in notebook.cells)

    with tqdm(total=cells, desc=f"{len(sources)} notebooks", unit="cell", disable=jobs == 1) as bar:

        def call(source: Path, stop: threading.Event) -> NotebookNode:
            target = folder / f"{source.stem}.ipynb"
            return run(source, target, profile, threads=threads, stop=stop, on_cell=bar.update, **options)

        yield from in_order(call, sources, jobs)


def in_order(call: Callable[[Item, threading.Event], Value], items: Iterable[Item], jobs: int) -> Iterator[Value]:
    """What `call(item, stop)` returns, `jobs` at a time, in the order of the items; `stop` is set at the end.

    It is set, too, at the first error, which is raised when it is an earlier item's turn that this has stopped.
    """
    stop, errors = threading.Event(), []

    def watched(item: Item) -> Value:
        try:
            return call(item, stop)
        except BaseException as error:
            errors.append(error)
            stop.set()
            raise

    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(watched, item) for item in items]
        try:
            for future in futures:
                if future.exception():
                    raise errors[0]
                yield future.result()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def run(
    source: Path,
    target: Path,
    profile: str,
    data_source: str | None = None,
    limit_s: float = 7200,
    threads: int | None = None,
    stop: threading.Event | None = None,
    on_cell: Callable[[], object] | None = None,
) -> NotebookNode:
    """Execute `source` (py:percent or .ipynb) into `target` and return the executed notebook.

    With `threads` it computes with that number and shows no progress bar; `on_cell` is called after each cell; setting
    `stop` from another thread ends it. Raises NotebookError naming the cell that failed, or DataError, StorageError,
    Diverged, NotStored when its error was one. The cells that finished are in `target` in every case.
    """
    environment = os.environ | {"COURSEKIT_PROFILE": profile}
    environment["TQDM_DISABLE"] = "1"  # inside the cells: a bar of the past helps no reader
    environment.pop("MPLBACKEND", None)  # the kernel's own choice shows figures that a cell leaves open
    if profile == "sample":  # runs on drawn data stay out of the workbook's results
        environment.setdefault("COURSEKIT_RESULTS", str(target.parent.absolute() / "results"))
    if data_source:
        environment["COURSEKIT_SOURCE"] = data_source
    # The kernel of this environment, whatever kernels the user has installed elsewhere.
    environment["JUPYTER_PATH"] = os.pathsep.join(
        [str(Path(sys.prefix, "share", "jupyter")), *filter(None, [environment.get("JUPYTER_PATH")])]
    )
    environment[kernel.PARENT] = str(os.getpid())
    files.write_bytes(target, outputs.to_bytes(read_source(source)))
    command = [sys.executable, "-m", "coursekit.execution.cells", str(target)]
    if threads:
        environment |= {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
        command.append("quiet")
    pipe = subprocess.PIPE if on_cell else None
    command += ["tell"] if on_cell else []
    process = subprocess.Popen(command, env=environment, start_new_session=True, stdout=pipe)
    if on_cell:
        threading.Thread(target=_tell, args=(process, on_cell), daemon=True).start()
    deadline = time.monotonic() + limit_s
    try:
        while process.poll() is None and time.monotonic() < deadline and not (stop and stop.is_set()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.2)
        if process.poll() is None:
            reason = "stopped" if stop and stop.is_set() else f"not finished after {limit_s:.0f} s"
            raise NotebookError(f"{source.name} {_running(target)}: {reason}")
    finally:
        # On a time-out or Ctrl-C.
        if process.poll() is None:
            _kill(process)
    if process.returncode == StorageError.exit_code:
        raise StorageError(f"{source.name}: its outputs cannot be saved; the line above says why")
    if process.returncode:
        print(file=sys.stderr)  # its progress bar has no end
        how = exit_text(process.returncode)
        raise NotebookError(f"{source.name} {_running(target)}: the process that executes the notebook ended ({how})")
    notebook = document.read(target)
    check(notebook, source.name)
    return notebook


def _tell(process: subprocess.Popen, on_cell: Callable[[], object]) -> None:
    """Call for each line that the executor says after a cell; what its kernel printed by itself is passed on."""
    with process.stdout as said:
        for line in said:
            if line.endswith(DONE):
                on_cell()
            print(line.removesuffix(DONE).decode(errors="replace"), end="", flush=True)


def _running(target: Path) -> str:
    """The cell that was not finished when the executor saved for the last time."""
    metadata = document.read(target).metadata.get("coursekit", {})
    return metadata.get("failure", "before cell 1:").split(":")[0]


def _kill(process: subprocess.Popen) -> None:
    """End the executor, its kernel and what that has started; a training gets time for its checkpoint."""
    family = []
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    print(file=sys.stderr)  # its progress bar has no end
    _, left = psutil.wait_procs(family, timeout=kernel.GRACE_S + 1)  # the kernel sees its parent gone and ends itself
    for stubborn in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            stubborn.kill()


def check(notebook: NotebookNode, name: str) -> None:
    """Raise unless every cell was executed and none holds an error, raised in the open or not.

    A cell with the tag raises-exception must hold one.
    """
    failure = notebook.metadata.get("coursekit", {}).get("failure")
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        raised = outputs.errors_in(cell)
        on_purpose = "raises-exception" in cell.metadata.get("tags", [])
        if raised and not on_purpose:
            kind = getattr(errors, raised[0].ename, NotebookError)
            kind = kind if kind in (DataError, StorageError, errors.Diverged, NotStored) else NotebookError
            raise kind(f"{name} cell {number}: {outputs.text_of(raised[0])}")
        if cell.execution_count is None:
            raise NotebookError(f"{name} {failure or f'cell {number}: was not executed'}")
        if on_purpose and not raised:
            raise NotebookError(f"{name} cell {number}: has the tag raises-exception and raised none")
    if failure:
        raise NotebookError(f"{name} {failure}")


def save_figures(notebook: NotebookNode, folder: Path) -> list[Path]:
    """Write each captioned figure of an executed notebook under the name that it was given; returns the files."""
    written = []
    for output, said in outputs.captioned(notebook):
        for mime, suffix in (("image/svg+xml", ".svg"), ("image/png", ".png")):
            if "figure" in said and mime in output.data:
                if Path(said["figure"]).name != said["figure"]:
                    raise NotebookError(f"a figure is called {said['figure']!r}; give it a name without folders")
                picture = output.data[mime]
                try:
                    content = picture.encode() if suffix == ".svg" else base64.b64decode(picture)
                except ValueError as error:
                    raise NotebookError(f"figure {said['figure']} is not a picture ({error})") from error
                written.append(folder / f"{said['figure']}{suffix}")
                files.write_bytes(written[-1], content)
    return written
