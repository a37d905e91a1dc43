"""FAULTS B1-B7: cells that fail, in the open or in silence, kernels that die or do not stop, and missing tools."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from coursekit.errors import NotebookError
from coursekit.execution import notebooks
from coursekit.execution.cells import _death
from coursekit.notebook import outputs
from coursekit.report import export

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs signals and process groups")
SLEEPER = "import subprocess\nchild = subprocess.Popen(['sleep', '300'])"
TELL = "import json, os, pathlib\npathlib.Path('pids').write_text(json.dumps([os.getpid(), child.pid]))"


def write(path: Path, *cells: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"# %%{cell}\n\n" if cell.startswith(" ") else f"# %%\n{cell}\n\n" for cell in cells))
    return path


def run(folder: Path, *cells: str, **options):
    return notebooks.run(write(folder / "n.py", *cells), folder / "out.ipynb", "sample", **options)


def coursekit(*arguments, cwd, **environment):
    command = [sys.executable, "-m", "coursekit", *arguments]
    return subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=120)


def errors_of(done: subprocess.CompletedProcess) -> list[str]:
    assert "Traceback" not in done.stderr, done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith("error")]


def gone(*pids: int, within: float = 10.0) -> bool:
    """Whether these processes have ended, a zombie counting as ended."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline and any(map(_alive, pids)):
        time.sleep(0.1)
    return not any(map(_alive, pids))


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(path: Path, seconds: float = 60.0) -> str:
    deadline = time.monotonic() + seconds
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, f"{path.name} did not come"
        time.sleep(0.05)
    return path.read_text()


def test_b1_an_error_cell_is_exit_4_and_the_notebook_is_kept_but_no_report(tmp_path, record_property):
    write(tmp_path / "notebooks" / "src" / "03_cnn.py", "print('first')", "1 / 0", "print('third')")
    done = coursekit("report", "--run", "3", cwd=tmp_path)
    assert done.returncode == 4
    assert errors_of(done) == ["error: 03_cnn.py cell 2: ZeroDivisionError: division by zero"]
    assert not list((tmp_path / "build").glob("workbook*"))
    kept = tmp_path / "build" / "notebooks" / "03_cnn.ipynb"
    notebook = nbformat.read(kept, 4)
    assert notebook.cells[0].outputs[0].text == "first\n"
    assert any("division by zero" in line for line in notebook.cells[1].outputs[0].traceback)
    record_property("injected", "an error in a cell")
    record_property("lost", "nothing: the cells before it are kept")
    # Whoever prints it all the same gets a notice on the cover.
    html = " ".join(export.to_html(export.read([kept])).split())
    assert "Not complete: 03_cnn cell 2: ZeroDivisionError: division by zero." in html


HIDDEN = {  # each must leave an error in its cell, or the tag is an error itself
    "%%capture\nraise ValueError('hidden')": "ValueError: hidden",
    "!exit 3": "CalledProcessError: Command 'exit 3' returned non-zero exit status 3.",
    "%%capture\n!exit 3": "CalledProcessError: Command 'exit 3' returned non-zero exit status 3.",
    "%pip install -q --no-index no-such-package": "CalledProcessError: Command ",
    "import threading\nthread = threading.Thread(target=lambda: 1 / 0)\nthread.start()\nthread.join()": "ZeroDivision",
    "import sys\nsys.exit(0)": "SystemExit: 0",
    r"raise ValueError('half a character: \ud800')": "ValueError: half a character: ?",
}


def test_b2_errors_that_do_not_raise_are_found(tmp_path, record_property):
    cells = [f' tags=["raises-exception"]\n{cell}' for cell in HIDDEN]
    notebook = run(tmp_path, *cells)
    for cell, expected in zip(notebook.cells, HIDDEN.values(), strict=True):
        [error] = outputs.errors_in(cell)
        assert outputs.text_of(error).startswith(expected)
    record_property("injected", f"{len(HIDDEN)} errors that do not raise")
    record_property("lost", "0 not noticed")


def test_b2_one_of_them_ends_the_notebook(tmp_path):
    with pytest.raises(NotebookError, match=r"^n.py cell 2: CalledProcessError: Command 'exit 3' returned non-zero"):
        run(tmp_path, "x = 1", "%%capture\n!exit 3", "print('third')")
    assert nbformat.read(tmp_path / "out.ipynb", 4).cells[2].execution_count is None


def test_b2_what_may_fail_does_and_what_must_fail_must(tmp_path):
    may = ("!false || true", "x = !exit 3", "!true")
    with pytest.raises(NotebookError, match=r"^n.py cell 4: has the tag raises-exception and raised none$"):
        run(tmp_path, *may, ' tags=["raises-exception"]\nx = 1', "print('last')")


def test_b2_half_a_character_is_shown_as_a_question_mark(tmp_path):
    notebook = run(tmp_path, r"print('a\ud800b')")
    assert notebook.cells[0].outputs[0].text == "a?b\n"


def test_b2_an_output_that_no_notebook_can_hold_names_its_cell(tmp_path):
    shown = "from IPython.display import display\ndisplay({'text/plain': 5}, raw=True)"
    with pytest.raises(NotebookError, match=r"^n.py cell 2: an invalid output \(5 is not valid"):
        run(tmp_path, "x = 1", shown)


@posix
def test_b3_a_dead_kernel_names_cell_signal_and_memory(tmp_path, record_property):
    with pytest.raises(NotebookError) as caught:
        run(tmp_path, "print('kept')", "x = bytearray(300_000_000)", "import os\nos.kill(os.getpid(), 9)")
    found = str(caught.value)
    assert found.startswith("n.py cell 3: the kernel died (signal 9; peak 0.")
    assert 0.3 < float(found.split("peak ")[1].split()[0]) < 2
    assert nbformat.read(tmp_path / "out.ipynb", 4).cells[0].outputs[0].text == "kept\n"
    record_property("injected", "a kernel killed in a cell")
    record_property("lost", "that cell")


def test_b3_likely_out_of_memory():
    died = _death(-9, 11_900_000_000, 12_700_000_000)
    assert died == "the kernel died (signal 9; likely out of memory: peak 11.9 of 12.7 GB); lower batch_size"
    assert _death(3, 100_000_000, 12_700_000_000) == "the kernel died (exit code 3; peak 0.1 of 12.7 GB)"


@pytest.mark.parametrize("name", ["MemoryError", "OutOfMemoryError"])
def test_b3_memory_that_cannot_be_had_is_an_error_with_advice(name):
    error = nbformat.v4.new_output("error", ename=name, evalue="", traceback=[])
    cell = nbformat.v4.new_code_cell("x = bytearray(1 << 50)", outputs=[error], execution_count=1)
    with pytest.raises(NotebookError, match=f"n cell 1: {name}; lower batch_size, or close other notebooks"):
        notebooks.check(nbformat.v4.new_notebook(cells=[cell]), "n")


@posix
def test_b4_a_stubborn_cell_is_ended_with_all_that_it_started(tmp_path, monkeypatch, record_property):
    monkeypatch.chdir(tmp_path)
    stubborn = "import time\nwhile True:\n    try:\n        time.sleep(60)\n    except BaseException:\n        pass"
    with pytest.raises(NotebookError, match=r"^n.py cell 3: not finished after 8 s$"):
        run(tmp_path, SLEEPER, TELL, stubborn, limit_s=8)
    assert gone(*json.loads((tmp_path / "pids").read_text()))
    assert nbformat.read(tmp_path / "out.ipynb", 4).cells[1].execution_count == 2
    record_property("injected", "a cell that swallows every interrupt, with a child process")
    record_property("lost", "that cell; 0 processes left")


@posix
@pytest.mark.parametrize("who", ["executor", "command line"])
def test_b5_killed_half_way_the_finished_cells_are_kept_and_the_kernel_goes(tmp_path, who, record_property):
    write(tmp_path / "n.py", SLEEPER, TELL, "import time\ntime.sleep(300)")
    command = [sys.executable, "-m", "coursekit", "run", "n.py", "-o", "out"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        pids = json.loads(wait_for(tmp_path / "pids"))
        [child] = [p for p in psutil.Process(process.pid).children() if "coursekit.execution.cells" in p.cmdline()]
        while "cell 3" not in nbformat.read(tmp_path / "out" / "n.ipynb", 4).metadata.coursekit.get("failure", ""):
            time.sleep(0.05)
        os.kill(child.pid if who == "executor" else process.pid, signal.SIGKILL)
        stderr = process.stderr.read()
        code = process.wait(timeout=20)
    assert gone(child.pid, *pids)
    notebook = nbformat.read(tmp_path / "out" / "n.ipynb", 4)
    nbformat.validate(notebook)
    assert [cell.execution_count for cell in notebook.cells] == [1, 2, None]
    record_property("injected", f"the {who} of a notebook killed")
    record_property("lost", "the cell that ran; 0 processes left")
    if who == "executor":
        assert code == 4
        said = "error: n.py cell 3: the process that executes the notebook ended (signal 9)"
        assert stderr.splitlines()[-1] == said


TRAINING = """
import os, pathlib, threading, torch
from tests.faults import kills
folder = pathlib.Path("run")
def tell():
    while not list(folder.glob("step-*")):
        pass
    pathlib.Path("pids").write_text(f"[{os.getpid()}]")
threading.Thread(target=tell).start()
torch.set_num_threads(1)
kills.train(folder, 0, epochs=10_000)
"""


@posix
def test_b5_a_training_in_a_kernel_whose_executor_is_gone_writes_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    write(tmp_path / "n.py", TRAINING)
    command = [sys.executable, "-m", "coursekit", "run", "n.py", "-o", "out"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        [pid] = json.loads(wait_for(tmp_path / "pids"))
        process.kill()
    assert gone(pid)
    assert not list((tmp_path / "run").glob(".*.tmp")), "it was killed while it wrote"


@posix
def test_b5_outputs_that_cannot_be_saved_are_exit_5(tmp_path):
    fill = "import os, shutil\nshutil.rmtree('out')\nopen('out', 'w').close()"
    write(tmp_path / "n.py", "x = 1", fill)
    done = coursekit("run", "n.py", "-o", "out", cwd=tmp_path)
    assert done.returncode == 5
    assert "cannot write n.ipynb" in done.stderr
    assert errors_of(done) == ["error: n.py: its outputs cannot be saved; the line above says why"]


def test_b6_neither_tex_nor_browser_nor_pandoc_on_the_path_is_needed(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# One\n\n$x^2$")])
    assert export.to_pdf([("01_one", notebook)]).startswith(b"%PDF-")
    assert "<math" in export.to_html([("01_one", notebook)])


@pytest.mark.parametrize(
    ("missing", "message"),
    [("typst", "PDF needs typst"), ("pandoc", "the report needs pandoc, which is not found: pip install")],
)
def test_b6_a_missing_package_is_one_line(monkeypatch, missing, message):
    def not_found(*_, **__):
        raise OSError("No pandoc was found")

    if missing == "typst":
        monkeypatch.setitem(sys.modules, "typst", None)
    else:
        monkeypatch.setattr("pypandoc.get_pandoc_path", not_found)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# One")])
    with pytest.raises(NotebookError, match=message) as caught:
        export.to_pdf([("01_one", notebook)])
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)


def test_b7_an_empty_font_folder_and_a_glyph_without_font_warn_at_most(tmp_path, monkeypatch):
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "none"))
    plot = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.title('김 山 \U0001f9ea')\nplt.show()"
    outputs = run(tmp_path, plot).cells[0].outputs
    assert any("image/png" in output.get("data", {}) or "image/svg+xml" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.output_type == "error"]
