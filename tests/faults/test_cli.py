"""FAULTS L1: options that are wrong, notebooks and files that are not there."""

import os
import subprocess
import sys

import pytest


def coursekit(*arguments, cwd):
    command = [sys.executable, "-m", "coursekit", *arguments]
    return subprocess.run(command, cwd=cwd, env=os.environ, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "3"], 2, "error: no such notebook '3'; there are: 01_one"),
        (["run", "missing/01_one.py"], 2, "error: no such notebook 'missing/01_one.py'; there are: 01_one"),
        (["run", "--jobs", "0"], 2, "error: argument --jobs: 0 is not a number of at least 1"),
        (["run", "--limit", "-5"], 2, "error: argument --limit: -5 is not a number of seconds"),
        (["run", "--limit", "soon"], 2, "error: argument --limit: soon is not a number of seconds"),
        (["run", "--profil", "sample", "--colour"], 2, "error: unrecognized arguments: --colour"),
        (["report", "missing.ipynb"], 2, "error: no such notebook 'missing.ipynb'; there are: none in notebooks"),
        (["report", "--format", "docx"], 2, "invalid choice: 'docx'"),
        (["predictions", "missing.csv"], 3, "error: cannot read missing.csv: No such file"),
        ([], 2, "error: the following arguments are required: COMMAND"),
    ],
)
def test_l1_one_line_exit_code_and_nothing_created(tmp_path, arguments, code, message):
    (tmp_path / "notebooks" / "src").mkdir(parents=True)
    (tmp_path / "notebooks" / "src" / "01_one.py").write_text("# %%\nprint(1)\n")
    before = sorted(tmp_path.rglob("*"))
    done = coursekit(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    [line] = [line for line in done.stderr.splitlines() if "error: " in line]
    assert message in line
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.rglob("*")) == before
