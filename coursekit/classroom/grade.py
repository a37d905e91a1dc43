"""Student notebooks run one by one, each apart from this process, and their exercises checked by our own checks."""

import csv
import io
import lzma
import struct
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from functools import partial
from pathlib import Path, PurePosixPath

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from coursekit import files
from coursekit.classroom import confine, student
from coursekit.classroom.confine import Limits
from coursekit.errors import UsageError
from coursekit.execution import notebooks
from coursekit.execution.cells import exit_text
from coursekit.execution.source import KERNEL
from coursekit.notebook import document, outputs

RESULTS = ("passed", "not done", "wrong")
LARGEST = 20_000_000  # bytes of a notebook that is read
MOST = 100  # notebooks in one archive
BROKEN = (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError, KeyError, ValueError, struct.error)
BROKEN += (zlib.error, lzma.LZMAError)
SETTINGS = {"COURSEKIT_PROFILE": "sample", "COURSEKIT_SOURCE": "sample", "TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Grade:
    """One exercise of one file: "passed", "not done", "wrong" or "error"; the seconds are the whole notebook's."""

    file: str
    exercise: str
    result: str
    seconds: float
    message: str = ""


@dataclass(frozen=True)
class Submission:
    """A notebook that somebody has handed in: its name below the folder, its file, and its member of an archive."""

    name: str
    path: Path
    member: str = ""

    def read(self) -> bytes:
        """The file's content; raises ValueError, saying why, for what is no file, too large or damaged."""
        if self.path.is_symlink() or not self.path.is_file():
            raise ValueError("a link, or no file at all, is not read")
        if self.path.suffix == ".zip" and not self.member:
            raise ValueError(f"cannot be read as an archive, or has more than {MOST} notebooks")
        try:
            with zipfile.ZipFile(self.path).open(self.member) if self.member else self.path.open("rb") as file:
                content = file.read(LARGEST + 1)
        except BROKEN as error:
            raise ValueError(f"cannot be read ({error})") from error
        if len(content) > LARGEST:
            raise ValueError(f"is larger than {LARGEST / 1e6:.0f} MB")
        return content


def submissions(folder: Path) -> list[Submission]:
    """Every .ipynb below a folder and in the .zip files there, which are never unpacked to the disk; by name."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; name the one that holds what was handed in")
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not any(part.startswith(".") for part in name.split("/")):
            if path.suffix == ".ipynb":
                found.append(Submission(name, path))
            elif path.suffix == ".zip" and path.is_file() and not path.is_symlink():  # a pipe would wait for its writer
                found += [Submission(f"{name}/{member}".rstrip("/"), path, member) for member in _notebooks_in(path)]
    return found


def _notebooks_in(archive: Path) -> list[str]:
    """Names of the notebooks in an archive; one empty name where it cannot be read, or has too many."""
    try:
        with zipfile.ZipFile(archive) as opened:
            names = opened.namelist()
    except BROKEN:
        return [""]
    names = sorted(name for name in names if name.endswith(".ipynb") and "/." not in f"/{name}")
    return names if len(names) <= MOST else [""]


def grade_all(
    handed_in: Iterable[Submission], sources: list[Path], limits: Limits, jobs: int = 1
) -> Iterator[list[Grade]]:
    """Grade every submission, `jobs` at a time; yields the rows of each in order.

    `sources` are our notebooks. Raises NotebookError when one of them cannot be read; what a student has handed in
    raises nothing and has a row in every case, if there is a check in its notebook.
    """
    editions = {path.stem: student.edition(path) for path in sources}
    return notebooks.in_order(lambda one, stop: grade(one, editions, limits, stop), handed_in, jobs)


def grade(
    submission: Submission, editions: dict[str, NotebookNode], limits: Limits, stop: threading.Event | None = None
) -> list[Grade]:
    """The rows of one submission: one for each check in the notebook that it answers."""
    fault = partial(Grade, submission.name, "", "error", 0.0)
    try:
        content = submission.read()
    except ValueError as error:
        return [fault(str(error))]
    try:
        theirs = document.parse(content, lenient=True)
    except ValueError as error:
        return [fault(f"not a readable notebook: {error}")]
    codes = [_writable(cell.source) for cell in theirs.cells if cell.cell_type == "code"]
    ours = _answered(submission.name, theirs.metadata, editions)
    if ours is None:
        return [fault(f"belongs to none of our notebooks: {', '.join(editions)}")]
    checks = student.checks(ours)
    start = time.perf_counter()
    cells, end = _run([*codes, *_setup(ours), *(check.source for check, _ in checks)], limits, stop)
    seconds = round(time.perf_counter() - start, 1)
    return [
        Grade(submission.name, exercise, result, seconds, said)
        for (_, exercises), cell in zip(checks, cells[len(cells) - len(checks) :], strict=True)
        for exercise, result, said in _results(cell, exercises, end)
    ]


def _answered(name: str, metadata: dict, editions: dict[str, NotebookNode]) -> NotebookNode | None:
    """Our notebook of which this is the student edition, by what it says itself, or by its file name."""
    said = metadata.get("coursekit", {}).get("notebook")
    file = PurePosixPath(name).stem
    return editions.get(said) or next((edition for stem, edition in editions.items() if stem in file), None)


def _setup(ours: NotebookNode) -> list[str]:
    """Code of the cells that import what the checks need: a student may have deleted or changed his own."""
    return [cell.source for cell in ours.cells if cell.cell_type == "code" and student.has_tag(cell, "setup")]


def _run(codes: list[str], limits: Limits, stop: threading.Event | None) -> tuple[list[NotebookNode], str]:
    """Run code cells of which every one may fail, apart from this process; the cells, and how they ended too early."""
    cells = [
        new_code_cell(code, id=f"cell-{number:03d}", metadata={"tags": ["raises-exception"]})
        for number, code in enumerate(codes, 1)
    ]
    prepared = new_notebook(cells=cells, metadata={"kernelspec": KERNEL, "coursekit": {}})
    with tempfile.TemporaryDirectory(prefix="grade-", ignore_cleanup_errors=True) as folder:
        target = Path(folder, ".executed", "notebook.ipynb")
        files.write_bytes(target, outputs.to_bytes(prepared))
        command = [sys.executable, "-m", "coursekit.execution.cells", str(target), "quiet"]
        code, _ = confine.run(command, Path(folder), limits, SETTINGS, stop)
        try:
            executed = nbformat.reads(target.read_text(encoding="utf-8"), as_version=4)
            assert [cell.source for cell in executed.cells] == codes
            failure = str(executed.metadata.coursekit.get("failure", ""))
        except Exception:  # they had written over it
            return cells, "its outputs cannot be read"
    if code == confine.TIMED_OUT:
        where = failure.split(":")[0] or "before its first cell"
        return executed.cells, f"{where}: not finished after {limits.seconds:.0f} s"
    if code and not failure:
        return executed.cells, f"the process that runs it ended ({exit_text(code)})"
    return executed.cells, failure


def _results(cell: NotebookNode, exercises: list[str], end: str) -> list[tuple[str, str, str]]:
    """Exercise, result and message of each check in a cell; those that have said nothing are errors."""
    said = [output for output in cell.outputs if _verdict(output)][-len(exercises) :]
    found = [(*_verdict(output), _message(output)) for output in said]
    raised = outputs.errors_in(cell)
    why = outputs.text_of(raised[0]) if raised else end or "the check has said nothing"
    return found + [(exercise, "error", why) for exercise in exercises[len(found) :]]


def _verdict(output: NotebookNode) -> tuple[str, str] | None:
    """Exercise and result that a check has put beside its output."""
    try:
        about = output.metadata.coursekit.check
        return (about.piece, about.status) if about.status in RESULTS and isinstance(about.piece, str) else None
    except AttributeError:
        return None


def _message(output: NotebookNode) -> str:
    """The first line of what the check shows, without the exercise's name."""
    first, *_ = str(output.data.get("text/plain", "")).splitlines() or [""]
    return first.partition(": ")[2]


def table(grades: Iterable[Grade]) -> str:
    """The rows as CSV, below a header. What a spreadsheet would take for a formula is made text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(Grade))
    for row in grades:
        values = [_writable(" ".join(str(value).split())) for value in astuple(row)]
        writer.writerow(f"'{value}" if value.startswith(tuple("=+-@")) else value for value in values)
    return text.getvalue()


def _writable(text: str) -> str:
    """Text that UTF-8 can hold: JSON and file names may have half a character."""
    return text.encode(errors="replace").decode()
