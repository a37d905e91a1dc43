"""Notebooks executed in a process of their own, saved after every cell, searched for hidden errors."""

import base64
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from coursekit import errors, storage
from coursekit.errors import DataError, NotebookError, NotStored

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def read_source(path: Path) -> NotebookNode:
    """A notebook without outputs, from py:percent or .ipynb, with numbered cells and the SHA-256 of its source."""
    if not path.is_file():
        raise NotebookError(f"no notebook at {path}")
    notebook = jupytext.read(path)
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = f"cell-{number:03d}"
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = NotebookNode(kernelspec=KERNEL, coursekit={"src_sha256": source_sha256(path)})
    return notebook


def source_sha256(path: Path) -> str:
    """SHA-256 of a notebook's source text; line ends do not count."""
    return storage.sha256(path.read_text(encoding="utf-8").encode())


def run_all(sources: list[Path], folder: Path, profile: str, jobs: int = 1, **options) -> Iterator[NotebookNode]:
    """Execute notebooks into `folder`, `jobs` at a time with the cores shared out; yields them in order, when done.

    The first error stops the others. `options` are those of `run`.
    """
    stop = threading.Event()
    threads = max(1, (os.cpu_count() or 1) // jobs) if jobs > 1 else None
    with ThreadPoolExecutor(jobs) as pool:
        futures = [
            pool.submit(run, source, folder / f"{source.stem}.ipynb", profile, threads=threads, stop=stop, **options)
            for source in sources
        ]
        try:
            for future in futures:
                yield future.result()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def run(
    source: Path,
    target: Path,
    profile: str,
    data_source: str | None = None,
    limit_s: float = 3600,
    threads: int | None = None,
    stop: threading.Event | None = None,
) -> NotebookNode:
    """Execute `source` (py:percent or .ipynb) into `target` and return the executed notebook.

    With `threads` it computes with so many and shows no progress bar; setting `stop` from another thread ends it. A
    notebook whose full results are not stored, on a machine without a GPU, is run in profile cpu, with a line that says
    so. Raises NotebookError naming the cell that failed, or DataError, StorageError, Diverged when its error was one.
    The cells that finished are in `target` in every case.
    """
    options = (data_source, limit_s, threads, stop)
    try:
        return _run(source, target, profile, *options)
    except NotStored as error:
        print(f"{error}; profile cpu in its place", file=sys.stderr)
        return _run(source, target, "cpu", *options)


def _run(
    source: Path,
    target: Path,
    profile: str,
    data_source: str | None,
    limit_s: float,
    threads: int | None,
    stop: threading.Event | None,
) -> NotebookNode:
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
    storage.write_bytes(target, _bytes(read_source(source)))
    command = [sys.executable, "-m", "coursekit.runner", str(target)]
    if threads:
        environment |= {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
        command.append("quiet")
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    deadline = time.monotonic() + limit_s
    try:
        while process.poll() is None and time.monotonic() < deadline and not (stop and stop.is_set()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.2)
        if process.poll() is None:
            reason = "stopped" if stop and stop.is_set() else f"not finished after {limit_s:.0f} s"
            raise NotebookError(f"{source.name}: {reason}")
    finally:
        # On a time-out or Ctrl-C. The kernel sees its parent gone and ends itself within a second.
        if process.poll() is None:
            _kill(process)
    notebook = nbformat.read(target, as_version=4)
    check(notebook, source.name)
    return notebook


def _kill(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def check(notebook: NotebookNode, name: str) -> None:
    """Raise unless every cell was executed and none holds an error, raised in the open or not."""
    failure = notebook.metadata.get("coursekit", {}).get("failure")
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        for output in cell.outputs:
            if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", []):
                kind = getattr(errors, output.ename, NotebookError)
                kind = kind if kind in (DataError, errors.StorageError, errors.Diverged, NotStored) else NotebookError
                raise kind(f"{name} cell {number}: {output.ename}: {output.evalue}".splitlines()[0])
        if cell.execution_count is None:
            raise NotebookError(f"{name} {failure or f'cell {number}: was not executed'}")
    if failure:
        raise NotebookError(f"{name} {failure}")


def _bytes(notebook: NotebookNode) -> bytes:
    return (nbformat.writes(notebook) + "\n").encode()


def execute(path: Path, show_progress: bool = True) -> None:
    """Run every cell of an unexecuted notebook, in place; the file is complete JSON after each of them."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError
    from tqdm import tqdm

    notebook = nbformat.read(path, as_version=4)
    kit = notebook.metadata.coursekit
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    bar = tqdm(total=len(cells), desc=path.stem, unit="cell", file=sys.stderr, disable=not show_progress)

    def before_cell(cell_index: int, **_) -> None:
        kit["failure"] = f"cell {cell_index + 1}: the kernel died (out of memory, or killed from outside)"

    def after_cell(**_) -> None:
        bar.update()
        kit.pop("failure", None)
        storage.write_bytes(path, _bytes(notebook))

    client = NotebookClient(
        notebook,
        timeout=None,
        record_timing=False,
        coalesce_streams=True,
        store_widget_state=False,
        kernel_name=KERNEL["name"],
        on_cell_execute=before_cell,
        on_cell_executed=after_cell,
    )
    start = time.perf_counter()
    sockets = tempfile.TemporaryDirectory()
    if sys.platform != "win32":  # files in place of ports: two kernels that start at once would draw the same port
        client.create_kernel_manager()
        client.km.transport, client.km.ip = "ipc", str(Path(sockets.name, "kernel"))
    try:
        with sockets, contextlib.suppress(CellExecutionError, DeadKernelError):  # `check` finds both in what was saved
            client.execute(cwd=os.getcwd())
    finally:
        bar.close()
        for key, value in gather_run(notebook).items():
            kit[key] = value
        kit["seconds"] = round(time.perf_counter() - start, 1)
        storage.write_bytes(path, _bytes(notebook))


def gather_run(notebook: NotebookNode) -> dict:
    """What the cells said about their run (profile, device, versions, data sources), as one dictionary."""
    run: dict = {}
    for _, said in _captioned(notebook):
        about = said.get("run", {})
        sources = run.get("sources", {}) | about.get("sources", {})
        run |= about | ({"sources": sources} if sources else {})
    return run


def save_figures(notebook: NotebookNode, folder: Path) -> list[Path]:
    """Write each captioned figure of an executed notebook under the name that it was given; returns the files."""
    files = []
    for output, said in _captioned(notebook):
        for mime, suffix in (("image/svg+xml", ".svg"), ("image/png", ".png")):
            if "figure" in said and mime in output.data:
                picture = output.data[mime]
                content = picture.encode() if suffix == ".svg" else base64.b64decode(picture)
                files.append(folder / f"{said['figure']}{suffix}")
                storage.write_bytes(files[-1], content)
    return files


def _captioned(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, dict]]:
    """Every output that one of our display calls made, with what it said beside it."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            said = output.get("metadata", {}).get("coursekit")
            if said:
                yield output, said


if __name__ == "__main__":
    execute(Path(sys.argv[1]), show_progress="quiet" not in sys.argv[2:])
