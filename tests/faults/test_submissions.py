"""FAULTS S2, S3: what is handed in holds no secret and no foreign file; what others hand in is run apart."""

import json
import os
import sys
import zipfile
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output, writes

from coursekit.classroom import bundle, confine, grade
from coursekit.classroom.confine import Limits
from coursekit.cli import main
from tests import exercises
from tests.faults.test_notebook import gone

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs the limits of Linux or macOS")
CANARY = "canary-7f3a-secret"
TOKEN = "hf_" + "Canary" * 6
ME = ["--id", "2025-12345", "--first", "Kim", "--last", "Lee"]


@pytest.fixture
def workbook(tmp_path, monkeypatch):
    """A workbook in a home folder full of secrets, which its notebook has printed."""
    root = tmp_path / "home" / "kim-canary" / "book"
    (root / "coursekit").mkdir(parents=True)
    (root / "notebooks" / "src").mkdir(parents=True)
    (root.parent / ".ssh").mkdir()
    (root.parent / ".ssh" / "id_rsa.txt").write_text(CANARY)
    monkeypatch.setenv("HOME", str(root.parent))
    monkeypatch.setenv("KAGGLE_KEY", CANARY)
    monkeypatch.chdir(root)
    for name in bundle.CODE[2:]:
        (root / name).write_text("text\n")
    (root / "coursekit" / "train.py").write_text(f"DATA = '{root.parent}/data'  # {TOKEN}\n")
    for name in (".env", "coursekit/.env.py", "coursekit/model.pt", "coursekit/mnist.npz", ".git/x.py", ".venv/x.py"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(CANARY)
    said = new_output("stream", text=f"{CANARY} {TOKEN} in {root}/data and {root.parent}\n")
    cell = new_code_cell(f"open('{root.parent}/diary')  # {CANARY}", outputs=[said], execution_count=1)
    (root / "notebooks" / "01_one.ipynb").write_text(writes(new_notebook(cells=[cell])))
    return root


def test_s2_secrets_paths_data_and_hidden_files_are_not_handed_in(workbook, record_property, capsys):
    assert main.main(["bundle", *ME, "-o", "mine.zip"]) == 0
    with zipfile.ZipFile("mine.zip") as archive:
        contents = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    assert set(contents) == {*bundle.CODE[2:], "coursekit/train.py", "notebooks/01_one.ipynb", "report.pdf"}
    for name, content in contents.items():
        for secret in (CANARY, TOKEN, "kim-canary"):
            assert secret.encode() not in content, name
    assert capsys.readouterr().err.count("removed; make a new one if it was shown before") >= 2
    record_property("injected", "2 secrets and a home folder in code and outputs, 6 files of data or hidden ones")
    record_property("lost", "none of them in the zip")


LINKS = {
    "coursekit/key.txt": "../../.ssh/id_rsa.txt",
    "coursekit/more": "../../.ssh",
    "coursekit/all.py": "../.env",
    "notebooks/02_two.ipynb": "/etc/passwd",
    "notebooks/src/x.py": "/proc/self/environ",
    "requirements.txt": "../../../../../../../../etc/passwd",
}


def test_s2_no_link_leads_out_of_the_tree(workbook, record_property, capsys):
    for name, target in LINKS.items():
        path = workbook / name
        before = path.read_bytes() if path.exists() else None
        path.unlink(missing_ok=True)
        path.symlink_to(target)
        assert main.main(["bundle", *ME, "-o", "mine.zip"]) == 5, name
        [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
        assert "link" in line
        path.unlink()
        if before is not None:
            path.write_bytes(before)
    assert not Path("mine.zip").exists()
    record_property("injected", f"{len(LINKS)} links to files outside, hidden or of another kind")
    record_property("lost", "none followed")


LOOKS_AROUND = """
import json, os, pathlib, resource, socket, subprocess

def network():
    try:
        socket.create_connection(("192.0.2.1", 9), 1).close()
        return "reached"
    except OSError as error:
        return type(error).__name__ + str(error.errno)

def greedy():
    try:
        return len(bytearray(4_000_000_000))
    except MemoryError:
        return "MemoryError"

def big_file():
    try:
        with open("big", "wb") as file:
            for _ in range(300):
                file.write(bytes(1_000_000))
    except OSError as error:
        return error.errno

child = subprocess.Popen(["setsid", "sleep", "300"])
os.environ["COURSEKIT_TEST"] = "changed"
seen = {
    "environment": dict(os.environ),
    "home": str(pathlib.Path.home()),
    "folder": os.getcwd(),
    "files": sorted(path.name for path in pathlib.Path.home().iterdir()),
    "session": os.getsid(0),
    "network": network(),
    "memory": greedy(),
    "file": big_file(),
    "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
    "child": child.pid,
}

def my_double(x):
    return json.dumps(seen)
"""


@exercises.NEEDS_OTTER
@posix
def test_s3_a_students_notebook_sees_no_secret_has_limits_and_leaves_nothing(tmp_path, monkeypatch, record_property):
    monkeypatch.setenv("HF_TOKEN", CANARY)
    monkeypatch.setenv("UNSHOWN", CANARY)
    source = tmp_path / "01_one.py"
    source.write_text(exercises.SOURCE)
    handed_in = tmp_path / "in"
    handed_in.mkdir()
    (handed_in / "01_one.ipynb").write_bytes(exercises.answers(LOOKS_AROUND))
    [rows] = grade.grade_all(grade.submissions(handed_in), [source], Limits(memory_bytes=3_000_000_000))
    assert rows[0].result == "wrong"
    seen = json.loads(rows[0].message.partition("it gives ")[2])
    assert CANARY not in json.dumps(seen["environment"])
    assert not {"USER", "LOGNAME", "SSH_AUTH_SOCK"} & set(seen["environment"])
    assert Path(seen["folder"]).is_relative_to(seen["home"])
    assert seen["home"] != str(Path.home())
    assert Path(seen["environment"]["COURSEKIT_RESULTS"]).is_relative_to(seen["home"]), "not into our own results"
    assert not Path(seen["home"]).exists(), "the folder goes when the notebook is done"
    assert not {path.name for path in Path.cwd().iterdir()} & set(seen["files"])
    assert seen["session"] != os.getsid(0)
    assert (seen["memory"], seen["file"], seen["core"]) == ("MemoryError", 27, 0)  # 27: file too large
    assert gone(seen["child"])
    assert "COURSEKIT_TEST" not in os.environ
    if confine.without_network():
        assert seen["network"] == "OSError101"  # unreachable
    record_property("injected", "a student's notebook that reads the environment, takes memory, and leaves a process")
    record_property("lost", "nothing; 0 processes left")


@exercises.NEEDS_OTTER
@posix
def test_s3_what_this_does_not_protect_against_is_said_each_time(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks" / "src").mkdir(parents=True)
    (tmp_path / "notebooks" / "src" / "01_one.py").write_text(exercises.SOURCE)
    (tmp_path / "in").mkdir()
    monkeypatch.setattr(confine, "without_network", lambda: False)
    assert main.main(["grade", "in"]) == 0
    said = capsys.readouterr()
    assert "can read your files and reach the network; grade in a container" in said.err
    assert said.out == "file,exercise,result,seconds,message\n"
