"""A notebook's cells run in turn in a kernel, the file complete JSON after each: python -m, by `notebooks`."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import psutil
from nbformat import NotebookNode

from coursekit import files
from coursekit.errors import StorageError
from coursekit.execution import kernel, redact
from coursekit.notebook import outputs

DONE = b"a cell is done\n"
LONGEST = 100  # characters of a reason
MUCH = 0.7  # of the memory: a kernel that is killed with more has run out of it, most likely


def execute(path: Path, show_progress: bool = True, tell: bool = False) -> None:
    """Run every cell of an unexecuted notebook, in place; the file is complete JSON after each of them.

    With `tell` the line DONE goes to stdout after each, for a process that shows one bar for several notebooks.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError
    from tqdm import tqdm

    notebook = nbformat.read(path, as_version=4)
    kit = notebook.metadata.coursekit
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    bar = tqdm(total=len(cells), desc=path.stem, unit="cell", file=sys.stderr, disable=not show_progress)

    def before_cell(cell_index: int, **_) -> None:
        kit["failure"] = f"cell {cell_index + 1}: did not finish"
        files.write_bytes(path, outputs.to_bytes(notebook))
        process.append(client.km.provisioner.process)

    def after_cell(cell: NotebookNode, cell_index: int, **_) -> None:
        bar.update()
        if tell:
            os.write(1, DONE)
        redact.warn(f"{path.stem} cell {cell_index + 1}", redact.outputs(cell))
        on_purpose = "raises-exception" in cell.metadata.get("tags", [])
        raised = outputs.errors_in(cell)
        if raised and not on_purpose:  # nbclient passes over those inside %%capture or in a thread
            kit["failure"] = f"cell {cell_index + 1}: {outputs.text_of(raised[0])}"
            raise CellExecutionError("", "", "")
        kit.pop("failure")
        files.write_bytes(path, outputs.to_bytes(notebook))

    client = NotebookClient(
        notebook,
        timeout=None,
        record_timing=False,
        coalesce_streams=True,
        store_widget_state=False,
        kernel_name=notebook.metadata.kernelspec.name,
        extra_arguments=["--InteractiveShellApp.extra_extensions=coursekit.execution.kernel"],
        on_cell_execute=before_cell,
        on_cell_executed=after_cell,
    )
    client.create_kernel_manager()
    process: list[subprocess.Popen] = []  # the kernel's
    if sys.platform != "win32":
        # Our extension watches this process, and ends all that the kernel has started too: ipykernel must not (1).
        os.environ |= {kernel.PARENT: str(os.getpid()), "JPY_PARENT_PID": "1"}
    start = time.perf_counter()
    sockets = tempfile.TemporaryDirectory()
    if sys.platform != "win32":  # files in place of ports: two kernels that start at once would draw the same port
        client.km.transport, client.km.ip = "ipc", str(Path(sockets.name, "kernel"))
    try:
        with sockets, contextlib.suppress(CellExecutionError):  # `check` finds it in what was saved
            client.execute(cwd=os.getcwd(), independent=sys.platform != "win32")
    except DeadKernelError:
        how = _death(process[-1].returncode, _peak_bytes(), _memory())
        kit["failure"] = f"{kit.get('failure', 'after its last cell').split(':')[0]}: {how}"
    except nbformat.ValidationError as error:  # of what a cell has shown
        kit["failure"] = f"{kit['failure'].split(':')[0]}: an invalid output ({error.message[:LONGEST]})"
    finally:
        bar.close()
        for cell in cells:  # of one that the kernel died in, too
            redact.outputs(cell)
        for key, value in outputs.gather_run(notebook).items():
            kit[key] = value
        kit["seconds"] = round(time.perf_counter() - start, 1)
        files.write_bytes(path, outputs.to_bytes(notebook))


def _death(code: int, peak: int, memory: int) -> str:
    """How a kernel ended, in words: exit code, memory that it had at most, memory of the machine."""
    much = code == -9 and peak > MUCH * memory
    used = f"peak {peak / 1e9:.1f} of {memory / 1e9:.1f} GB"
    likely = f"likely out of memory: {used}); lower batch_size" if much else f"{used})"
    return f"the kernel died ({exit_text(code)}; {likely}"


def exit_text(code: int) -> str:
    """How a process ended, from its return code."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _peak_bytes() -> int:
    """The most memory that a child process of this one has had."""
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _memory() -> int:
    """What this machine has, or what its container may use."""
    found = psutil.virtual_memory().total
    with contextlib.suppress(OSError, ValueError):  # ValueError: "max", no limit
        found = min(found, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return found


if __name__ == "__main__":
    kernel.watch_parent()
    try:
        execute(Path(sys.argv[1]), show_progress="quiet" not in sys.argv[2:], tell="tell" in sys.argv[2:])
    except StorageError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
