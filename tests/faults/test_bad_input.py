"""FAULTS L3: bad input to every command gives one line and the right exit code, and no file that was there changes."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, writes

from coursekit.classroom import bundle
from coursekit.cli import doctor, main
from tests import exercises

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
SECONDS = 30  # for one row; what hangs is ended

USAGE, DATA, NOTEBOOK, STORAGE, DIVERGED = 2, 3, 4, 5, 6
ME = ("--id", "2025-12345", "--first", "Ada", "--last", "Lovelace")


class Link(NamedTuple):
    """A symbolic link in place of a file."""

    to: str


class Pipe(NamedTuple):
    """A named pipe in place of a file, into which nobody writes."""


# --- a small workbook -------------------------------------------------------------------------------------------------


def executed(*codes: str, **metadata) -> dict:
    """The JSON of an executed notebook."""
    said = new_output("stream", text="said\n")
    cells = [new_code_cell(code, outputs=[said], execution_count=1, id=f"c{i}") for i, code in enumerate(codes)]
    return json.loads(writes(new_notebook(cells=[new_markdown_cell("# One", id="t"), *cells], metadata=metadata)))


def with_cell(**changes) -> bytes:
    """A notebook whose code cell has other fields; None takes one away."""
    notebook = executed("print(1)")
    cell = notebook["cells"][1] | changes
    notebook["cells"][1] = {name: value for name, value in cell.items() if value is not None}
    return json.dumps(notebook).encode()


def with_output(**changes) -> bytes:
    """A notebook whose output has other fields."""
    shown = {"output_type": "display_data", "data": {"text/plain": "x"}, "metadata": {}}
    return with_cell(outputs=[shown | changes])


def said(**metadata) -> bytes:
    """A notebook with an output that says something in our own metadata."""
    return with_output(metadata={"coursekit": metadata})


def nested(levels: int):
    value: list = []
    for _ in range(levels):
        value = [value]
    return value


GOOD = json.dumps(executed("print(1)")).encode()
PROJECT = '[project]\nname = "x"\n\n[project.urls]\n# Repository = "https://github.com/OWNER/NAME"\n'
ROWS = "".join(f"{number},{number % 10}\n" for number in range(10_000))
MARK = "<!-- scorecard: written by `coursekit scorecard --into` -->"
WORKBOOK = {name: f"{name}\n".encode() for name in bundle.CODE if "/" not in name and name != "coursekit"} | {
    "coursekit/models.py": b"WIDTH = 8\n",
    "notebooks/src/01_one.py": exercises.SOURCE.encode(),
    "notebooks/01_one.ipynb": GOOD,
    "pyproject.toml": PROJECT.encode(),
    "build/predictions.csv": f"Id,Label\n{ROWS}".encode(),
    "page.md": f"# A\n{MARK}\n{MARK}\n".encode(),
}


@pytest.fixture
def workbook(tmp_path, monkeypatch) -> Callable[[dict], Path]:
    """Makes the workbook, with these files more, and goes there."""

    def make(files: dict) -> Path:
        root = tmp_path / "book"
        for name, content in (WORKBOOK | files).items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Link):
                path.unlink(missing_ok=True)
                path.symlink_to(content.to)
            elif isinstance(content, Pipe):
                os.mkfifo(path)
            else:
                path.write_bytes(content)
        monkeypatch.chdir(root)
        return root

    return make


@pytest.fixture(autouse=True)
def _limit():
    """Ends a command that waits for ever."""

    def too_long(*_):
        raise AssertionError(f"not finished after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def contents(folder: Path) -> dict[str, object]:
    """Every file and link below a folder, by name."""
    paths = sorted(path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    return {str(p.relative_to(folder)): os.readlink(p) if p.is_symlink() else p.read_bytes() for p in paths}


def run(words: list[str]) -> int:
    try:
        return main.main(words)
    except SystemExit as stop:  # argparse
        return stop.code


# --- rows -------------------------------------------------------------------------------------------------------------

# Files that are no notebook, and a word of what is said about each.
NOTEBOOKS = {
    "empty": (b"", "the file is empty"),
    "blank": (b" \n\n", "the file is empty"),
    "prose": (b"Once upon a time", "not JSON (line 1"),
    "cut off": (GOOD[:200], "not JSON"),
    "binary": (bytes(range(256)) * 9, "not UTF-8 (byte 128)"),
    "utf-16": (GOOD.decode().encode("utf-16"), "not UTF-8"),
    "latin-1": (GOOD.replace(b"One", "Süß".encode("latin-1")), "not UTF-8"),
    "null bytes": (b"\0" * 99, "null bytes"),
    "a list": (b"[1, 2]", "it has no nbformat"),
    "a number": (b"7", "it has no nbformat"),
    "no version": (b'{"cells": []}', "it has no nbformat"),
    "version true": (b'{"nbformat": true, "cells": []}', "it has no nbformat"),
    "version 2": (
        b'{"nbformat": 2, "nbformat_minor": 0, "metadata": {}, "worksheets": []}',
        "nbformat 2, not 4; open it",
    ),
    "version 5": (b'{"nbformat": 5, "cells": []}', "nbformat 5, not 4; pip install"),
    "broken version 3": (
        b'{"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": 3}',
        "cannot be upgraded",
    ),
    "no minor": (b'{"nbformat": 4, "metadata": {}, "cells": []}', "nbformat_minor is None"),
    "minor text": (b'{"nbformat": 4, "nbformat_minor": "5", "metadata": {}, "cells": []}', "nbformat_minor is '5'"),
    "no cells": (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}', "'cells' is a required property"),
    "cells of none": (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}', "it has no cells"),
    "cells 5": (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": 5}', "cells: 5 is not of type 'array'"),
    "cell 5": (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [5]}', "cell 1: 5 is not of type"),
    "no metadata": (b'{"nbformat": 4, "nbformat_minor": 5, "cells": []}', "'metadata' is a required property"),
    "deep": (b"[" * 100_000, "nested deeper than 100 levels"),
    "deep metadata": (with_cell(metadata={"a": nested(200)}), "nested deeper than 100 levels"),
    "huge number": (b'{"nbformat": ' + b"4" * 5000 + b"}", "not a readable notebook"),
    "no source": (with_cell(source=None), "cell 2: 'source' is a required property"),
    "source 5": (with_cell(source=5), "cell 2 (source): 5 is not valid"),
    "no cell type": (with_cell(cell_type=None), "cell 2: cell_type is None"),
    "cell type of a list": (with_cell(cell_type=[5]), "cell 2: cell_type is [5]"),
    "attachments of text": (with_cell(attachments="x"), "cell 2: attachments is 'x'"),
    "other cell type": (with_cell(cell_type="poem"), "cell 2"),
    "cell metadata 5": (with_cell(metadata=5), "cell 2 (metadata): 5 is not of type 'object'"),
    "tags 5": (with_cell(metadata={"tags": 5}), "cell 2 (metadata.tags): 5 is not of type 'array'"),
    "tags of numbers": (with_cell(metadata={"tags": [5]}), "cell 2 (metadata.tags.0): 5 is not of type 'string'"),
    "outputs 5": (with_cell(outputs=5), "cell 2 (outputs): 5 is not of type 'array'"),
    "output without name": (
        with_cell(outputs=[{"output_type": "stream", "text": ""}]),
        "'name' is a required property",
    ),
    "picture 5": (with_output(data={"image/png": 5}), "cell 2: an output's image/png is 5; expected text"),
    "half a character": (with_cell(source="'\ud83d'"), "cell 2: half a character"),
    "half a title": (json.dumps(executed("1", title="\ud83d")).encode(), "metadata: half a character"),
    "our metadata 5": (
        json.dumps(executed("1", coursekit=5)).encode(),
        "metadata.coursekit is 5; expected a dictionary",
    ),
    "our sources 5": (
        json.dumps(executed("1", coursekit={"sources": 5})).encode(),
        "sources in metadata.coursekit is 5",
    ),
    "output of ours 5": (with_output(metadata={"coursekit": 5}), "cell 2: metadata.coursekit is 5"),
    "claims 5": (said(claims=5), "cell 2: claims in metadata.coursekit is 5"),
    "figure 5": (said(figure=5), "cell 2: figure in metadata.coursekit is 5"),
    "caption 5": (said(caption=[5]), "cell 2: caption in metadata.coursekit is [5]"),
    "run 5": (said(run={"sources": 5}), "cell 2: sources in metadata.coursekit is 5"),
}
# The same for scripts.
SCRIPTS = {
    "empty": (b"", "the file is empty"),
    "binary": (bytes(range(256)), "not UTF-8"),
    "latin-1": ("# %%\nprint('Süß')\n".encode("latin-1"), "not UTF-8 (byte 13)"),
    "null bytes": (b"# %%\n\0\n", "null bytes"),
    "strange header": (b"# ---\n# jupyter:\n#   jupytext: 5\n# ---\n\n# %%\n1\n", "jupytext stops at its header"),
    "tags 5": (b"# %% tags=5\n1\n", "jupytext stops at its header or at a line `# %%`"),
    "deep tags": (f"# %% x={json.dumps(nested(150))}\n1\n".encode(), "nested deeper than 100 levels"),
}
BAD_SOLUTION = b"# %%\nx = 1\n# BEGIN SOLUTION\ny = 2\n"
BAD_CHECK = b"# %%\ncheck('a', (\n"
BRACKETS = b"# %%\ncheck(" + b"(" * 5000 + b"\n"


class Row(NamedTuple):
    """A command line, the files it meets, how it ends, and a word of the line on stderr."""

    words: tuple[str, ...]
    files: dict[str, object]
    code: int
    word: str


def table() -> dict[str, Row]:
    """Every row by its name."""
    rows: dict[str, Row] = {}

    def add(words: str | tuple, code: int, word: str, files: dict | None = None, name: str = "") -> None:
        words = tuple(words.split()) if isinstance(words, str) else words
        rows[f"{' '.join(words)[:60]} | {name or ' '.join(files or {})}"] = Row(words, files or {}, code, word)

    # Every bad notebook to some commands, some bad notebooks to every command.
    everywhere = ("empty", "binary", "deep", "version 2", "no source", "tags 5", "half a character", "our metadata 5")
    for name, (content, word) in NOTEBOOKS.items():
        bad = {"notebooks/02_two.ipynb": content}
        add("report 2", NOTEBOOK, word, bad, name)
        add("colab https://github.com/a/b", NOTEBOOK, word, bad, name)
        add("student notebooks/02_two.ipynb", NOTEBOOK, word, bad, name)
        if name in everywhere:
            add("student --gradescope notebooks/02_two.ipynb", NOTEBOOK, word, bad, name)
            add("run notebooks/02_two.ipynb", NOTEBOOK, word, bad, name)
            add("run 1 notebooks/02_two.ipynb --jobs 2", NOTEBOOK, word, bad, name)
            add("report --run notebooks/02_two.ipynb", NOTEBOOK, word, bad, name)
            add(("bundle", *ME, "notebooks/02_two.ipynb"), NOTEBOOK, word, bad, name)
    for name, (content, word) in SCRIPTS.items():
        bad = {"notebooks/src/02_two.py": content}
        for command in ("run 2", "run 1 2", "student", "student --gradescope 2", "grade handed-in", "report --run 2"):
            more = {"handed-in/a.ipynb": GOOD} if command.startswith("grade") else {}
            add(command, NOTEBOOK, word, bad | more, name)
    add("report notebooks/src/01_one.py", NOTEBOOK, "not JSON")
    add("run README.md", NOTEBOOK, "not a notebook; name a .py or an .ipynb file")
    add(
        "student",
        NOTEBOOK,
        "02_two.py cell 1: BEGIN SOLUTION without END SOLUTION",
        {"notebooks/src/02_two.py": BAD_SOLUTION},
    )
    for content in (BAD_CHECK, BRACKETS):
        name = f"{len(content)} bytes"
        add("student 2", NOTEBOOK, "02_two.py cell 1: not valid Python", {"notebooks/src/02_two.py": content}, name)
        add("student --gradescope 2", NOTEBOOK, "not valid Python", {"notebooks/src/02_two.py": content}, name)
    add(
        "student --gradescope 2",
        NOTEBOOK,
        "cell 1: not valid Python",
        {"notebooks/src/02_two.py": b"# %%\n)\n"},
        "bracket",
    )
    add("student --gradescope 2", USAGE, "has no check", {"notebooks/src/02_two.py": b"# %%\n1\n"}, "no check")

    # Outputs that a report cannot show.
    bad = {"notebooks/02_two.ipynb": said(score={"id": "S1.1.2.tanh"})}
    add("report 2 --format html", NOTEBOOK, "is not a score of ours", bad, "score")

    # Nothing is written over what is read, by whatever name.
    over, link = "would be overwritten; choose another place with -o", {"a.ipynb": Link("notebooks/01_one.ipynb")}
    add("student -o notebooks", USAGE, "notebooks/01_one.ipynb is there and is not a student edition")
    add("student notebooks/01_one.ipynb -o notebooks", USAGE, over)
    add("student notebooks/01_one.ipynb -o build/../notebooks", USAGE, over)
    add("student a.ipynb -o .", USAGE, over, link)
    add("student -o out", USAGE, over, {"out/01_one.ipynb": Link("../notebooks/src/01_one.py")})
    add("student -o there", USAGE, "is not a student edition", {"there": Link("notebooks")}, "folder")
    add("run notebooks/01_one.ipynb -o notebooks", USAGE, over)
    add("run notebooks/01_one.ipynb -o there", USAGE, over, {"there": Link("notebooks")}, "folder")
    add("run a.ipynb -o .", USAGE, over, link)
    add(("bundle", *ME, "-o", "notebooks/01_one.ipynb"), USAGE, over)
    add(("bundle", *ME, "-o", "a.ipynb"), USAGE, over, link)
    add(("bundle", *ME, "-o", "README.md"), USAGE, over)
    add(("bundle", *ME, "-o", "./coursekit/models.py"), USAGE, over)
    add(("bundle", *ME, "-o", "build/predictions.csv"), USAGE, over)
    add(("bundle", *ME, "--report", "my.pdf", "-o", "my.pdf"), USAGE, over, {"my.pdf": b"%PDF-1"})
    add("report a.ipynb -o x", USAGE, over, {"a.ipynb": GOOD, "x.pdf": Link("a.ipynb")})
    add("grade in -o in/a.ipynb", USAGE, over, {"in/a.ipynb": GOOD})
    add("grade in -o notebooks/src/01_one.py", USAGE, over, {"in/a.ipynb": GOOD})

    # Two outputs are never one file.
    twice, other = "would be written twice", {"other/01_one.ipynb": GOOD, "other/01_one.py": b"# %%\n1\n"}
    add("run 1 other/01_one.py", USAGE, twice, other)
    add("run 1 one", USAGE, twice)
    add("student 1 other/01_one.py", USAGE, twice, other)
    add("student --gradescope 1 other/01_one.py", USAGE, twice, other)
    add("report 1 other/01_one.ipynb --each", USAGE, twice, other)
    add(("bundle", *ME, "notebooks/01_one.ipynb", "other/01_one.ipynb"), USAGE, "same name", other)

    # Files that are none.
    add("predictions pipe", DATA, "cannot read pipe: not a regular file", {"pipe": Pipe()})
    add("predictions /dev/zero", DATA, "cannot read /dev/zero: not a regular file")
    add("predictions notebooks", DATA, "not a regular file")
    add("predictions loop", DATA, "cannot read loop", {"loop": Link("loop")})
    add("predictions big", DATA, "larger than 10 MB", {"big": b"1" * 10_000_001})
    add("predictions empty", DATA, "row 1: the header is ''", {"empty": b""})
    add("predictions binary", DATA, "row 2: not UTF-8", {"binary": b"Id,Label\n\xff"})
    add("predictions short", DATA, "row 3: missing", {"short": b"Id,Label\n0,1\n"})
    add("predictions long", DATA, "too many", {"long": f"Id,Label\n{ROWS}10000,1\n".encode()})
    add("scorecard --into pipe", USAGE, "not a regular file", {"pipe": Pipe()})
    add("scorecard --into /dev/zero", USAGE, "not a regular file")
    add("scorecard --into binary", USAGE, "binary is not UTF-8 text (byte 0)", {"binary": b"\xff\xfe" + bytes(99)})
    add("scorecard --into README.md", USAGE, "must hold the line")
    add("scorecard --into nowhere.md", USAGE, "cannot read nowhere.md: No such file")
    add("scorecard --into notebooks", USAGE, "not a regular file")
    add("run pipe.ipynb", USAGE, "no such notebook 'pipe.ipynb'", {"pipe.ipynb": Pipe()})
    add(f"run {'a' * 5000}", USAGE, "no such notebook")
    add("report", NOTEBOOK, "not a regular file", {"notebooks/02_two.ipynb": Pipe()})
    add("colab none", NOTEBOOK, "not a regular file", {"notebooks/02_two.ipynb": Link("/dev/zero")})
    add("student", NOTEBOOK, "not a regular file", {"notebooks/src/02_two.py": Pipe()})
    add(("bundle", *ME), STORAGE, "02_two.ipynb is no file", {"notebooks/02_two.ipynb": Pipe()})
    add(("bundle", *ME, "--predictions", "pipe"), DATA, "not a regular file", {"pipe": Pipe()})
    add(("bundle", *ME, "--report", "/dev/zero"), STORAGE, "zero is no file")

    # Addresses, and where they are kept.
    address = "colab https://github.com/a/b"
    add("colab http://github.com/a/b", USAGE, "is not an address")
    add(address, USAGE, "has no line", {"pyproject.toml": b'[project]\nname = "x"\n'})
    add(address, STORAGE, "does not describe a project", {"pyproject.toml": b"[project\n"}, "no TOML")
    add(address, STORAGE, "does not describe a project", {"pyproject.toml": b"\xff"}, "no UTF-8")
    add(address, STORAGE, "does not describe a project", {"pyproject.toml": b"x = 1\n"}, "no project")
    deep = f"{PROJECT}a = {'[' * 5000}".encode()
    add(address, STORAGE, "does not describe a project", {"pyproject.toml": deep}, "deep")

    # Places that are none.
    add("run -o README.md", STORAGE, "cannot write")
    add("run --figures README.md", STORAGE, "cannot write")
    add("student -o README.md", STORAGE, "cannot write")
    add("student --gradescope -o README.md", STORAGE, "cannot write")
    add("report -o .", USAGE, "is a folder; name a file in it")
    add("report -o ..", USAGE, "is a folder; name a file in it")
    add("report -o README.md/x --format html", STORAGE, "cannot write")
    add(("bundle", *ME, "--report", "my.pdf", "-o", "README.md/x"), STORAGE, "cannot write", {"my.pdf": b"%PDF-1"})
    add(("bundle", *ME, "--report", "my.pdf", "-o", ""), STORAGE, "is a folder; name a file", {"my.pdf": b"%PDF-1"})
    add("student --gradescope 1 -o there", USAGE, "is not an autograder", {"there/01_one.zip": b"PK"})
    add("grade README.md", USAGE, "README.md is no folder")
    add("student --gradescope 1", USAGE, "no requirements.txt here", {"requirements.txt": Link("nowhere")})

    # Words that are none.
    add(("report", "--author", "\udcff"), USAGE, "is not UTF-8")
    add(("bundle", "--id", "1", "--first", "A", "--last", "B"), USAGE, "is no student id")
    add(("bundle", "--id", "2025-12345", "--first", "../x", "--last", "B"), USAGE, "is not a name")
    add(("bundle", *ME, "--include", "../secret"), USAGE, "is not handed in")
    add("grade in --limit inf", USAGE, "inf is not a number of seconds", {"in/a.ipynb": GOOD})
    add("run --limit nan", USAGE, "nan is not a number of seconds")
    add("run --jobs -1", USAGE, "--jobs")
    add(f"run --jobs {'9' * 5000}", USAGE, "is not a number of at least 1")
    add("sweep nowhere.py", USAGE, "cannot read nowhere.py")
    add("sweep pipe.py", USAGE, "cannot read pipe.py", {"pipe.py": Pipe()})
    add("sweep README.md", USAGE, "is not a Python file")
    add("sweep runs_1.py", USAGE, "runs_1.py, line 2: ", {"runs_1.py": b"\n)\n"}, "bracket")
    return rows


TABLE = table()
MARKS = {"student": exercises.NEEDS_OTTER, "grade": exercises.NEEDS_OTTER}
ROWS_OF_TABLE = [pytest.param(row, marks=MARKS.get(row.words[0], ()), id=name) for name, row in TABLE.items()]


@pytest.mark.parametrize("row", ROWS_OF_TABLE)
def test_l3_one_line_the_right_code_and_every_file_as_it_was(row, workbook, capfd):
    root = workbook(row.files)
    before = contents(root)
    code = run(list(row.words))
    lines = capfd.readouterr().err.splitlines()
    assert code == row.code, lines
    errors = [line for line in lines if "error: " in line]
    assert len(errors) == 1, lines
    assert row.word in errors[0]
    by_argparse = lines[0].startswith("usage: ")
    assert by_argparse or all(line.startswith(("error: ", "warning: ")) for line in lines)
    assert before.items() <= contents(root).items()


def test_l3_the_table_is_long_and_has_every_command_that_reads():
    assert len(TABLE) >= 60
    commands = {row.words[0] for row in TABLE.values()}
    assert commands == {"run", "report", "student", "bundle", "grade", "colab", "predictions", "scorecard", "sweep"}


# --- what needs more than a row ---------------------------------------------------------------------------------------

SWEEP = """
from functools import partial
import torch
from coursekit import Experiment, models

sgd = partial(torch.optim.SGD, lr=LR)
mlp = partial(models.MLP, (128, 8, 10))
variants = {"one": Experiment(mlp, sgd, "letters", epochs=1, batch_size=32, train_size=64)}
seeds = [0]
"""


@pytest.mark.parametrize(
    ("lr", "results", "code", "line"),
    [
        ("1e30", "results", DIVERGED, "error: 1 of 1 runs diverged; try a smaller learning rate"),
        ("0.1", "README.md", STORAGE, "error: cannot write "),
        ("0.1", "README.md/results", STORAGE, "error: cannot write "),
    ],
)
def test_l3_a_sweep_that_diverged_ends_with_6_and_one_whose_results_cannot_be_kept_with_5(
    lr, results, code, line, workbook, monkeypatch, capfd
):
    root = workbook({"my_runs.py": SWEEP.replace("LR", lr).encode()})
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = contents(root)
    monkeypatch.setenv("COURSEKIT_RESULTS", str(root / results))
    for name in ("PROFILE", "SOURCE"):  # which the command sets
        monkeypatch.setenv(f"COURSEKIT_{name}", "sample")
    assert main.main(["sweep", "my_runs.py"]) == code
    said = capfd.readouterr()
    assert said.err.splitlines()[-1].startswith(line)
    assert "Traceback" not in said.err
    assert before.items() <= contents(root).items()
    del sys.modules["my_runs"]
    assert main.main(["sweep", "my_runs.py"]) == code, "a replay ends like the run"
    del sys.modules["my_runs"]


@exercises.NEEDS_OTTER
def test_l3_what_students_hand_in_has_a_row_that_says_what_is_wrong_with_it(workbook, capfd):
    bad = {name: content for name, (content, _) in NOTEBOOKS.items()}
    for kept in (
        "no minor",
        "half a character",
        "outputs 5",
        "output without name",
        "picture 5",
        "claims 5",
        "figure 5",
    ):
        del bad[kept]  # these are graded: only the cells' text counts
    for kept in ("output of ours 5", "caption 5", "run 5", "latin-1", "half a title"):
        del bad[kept]
    workbook({f"in/{number}.ipynb": content for number, content in enumerate(bad.values())})
    os.mkfifo("in/pipe.ipynb")
    os.mkfifo("in/pipe.zip")
    Path("in/folder.ipynb").mkdir()
    assert main.main(["grade", "in"]) == 0
    rows = capfd.readouterr().out.splitlines()[1:]
    assert len(rows) == len(bad) + 2
    assert all(",,error,0.0," in row for row in rows), rows
    assert sum("not a readable notebook: " in row for row in rows) == len(bad)


def test_l3_text_goes_between_the_marks_and_the_rest_keeps_its_line_ends(workbook, capfd):
    page = f"# A\r\n{MARK}\r\nold\r\n{MARK}\r\nend\n".encode()
    workbook({"page.md": page, "link.md": Link("page.md")})
    assert main.main(["scorecard", "--into", "link.md"]) == 0
    after = Path("page.md").read_bytes()
    assert os.readlink("link.md") == "page.md"
    assert after.startswith(f"# A\r\n{MARK}\r\nOf ".encode())
    assert after.endswith(f"\r\n{MARK}\r\nend\n".encode())
    assert after.count(b"\n") == after.count(b"\r\n") + 1
    assert main.main(["scorecard", "--into", "page.md"]) == 0
    assert Path("page.md").read_bytes() == after


def test_l3_an_address_changes_its_line_only_and_a_link_stays_a_link(workbook, capfd):
    project = PROJECT.replace("\n", "\r\n").encode()
    setup = with_cell(metadata={"tags": ["setup"]})
    workbook({"pyproject.toml": project, "kept.ipynb": setup, "notebooks/01_one.ipynb": Link("../kept.ipynb")})
    assert main.main(["colab", "https://github.com/a/b"]) == 0
    assert Path("notebooks/01_one.ipynb").is_symlink()
    assert "github.com/a/b" in Path("kept.ipynb").read_text()
    lines = Path("pyproject.toml").read_bytes().split(b"\r\n")
    assert lines == [*project.split(b"\r\n")[:4], b'Repository = "https://github.com/a/b"', b""]


@exercises.NEEDS_OTTER
def test_l3_what_is_unusual_and_right_is_read(workbook, capfd):
    old = {"cell_type": "code", "input": ["1 + 1"], "outputs": [], "language": "python", "prompt_number": 1}
    version_3 = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"cells": [old]}]}
    later = executed("print(1)") | {"nbformat_minor": 99}
    later["cells"].append({"cell_type": "poem", "metadata": {}, "id": "p"})
    without_ids = executed("print(1)")
    for cell in without_ids["cells"]:
        del cell["id"]
    files = {
        "03_version.ipynb": json.dumps(version_3).encode(),
        "04_later.ipynb": json.dumps(later).encode(),
        "05_ids.ipynb": json.dumps(without_ids).encode(),
        "06_bom.ipynb": b"\xef\xbb\xbf" + GOOD,
        "07_extra.ipynb": with_cell(colour="red"),
        "08_script.py": "\ufeff# %%\r\nprint('ü')\r\n".encode(),
    }
    root = workbook(files)
    before = contents(root)
    assert main.main(["student", *files]) == 0
    assert capfd.readouterr().err == ""
    assert before.items() <= contents(root).items()


@pytest.mark.parametrize("variable", ["COURSEKIT_DATA", "COURSEKIT_RESULTS"])
def test_l3_a_file_in_place_of_a_folder_does_not_pass_the_doctor(variable, workbook, monkeypatch, capfd):
    root = workbook({})
    for place in ("README.md", "README.md/inside"):
        monkeypatch.setenv(variable, str(root / place))
        for name in ("mnist", "write"):
            question, advice = doctor.QUESTIONS[name]
            state, text = doctor._ask(question, advice)
            if (name == "write") == (variable == "COURSEKIT_RESULTS"):
                assert (state, text.startswith(f"{root / 'README.md'} is not a folder; ")) == ("FAIL", True)
                assert f"set {variable} to one" in text
