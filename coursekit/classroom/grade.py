"""Student notebooks graded by `otter run`, each apart from this process, with our own checks as its tests."""

import csv
import io
import json
import lzma
import re
import struct
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, fields
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from coursekit import files
from coursekit.classroom import autograder, confine, student
from coursekit.classroom.confine import Limits
from coursekit.errors import StorageError, UsageError
from coursekit.execution import notebooks
from coursekit.execution.cells import exit_text
from coursekit.execution.source import KERNEL
from coursekit.notebook import document, outputs

LARGEST = 20_000_000  # bytes of a notebook that is read
MOST = 100  # notebooks in one archive
BROKEN = (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError, KeyError, ValueError, struct.error)
BROKEN += (zlib.error, lzma.LZMAError)
FAILED = re.compile(r"Error at line \d+ in test [^\n]*\n[^\n]*\n\s*(?P<kind>\w+): (?P<said>[^\n]*)")  # as otter says it
# Otter runs a test once: of one that the notebook itself has called, the verdict of then would stay.
FORGET = "from otter.execute import Checker\n\nChecker.get_results().clear()"
# exit() and quit() would end the kernel, and with it what was defined before.
STAY = "get_ipython().ask_exit = lambda: None"
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


class Ours(NamedTuple):
    """One of our notebooks: its student edition, its exercises, and the zip that grades them."""

    edition: NotebookNode
    exercises: list[str]
    autograder: bytes


def grade_all(
    handed_in: Iterable[Submission], sources: list[Path], limits: Limits, jobs: int = 1
) -> Iterator[list[Grade]]:
    """Grade every submission, `jobs` at a time; yields the rows of each in order.

    `sources` are our notebooks. Raises NotebookError when one of them cannot be read; what a student has handed in
    raises nothing and has a row in every case, if there is a check in its notebook.
    """
    ours = {path.stem: _prepared(path) for path in sources}
    return notebooks.in_order(lambda one, stop: grade(one, ours, limits, stop), handed_in, jobs)


def _prepared(source: Path) -> Ours:
    edition = student.edition(source)
    exercises = list(dict.fromkeys(student.exercises(edition)))
    return Ours(edition, exercises, autograder.make(source) if exercises else b"")


def grade(
    submission: Submission, ours: Mapping[str, Ours], limits: Limits, stop: threading.Event | None = None
) -> list[Grade]:
    """The rows of one submission: one for each exercise of the notebook that it answers."""
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
    answered = _answered(submission.name, theirs.metadata, ours)
    if answered is None:
        return [fault(f"belongs to none of our notebooks: {', '.join(ours)}")]
    if not answered.exercises:
        return []
    start = time.perf_counter()
    tests, why = _run([STAY, *codes, *_setup(answered.edition)], answered.autograder, limits, stop)
    seconds = round(time.perf_counter() - start, 1)
    results = ((exercise, *_result(tests.get(exercise), why)) for exercise in answered.exercises)
    return [Grade(submission.name, exercise, result, seconds, said) for exercise, result, said in results]


def _answered(name: str, metadata: dict, ours: Mapping[str, Ours]) -> Ours | None:
    """Our notebook of which this is the student edition, by what it says itself, or by its file name."""
    said = metadata.get("coursekit", {}).get("notebook")
    file = PurePosixPath(name).stem
    return ours.get(said) or next((one for stem, one in ours.items() if stem in file), None)


def _setup(ours: NotebookNode) -> list[str]:
    """Code of the cells that import what the checks need: a student may have deleted or changed his own."""
    cells = [cell for cell in ours.cells if cell.cell_type == "code" and student.has_tag(cell, "setup")]
    return [FORGET, *(cell.source for cell in cells)]


def _run(
    codes: list[str], autograder: bytes, limits: Limits, stop: threading.Event | None
) -> tuple[dict[str, dict], str]:
    """What `otter run` says of each exercise, and in words why it says nothing of one."""
    notebook = new_notebook(cells=[new_code_cell(code) for code in codes], metadata={"kernelspec": KERNEL})
    with tempfile.TemporaryDirectory(prefix="grade-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        files.write_bytes(folder / "submission.ipynb", outputs.to_bytes(notebook))
        files.write_bytes(folder / "autograder.zip", autograder)
        command = [sys.executable, "-m", "otter", "run", "submission.ipynb", "-a", "autograder.zip", "-o", "."]
        own = {"COURSEKIT_RESULTS": str(folder / "results")}  # or they would train for the workbook's store
        code, _ = confine.run(command, folder, limits, SETTINGS | own, stop)
        if code == confine.TIMED_OUT:
            return {}, f"not finished after {limits.seconds:.0f} s"
        if code:
            return {}, f"{exit_text(code)}; {_last_line(folder / confine.SAID)}"
        return _tests_in(folder / "results.json"), "the check has said nothing"


def _tests_in(report: Path) -> dict[str, dict]:
    """The tests of otter's report by name; none where the student's code has left something else in its place."""
    try:
        tests = json.loads(files.read_bytes(report, LARGEST))["tests"]
        return {test["name"]: test for test in tests}
    except (StorageError, ValueError, TypeError, KeyError, RecursionError):
        return {}


def _last_line(path: Path) -> str:
    try:
        lines = files.read_bytes(path, LARGEST).decode(errors="replace").strip().splitlines()
    except StorageError:  # they may have put anything there
        lines = []
    return lines[-1][:200] if lines else "no reason given"


def _result(test: dict | None, why: str) -> tuple[str, str]:
    """Result and message of an exercise."""
    if not test:
        return "error", why
    if test.get("score") == test.get("max_score") == 1:
        return "passed", ""
    failed = FAILED.search(str(test.get("output")))
    if failed is None:
        return "error", "the check has said nothing"
    if failed["kind"] != "AssertionError":
        return "error", f"{failed['kind']}: {failed['said']}"
    said = failed["said"].partition(": ")[2] or failed["said"]
    return "not done" if said.startswith("not done yet") else "wrong", said


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
