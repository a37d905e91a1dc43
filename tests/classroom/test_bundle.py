import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from coursekit import files
from coursekit.classroom import allowed, bundle, predictions
from coursekit.cli import main
from coursekit.errors import DataError, NotebookError, StorageError, UsageError

ROOT = Path(__file__).parents[2]
ME = ["--id", "2025-12345", "--first", "Ada", "--last", "Lovelace"]
TOKEN = "hf_" + "Canary" * 6


def notebook(*codes: str, text: str = "# One") -> str:
    """An executed notebook whose cells have printed something."""
    output = new_output("stream", text="said\n")
    cells = [new_code_cell(code, outputs=[output], execution_count=1) for code in codes]
    return nbformat.writes(new_notebook(cells=[new_markdown_cell(text), *cells], metadata={"vscode": {"user": "kim"}}))


@pytest.fixture
def workbook(tmp_path, monkeypatch):
    """A small workbook with everything that is handed in, and much that is not."""
    root = tmp_path / "home" / "kim" / "book"
    texts = {
        "coursekit/__init__.py": "",
        "coursekit/models.py": "WIDTH = 8\n",
        "coursekit/templates/report.typ": "// a template\n",
        "notebooks/src/01_one.py": "# %%\nprint(1)\n",
        "notebooks/01_one.ipynb": notebook("print(1)"),
        "notebooks/08_resnet20.ipynb": notebook("path = 'build/predictions.csv'"),
        "mine/extra.py": "x = 1\n",
        **{name: f"{name}\n" for name in bundle.CODE if "/" not in name and name != "coursekit"},
    }
    left_out = {
        "coursekit/__pycache__/models.py": "no",
        "coursekit/.hidden.py": "no",
        "coursekit/weights.pt": "no",
        "coursekit/mnist.npz": "no",
        ".git/config.txt": "no",
        ".venv/lib/x.py": "no",
        "results/a.json": "no",
        "build/workbook.pdf": "no",
        "mine/data.csv": "no",
    }
    for name, text in (texts | left_out).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    predictions.write(root / "build" / "predictions.csv", [k % 10 for k in range(10_000)])
    (tmp_path / "id_rsa.py").write_text("secret")
    monkeypatch.chdir(root)
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "kim"))
    return root


@pytest.fixture
def no_pdf(monkeypatch):
    """The report in no time."""
    monkeypatch.setattr("coursekit.report.export.to_pdf", lambda notebooks, **words: f"%PDF- {words}".encode())


def names(path: Path) -> list[str]:
    return [name.partition("/")[2] for name in zipfile.ZipFile(path).namelist()]


def packed(**options) -> dict[str, bytes]:
    root = Path.cwd()
    return bundle.collect(root, sorted(root.glob("notebooks/*.ipynb")), "A", **options)


def test_the_zip_has_what_is_handed_in_and_nothing_else(workbook, capsys):
    assert main.main(["bundle", *ME]) == 0
    path = workbook / "build" / "2025-12345_Ada_Lovelace.zip"
    assert names(path) == sorted(
        [
            "LICENSE",
            "README.md",
            "constraints.txt",
            "coursekit/__init__.py",
            "coursekit/models.py",
            "coursekit/templates/report.typ",
            "notebooks/01_one.ipynb",
            "notebooks/08_resnet20.ipynb",
            "notebooks/src/01_one.py",
            "predictions.csv",
            "pyproject.toml",
            "report.pdf",
            "requirements.txt",
        ]
    )
    with zipfile.ZipFile(path) as archive:
        assert {name.partition("/")[0] for name in archive.namelist()} == {"2025-12345_Ada_Lovelace"}
        pdf = archive.read("2025-12345_Ada_Lovelace/report.pdf")
        assert pdf.startswith(b"%PDF-")
        assert b"CreationDate" not in pdf, "another second, another file"
        assert archive.testzip() is None
        assert {entry.date_time for entry in archive.infolist()} == {bundle.NO_CLOCK}
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o644}
    said = capsys.readouterr().out
    assert said.startswith("build/2025-12345_Ada_Lovelace.zip  13 files  ")
    assert files.sha256(path.read_bytes()) in said


def test_the_same_input_gives_the_same_bytes_whatever_the_clock_and_the_owner_say(workbook):
    assert main.main(["bundle", *ME, "-o", "a.zip"]) == 0
    for number, path in enumerate(sorted(workbook.rglob("*"), reverse=True)):
        if path.is_file() and path.suffix != ".zip":
            content = path.read_bytes()
            path.unlink()
            path.write_bytes(content)
            path.chmod(0o700)
            os.utime(path, (number, 10 * number))
    assert main.main(["bundle", *ME, "-o", "b.zip"]) == 0
    assert Path("a.zip").read_bytes() == Path("b.zip").read_bytes()
    Path("coursekit/models.py").write_text("WIDTH = 16\n")
    assert main.main(["bundle", *ME, "-o", "c.zip"]) == 0
    assert Path("a.zip").read_bytes() != Path("c.zip").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--id", "2025-1234"], 2, "--id '2025-1234' is no student id; write it as 2025-12345"),
        (["--id", "2025-12345\n"], 2, "is no student id"),
        (["--id", "２０２５-12345"], 2, "is no student id"),
        (["--id", "../../2025-12345"], 2, "is no student id"),
        (["--first", "../Ada"], 2, "--first '../Ada' is not a name"),
        (["--last", ""], 2, "--last '' is not a name"),
        (["--last", "x" * 97], 2, "is not a name"),
        (["7"], 2, "no such notebook '7'"),
        (["--include", "../id_rsa.py"], 2, "is not handed in"),
        (["--include", "nothing.py"], 2, "no nothing.py in book"),
        (["--include", ".git"], 2, ".git is not handed in"),
        (["--include", "mine/data.csv"], 2, "mine/data.csv is not handed in; what is, ends in"),
        (["--report", "requirements.txt"], 2, "requirements.txt is no PDF"),
        (["--report", "nothing.pdf"], 5, "nothing.pdf leads nowhere"),
        (["--predictions", "requirements.txt"], 3, "requirements.txt, row 1: the header is"),
        (["--predictions", "nothing.csv"], 3, "no nothing.csv"),
        (["-o", "/dev/null/x.zip"], 5, "cannot write x.zip"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_exit_code_and_no_zip(arguments, code, message, workbook, no_pdf, capsys):
    assert main.main(["bundle", *ME, *arguments]) == code
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not list(workbook.rglob("*.zip"))


LETTERS = st.characters(categories=["L", "M"])
NAMES = st.text(st.one_of(LETTERS, st.sampled_from(" -.'’")), max_size=20) | st.text(max_size=20)


@given(NAMES, NAMES)
def test_a_name_is_refused_or_is_one_safe_part_of_a_file_name(first, last):
    try:
        stem = bundle.stem("2025-12345", first, last)
    except UsageError:
        return
    assert stem.startswith("2025-12345_")
    assert stem.count("_") == 2
    assert not set(stem) & set('/\\:*?"<>|\0. \t\n')
    assert len(f"{stem}.zip".encode()) <= 255
    assert stem.encode().decode() == stem


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("Ada", "Lovelace", "2025-12345_Ada_Lovelace"),
        ("길동", "홍", "2025-12345_길동_홍"),
        ("Anna  Maria", "O'Neil-Ö.", "2025-12345_Anna-Maria_O'Neil-Ö"),
        ("e\u0301ve", "van der Berg Jr.", "2025-12345_\u00e9ve_van-der-Berg-Jr"),
    ],
)
def test_names_that_people_have(first, last, expected):
    assert bundle.stem("2025-12345", first, last) == expected


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("coursekit/theirs.py", "../../id_rsa.py"),
        ("coursekit/more", ".."),
        ("coursekit/more", "../../.."),
        ("coursekit/config.txt", "../.git/config.txt"),
        ("coursekit/numbers.txt", "weights.pt"),
        ("coursekit/circle.py", "circle.py"),
        ("coursekit/nowhere.py", "gone.py"),
        ("notebooks/09_link.ipynb", "/etc/passwd"),
        ("README.md", "../diary.md"),
    ],
)
def test_a_link_that_leads_elsewhere_is_refused(link, target, workbook, no_pdf):
    (workbook / link).unlink(missing_ok=True)
    (workbook / link).symlink_to(target)
    (workbook.parent / "diary.md").write_text("dear diary")
    with pytest.raises(StorageError, match=Path(link).name) as caught:
        packed()
    assert "\n" not in str(caught.value)


def test_a_link_to_a_file_of_the_same_tree_is_that_file(workbook, no_pdf):
    (workbook / "coursekit" / "same.py").symlink_to("models.py")
    assert packed()["coursekit/same.py"] == b"WIDTH = 8\n"


def test_a_whole_folder_that_is_a_link_is_refused(workbook, no_pdf):
    shutil.move("coursekit", "../elsewhere")
    Path("coursekit").symlink_to("../elsewhere")
    with pytest.raises(StorageError, match="coursekit is a link that leaves book"):
        packed()


def test_more_code_can_be_named(workbook, no_pdf):
    contents = packed(include=["mine", "mine/extra.py", "coursekit/../mine"])
    assert contents["mine/extra.py"] == b"x = 1\n"
    assert "mine/data.csv" not in contents


def test_secrets_and_home_paths_are_taken_out(workbook, no_pdf, capsys):
    (workbook / "coursekit" / "models.py").write_text(f"KEY = '{TOKEN}'\nDATA = '{Path.home()}/data'\n")
    output = new_output("stream", text=f"{TOKEN} in {Path.home()}\n")
    cell = new_code_cell(f"open('{Path.home()}/x')", outputs=[output], execution_count=1)
    (workbook / "notebooks" / "01_one.ipynb").write_text(nbformat.writes(new_notebook(cells=[cell])))
    contents = packed()
    for content in contents.values():
        assert TOKEN.encode() not in content
        assert b"/kim" not in content
        assert b"vscode" not in content
    assert b"DATA = '~/data'" in contents["coursekit/models.py"]
    said = capsys.readouterr().err
    assert "warning: coursekit/models.py: a token removed" in said
    assert "warning: 01_one cell 1: a token removed" in said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (nbformat.writes(new_notebook(cells=[new_code_cell("print(1)")])), "01_one.ipynb cell 1: was not executed"),
        ("{}", "01_one.ipynb: not a readable notebook"),
        ("no json", "01_one.ipynb: not a readable notebook"),
        (
            nbformat.writes(
                new_notebook(
                    cells=[
                        new_code_cell(
                            "1 / 0",
                            outputs=[new_output("error", ename="ZeroDivisionError", evalue="", traceback=[])],
                            execution_count=1,
                        )
                    ]
                )
            ),
            "01_one.ipynb cell 1: ZeroDivisionError",
        ),
    ],
)
def test_only_notebooks_that_ran_to_their_end_are_handed_in(content, message, workbook, no_pdf):
    (workbook / "notebooks" / "01_one.ipynb").write_text(content)
    with pytest.raises(NotebookError, match=message):
        packed()


def test_sample_data_are_pointed_out(workbook, no_pdf, capsys):
    output = new_output("display_data", {"text/plain": ""}, metadata={"coursekit": {"run": {"profile": "sample"}}})
    cell = new_code_cell("setup()", outputs=[output], execution_count=1)
    (workbook / "notebooks" / "01_one.ipynb").write_text(nbformat.writes(new_notebook(cells=[cell])))
    packed()
    assert capsys.readouterr().err == "warning: 01_one.ipynb was run on sample data\n"


def test_predictions_are_asked_for_when_a_notebook_writes_them(workbook, no_pdf):
    Path("build/predictions.csv").unlink()
    with pytest.raises(DataError, match=r"no predictions.csv in build; run notebook 08, or name the file"):
        packed()
    Path("notebooks/08_resnet20.ipynb").unlink()
    assert "predictions.csv" not in packed()


def test_predictions_that_are_wrong_are_not_handed_in(workbook, no_pdf):
    predictions.write(Path("build/predictions.csv"), [0] * 9_999)
    with pytest.raises(DataError, match=r"predictions.csv, row 10001: missing"):
        packed()


def test_a_report_of_ones_own_is_taken_as_it_is(workbook):
    Path("mine/report.pdf").write_bytes(b"%PDF-1.7 mine")
    assert packed(pdf=Path("mine/report.pdf"))["report.pdf"] == b"%PDF-1.7 mine"


def test_the_report_names_who_wrote_it_and_with_whom(workbook, no_pdf):
    assert main.main(["bundle", *ME, "--collaborators", "Charles", "-o", "mine.zip"]) == 0
    with zipfile.ZipFile("mine.zip") as archive:
        said = archive.read("2025-12345_Ada_Lovelace/report.pdf").decode()
    assert said == "%PDF- {'author': 'Ada Lovelace', 'collaborators': 'Charles'}"


def test_two_notebooks_of_one_name_are_refused(workbook, no_pdf):
    other = Path("mine/01_one.ipynb")
    shutil.copy("notebooks/01_one.ipynb", other)
    with pytest.raises(UsageError, match="two notebooks have the same name"):
        bundle.collect(workbook, [workbook / "notebooks" / "01_one.ipynb", workbook / other], "A")


def test_too_much_is_one_line_that_names_the_largest(workbook, no_pdf, monkeypatch):
    monkeypatch.setattr(bundle, "LIMIT", 100_000)
    Path("coursekit/big.txt").write_bytes(os.urandom(150_000).hex().encode())
    with pytest.raises(
        StorageError, match=r"has 0.[12] MB; 0 MB are allowed \(largest: coursekit/big.txt, 0.[12] MB\)$"
    ):
        bundle.pack(packed(), "x")
    monkeypatch.setattr(allowed, "LARGEST", 200_000)
    with pytest.raises(StorageError, match=r"big.txt has 0 MB, too much"):
        packed()


def test_what_is_no_file_or_no_text_is_refused(workbook, no_pdf):
    Path("coursekit/latin.py").write_bytes("é".encode("latin-1"))
    with pytest.raises(StorageError, match=r"coursekit/latin.py is no text"):
        packed()
    Path("coursekit/latin.py").unlink()
    if hasattr(os, "mkfifo"):
        os.mkfifo("coursekit/pipe.py")
        with pytest.raises(StorageError, match=r"pipe.py is no file"):
            packed()


def test_our_own_code_is_handed_in_byte_for_byte(no_pdf):
    paths = [path for top in bundle.CODE for path in allowed.files(ROOT, top)]
    assert len(paths) > 50
    for path in paths:
        assert bundle._clean(path.name, allowed.read(path, ROOT)) == path.read_bytes(), path


def test_the_help_needs_no_torch():
    code = "import sys\nfrom coursekit.cli.main import main\ntry: main(['bundle', '--help'])\nexcept SystemExit: pass\n"
    done = subprocess.run([sys.executable, "-c", f"{code}assert 'torch' not in sys.modules"], capture_output=True)
    assert done.returncode == 0, done.stderr
