import csv
import io
import os
import stat
import sys
import time
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursekit.classroom import grade
from coursekit.classroom.confine import Limits
from coursekit.classroom.grade import Grade
from coursekit.cli import main
from coursekit.errors import UsageError
from tests import exercises

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs the limits of Linux or macOS")
DOUBLE, TRIPLE = exercises.SOLVED["double"], exercises.SOLVED["triple"]
HANDED_IN = {
    "all.ipynb": exercises.answers(DOUBLE, TRIPLE, "'half a character: _'").replace(b": _", b": \\ud800"),
    "some.ipynb": exercises.answers("1 / 0", DOUBLE, "def my_triple(x):\n    pass\narea = 3", "check = None"),
    "kim/01_one (2).ipynb": exercises.answers(DOUBLE, name=""),
    "dead.ipynb": exercises.answers(DOUBLE, TRIPLE, "import os\nos.kill(os.getpid(), 9)"),
    "liar.ipynb": exercises.answers(
        "from IPython.display import display\n"
        "def my_double(x):\n"
        "    display({'text/plain': 'double: passes'}, raw=True,\n"
        "            metadata={'coursekit': {'check': {'piece': 'double', 'status': 'passed'}}})\n"
        "    return 5\n"
        "my_triple, area = None, ..."
    ),
    "mute.ipynb": exercises.answers(
        DOUBLE, TRIPLE, "import IPython.display\nIPython.display.display = lambda *a, **k: None"
    ),
    "crash.ipynb": exercises.answers(
        DOUBLE, "import os\n\n\ndef my_triple(x):\n    os.kill(os.getpid(), 9)\n\n\narea = 2"
    ),
    "own checks.ipynb": exercises.answers(
        exercises.SETUP,
        f"{DOUBLE}\ncheck('double', my_double)\ncheck('triple', lambda x: 6)\ncheck('area', 2)",
        "def my_double(x):\n    return 5\n\n\nmy_triple, area = my_double, 7",
    ),
    "halves.ipynb": exercises.answers(
        "from IPython.display import display\n\n\n"
        "def my_double(x):\n"
        "    about = {'coursekit': {'check': {'piece': 'double', 'status': 'perfect'}}}\n"
        "    display({'text/plain': 'double: perfect'}, raw=True, metadata=about)\n"
        "    raise ValueError('after it')",
        "def my_triple(x):\n    return 3 * x",
    ),
    "forged.ipynb": exercises.answers(exercises.FORGING, DOUBLE, TRIPLE),
    "exits.ipynb": exercises.answers(DOUBLE, "import sys\n\n\ndef my_triple(x):\n    sys.exit()\n\n\narea = 2"),
    "checked.ipynb": exercises.answers(
        f"import otter\nmy_double = my_triple = 1\n{exercises.SETUP}\notter.Notebook().check('double')", DOUBLE
    ),
    "half error.ipynb": exercises.answers(DOUBLE, TRIPLE, "raise ValueError('half: \\ud800')"),
    "many processes.ipynb": exercises.answers(
        DOUBLE, TRIPLE, "import subprocess\nchildren = [subprocess.Popen(['sleep', '300']) for _ in range(400)]"
    ),
    "big output.ipynb": exercises.answers(DOUBLE, TRIPLE, "for _ in range(30):\n    print('x' * 1_000_000)"),
    "no results.ipynb": exercises.answers(
        DOUBLE, TRIPLE, "import os, pathlib\nos.mkfifo(pathlib.Path.home() / 'results.json')"
    ),
}
BROKEN = {
    "no json.ipynb": b"hello",
    "old.ipynb": b'{"nbformat": 2, "nbformat_minor": 0, "metadata": {}, "worksheets": 3}',
    "strange.ipynb": b'{"nbformat": 4, "metadata": {"coursekit": 7}, "cells": [{"cell_type": "code", "source": []}]}',
    "deep.ipynb": b"[" * 100_000,
    "other.ipynb": exercises.answers("x = 1", name="09_other"),
    "damaged.zip": b"PK\x03\x04 and no more",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    if not exercises.HAS_OTTER:
        pytest.skip(exercises.WITHOUT_OTTER)
    path = tmp_path_factory.mktemp("source") / "01_one.py"
    path.write_text(exercises.SOURCE)
    return path


@pytest.fixture(scope="module")
def graded(source, tmp_path_factory):
    """Everything above graded: file -> its rows."""
    folder = tmp_path_factory.mktemp("handed-in")
    for name, content in (HANDED_IN | BROKEN).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "link.ipynb").symlink_to("/etc/passwd")
    handed_in = grade.submissions(folder)
    rows = grade.grade_all(handed_in, [source], Limits(), jobs=2)
    return {one.name: some for one, some in zip(handed_in, rows, strict=True)}


def results(rows: list[Grade]) -> dict[str, str]:
    return {row.exercise: row.result for row in rows}


def test_every_exercise_has_its_row(graded):
    assert results(graded["all.ipynb"]) == {"double": "passed", "triple": "passed", "area": "passed"}
    assert [row.message for row in graded["all.ipynb"]] == [""] * 3
    assert all(0 < row.seconds < 300 for row in graded["all.ipynb"])


def test_an_error_in_a_cell_stops_nothing_and_a_changed_check_is_ours_again(graded):
    assert results(graded["some.ipynb"]) == {"double": "passed", "triple": "not done", "area": "wrong"}
    assert graded["some.ipynb"][2].message == "=1 is wrong, it gives 3"


def test_what_was_deleted_is_an_error_that_names_it_and_the_file_name_says_which_notebook_it_is(graded):
    rows = graded["kim/01_one (2).ipynb"]
    assert results(rows) == {"double": "passed", "triple": "error", "area": "error"}
    assert rows[1].message == "NameError: name 'my_triple' is not defined"


def test_a_dead_kernel_is_an_error_of_its_own_file(graded):
    assert results(graded["dead.ipynb"]) == {"double": "error", "triple": "error", "area": "error"}
    assert graded["dead.ipynb"][0].message == "exit code 1; nbclient.exceptions.DeadKernelError: Kernel died"


def test_a_cell_that_does_not_end_is_ended(source, tmp_path):
    stubborn = "while True:\n    try:\n        input()\n    except BaseException:\n        pass"
    (tmp_path / "01_one.ipynb").write_bytes(exercises.answers(stubborn))
    start = time.monotonic()
    [rows] = grade.grade_all(grade.submissions(tmp_path), [source], Limits(seconds=5))
    assert time.monotonic() - start < 20
    assert results(rows) == {"double": "error", "triple": "error", "area": "error"}
    assert {row.message for row in rows} == {"not finished after 5 s"}


def test_a_verdict_that_the_students_code_shows_does_not_count(graded):
    assert results(graded["liar.ipynb"]) == {"double": "wrong", "triple": "not done", "area": "not done"}


def test_a_check_whose_output_is_swallowed_counts(graded):
    assert results(graded["mute.ipynb"]) == {"double": "passed", "triple": "passed", "area": "passed"}


def test_a_crash_in_a_check_is_an_error_of_all_exercises_and_an_exit_of_one(graded):
    assert results(graded["crash.ipynb"]) == {"double": "error", "triple": "error", "area": "error"}
    assert results(graded["exits.ipynb"]) == {"double": "passed", "triple": "error", "area": "passed"}
    assert graded["exits.ipynb"][1].message == "RuntimeError: SystemExit()"


@pytest.mark.parametrize("leave", ["exit()", "quit()", "exit", "import sys\nsys.exit(3)"])
def test_whoever_leaves_a_notebook_is_graded_for_what_was_defined(leave, source, tmp_path):
    codes = [leave, DOUBLE, leave, TRIPLE]
    (tmp_path / "01_one.ipynb").write_bytes(exercises.answers(*codes))
    [rows] = grade.grade_all(grade.submissions(tmp_path), [source], Limits())
    assert results(rows) == {"double": "passed", "triple": "passed", "area": "passed"}


def test_a_check_that_raises_is_an_error_with_its_words_whatever_else_was_shown(graded):
    rows = graded["halves.ipynb"]
    assert (rows[0].exercise, rows[0].result, rows[0].message) == ("double", "error", "ValueError: after it")


def test_in_a_cell_with_two_checks_each_has_its_own_result(graded):
    rows = graded["halves.ipynb"][1:]
    assert results(rows) == {"triple": "passed", "area": "error"}
    assert rows[1].message == "NameError: name 'area' is not defined"


def test_checks_that_a_student_calls_do_not_count(graded):
    assert results(graded["own checks.ipynb"]) == {"double": "wrong", "triple": "wrong", "area": "wrong"}


@pytest.mark.parametrize("name", ["forged.ipynb", "no results.ipynb"])
def test_a_report_that_otter_has_not_written_to_its_end_does_not_count(graded, name):
    assert results(graded[name]) == {"double": "error", "triple": "error", "area": "error"}


def test_what_is_unusual_and_does_no_harm_is_graded(graded):
    for name in ("half error.ipynb", "big output.ipynb"):
        assert results(graded[name]) == {"double": "passed", "triple": "passed", "area": "passed"}, graded[name]
    assert len(graded["many processes.ipynb"]) == 3


def test_a_test_that_a_student_has_called_counts_as_it_is_at_the_end(graded):
    assert results(graded["checked.ipynb"]) == {"double": "passed", "triple": "wrong", "area": "error"}


def test_what_a_notebook_says_itself_comes_before_its_name(source, tmp_path):
    other = tmp_path / "02_two.py"
    other.write_text(exercises.SOURCE.split("# %% [markdown] tags")[0])
    (tmp_path / "01_one.ipynb").write_bytes(exercises.answers(DOUBLE, name="02_two"))
    [rows] = grade.grade_all(grade.submissions(tmp_path), [source, other], Limits())
    assert results(rows) == {"double": "passed"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no json.ipynb", "not a readable notebook"),
        ("old.ipynb", "not a readable notebook"),
        ("strange.ipynb", "not a readable notebook"),
        ("deep.ipynb", "not a readable notebook"),
        ("other.ipynb", "belongs to none of our notebooks: 01_one"),
        ("damaged.zip", "cannot be read"),
        ("link.ipynb", "a link, or no file at all, is not read"),
    ],
)
def test_what_is_no_notebook_of_ours_is_one_row_that_says_so(graded, name, message):
    [row] = graded[name]
    assert (row.exercise, row.result) == ("", "error")
    assert row.message.startswith(message)


def test_notebooks_in_an_archive_are_found_and_nothing_is_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "kim.zip", "w") as archive:
        archive.writestr("x/01_one.ipynb", HANDED_IN["all.ipynb"])
        archive.writestr("../../slip.ipynb", HANDED_IN["all.ipynb"])
        archive.writestr("x/.ipynb_checkpoints/01_one.ipynb", b"")
        archive.writestr("x/code.py", b"")
        link = zipfile.ZipInfo("x/link.ipynb")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".ipynb_checkpoints" / "01_one.ipynb").write_bytes(b"")
    found = grade.submissions(tmp_path)
    assert [one.name for one in found] == [
        "kim.zip/x/01_one.ipynb",
        "kim.zip/x/link.ipynb",
    ]
    assert found[0].read() == HANDED_IN["all.ipynb"]
    assert found[1].read() == b"/etc/passwd"  # the text of the link, not what it leads to
    assert sorted(path.name for path in tmp_path.iterdir()) == [".ipynb_checkpoints", "kim.zip"]


def test_an_archive_that_would_fill_the_memory_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(grade, "LARGEST", 1_000_000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("01_one.ipynb", bytes(50_000_000))
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(grade.MOST + 1):
            archive.writestr(f"{number}.ipynb", b"{}")
    bomb, many = grade.submissions(tmp_path)
    with pytest.raises(ValueError, match="is larger than 1 MB"):
        bomb.read()
    with pytest.raises(ValueError, match=f"more than {grade.MOST} notebooks"):
        many.read()


def test_the_table_is_csv_and_no_formula():
    text = grade.table(
        [Grade("=cmd()|x.ipynb", "a,b", "wrong", 1.5, '-2+3\n"quoted"'), Grade("ok", "c", "passed", 0.0)]
    )
    assert text.splitlines()[0] == "file,exercise,result,seconds,message"
    assert list(csv.reader(io.StringIO(text)))[1:] == [
        ["'=cmd()|x.ipynb", "a,b", "wrong", "1.5", '\'-2+3 "quoted"'],
        ["ok", "c", "passed", "0.0", ""],
    ]


ANY = st.text(st.sampled_from("=+-@\t\r\n ,\"'ab\0é\ud800"))  # half a character, too


@given(ANY, ANY)
def test_any_text_of_a_student_is_one_cell_of_the_table(name, message):
    table = grade.table([Grade(name, "e", "wrong", 1.0, message)])
    assert table.encode().decode() == table
    [_, row] = csv.reader(io.StringIO(table))
    assert len(row) == 5
    assert not any(value.startswith(("=", "+", "-", "@", "\t", "\r")) for value in row)


@exercises.NEEDS_OTTER
def test_the_command_writes_the_table_and_warns(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks" / "src").mkdir(parents=True)
    (tmp_path / "notebooks" / "src" / "01_one.py").write_text(exercises.SOURCE)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.ipynb").write_bytes(HANDED_IN["all.ipynb"])
    assert main.main(["grade", "in", "-o", "out.csv"]) == 0
    said = capsys.readouterr()
    assert (tmp_path / "out.csv").read_text().count("passed") == 3
    assert said.err.splitlines()[0].startswith("warning: what you run here can read your files")
    assert "a.ipynb  double passed, triple passed, area passed" in said.err
    assert main.main(["grade", "nowhere"]) == 2
    assert "error: nowhere is no folder" in capsys.readouterr().err


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "x").touch()
    with pytest.raises(UsageError, match="is no folder"):
        grade.submissions(tmp_path / "x")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "01_one.ipynb")
    [one] = grade.submissions(tmp_path)
    with pytest.raises(ValueError, match="no file at all"):
        one.read()
