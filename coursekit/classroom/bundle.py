"""What is handed in, as one zip: code, executed notebooks, the PDF report, requirements and predictions."""

import io
import re
import sys
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from nbformat import NotebookNode

from coursekit.classroom import allowed, predictions
from coursekit.errors import DataError, NotebookError, StorageError, UsageError
from coursekit.execution import redact
from coursekit.execution.notebooks import check
from coursekit.notebook import document, outputs
from coursekit.report import export

STUDENT_ID = re.compile(r"[0-9]{4}-[0-9]{5}")
NAME_BYTES = 96
CODE = ("coursekit", "notebooks/src", "LICENSE", "README.md", "constraints.txt", "pyproject.toml", "requirements.txt")
PREDICTIONS = "build/predictions.csv"  # where notebook 08 writes it
LIMIT = 20_000_000  # bytes of the zip
NO_CLOCK = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip knows
METADATA = ("kernelspec", "language_info", "coursekit")  # an editor's own may name its user


def stem(student_id: str, first: str, last: str) -> str:
    """The name of a zip and of the folder in it: 2025-12345_Ada_Lovelace. Raises UsageError for no id and no name."""
    if not STUDENT_ID.fullmatch(student_id):
        raise UsageError(f"--id {student_id[:40]!r} is no student id; write it as 2025-12345")
    return "_".join((student_id, _name(first, "first"), _name(last, "last")))


def _name(text: str, option: str) -> str:
    """A name of any script as a part of a file name: no separator, no dot, no control character can be in it."""
    name = unicodedata.normalize("NFC", " ".join(text.split()))
    is_name = name[:1].isalpha() and all(unicodedata.category(c)[0] in "LM" or c in " .'’-" for c in name)
    if not is_name or len(name.encode()) > NAME_BYTES:
        raise UsageError(f"--{option} {text[:40]!r} is not a name; write letters, spaces, hyphens and apostrophes")
    return name.replace(".", "").rstrip().replace(" ", "-")


def collect(
    root: Path,
    notebooks: Iterable[Path],
    author: str,
    include: Iterable[str] = (),
    predicted: Path | None = None,
    pdf: Path | None = None,
    collaborators: str | None = None,
) -> dict[str, bytes]:
    """Every file of a bundle by its name, without secrets and without paths of this machine.

    `root` is the workbook's folder, `include` names more code there. Without `pdf` the report is made from these very
    notebooks, with `author` and `collaborators`. Predictions are `predicted`, else `PREDICTIONS` when a notebook writes
    predictions.csv. Raises NotebookError for a notebook that is not executed to its end, DataError for predictions that
    are not as they must be, StorageError for a link that leaves `root`, UsageError for what is not there.
    """
    executed = {path: _executed(path, root) for path in notebooks}
    contents = {f"notebooks/{path.name}": outputs.to_bytes(notebook) for path, notebook in executed.items()}
    if len(contents) < len(executed):
        raise UsageError("two notebooks have the same name; rename one")
    if predicted or any(_predicts(notebook) for notebook in executed.values()):
        contents["predictions.csv"] = _predictions(predicted or root / PREDICTIONS)
    for path in code(root, include):
        name = path.relative_to(root).as_posix()
        contents.setdefault(name, _clean(name, allowed.read(path, root)))
    named = [(path.stem, notebook) for path, notebook in executed.items()]
    contents["report.pdf"] = _pdf(pdf) if pdf else export.to_pdf(named, author=author, collaborators=collaborators)
    return contents


def code(root: Path, include: Iterable[str] = ()) -> Iterator[Path]:
    """The files of the workbook in `root` that are handed in with its notebooks, and what else is named."""
    return (path for top in (*CODE, *include) for path in allowed.files(root, top))


def pack(contents: dict[str, bytes], folder: str) -> bytes:
    """The zip: names in order, no date, no owner, so that equal contents give equal bytes.

    Raises StorageError, naming the largest file, when it would be larger than `LIMIT`.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(f"{folder}/{name}", NO_CLOCK)
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # as on Unix, wherever it is made
            archive.writestr(entry, contents[name], zipfile.ZIP_DEFLATED, 9)
        largest = max(archive.infolist(), key=lambda entry: entry.compress_size)
    size = len(buffer.getvalue())
    if size > LIMIT:
        most = f"{largest.filename.partition('/')[2]}, {largest.compress_size / 1e6:.1f} MB"
        raise StorageError(f"the bundle has {size / 1e6:.1f} MB; {LIMIT / 1e6:.0f} MB are allowed (largest: {most})")
    return buffer.getvalue()


def _executed(path: Path, root: Path) -> NotebookNode:
    """A notebook that was executed to its end, cleaned."""
    folder = root if path.is_relative_to(root) else path.parent  # whoever names a file elsewhere means it
    content = allowed.read(path, folder)
    try:
        notebook = document.parse(content)
    except ValueError as error:
        raise NotebookError(f"{path.name}: not a readable notebook: {error}") from error
    check(notebook, path.name)
    if outputs.gather_run(notebook).get("profile") == "sample":
        print(f"warning: {path.name} was run on sample data", file=sys.stderr)
    notebook.metadata = NotebookNode({key: notebook.metadata[key] for key in METADATA if key in notebook.metadata})
    for number, cell in enumerate(notebook.cells, 1):
        kinds = redact.outputs(cell) if cell.cell_type == "code" else []
        cell.source, found = redact.text(cell.source)
        redact.warn(f"{path.stem} cell {number}", [*kinds, *found])
    return notebook


def _predicts(notebook: NotebookNode) -> bool:
    return any(cell.cell_type == "code" and "predictions.csv" in cell.source for cell in notebook.cells)


def _predictions(path: Path) -> bytes:
    """The bytes of a predictions.csv that is as it must be."""
    if not path.exists():
        raise DataError(f"no {path.name} in {path.parent.name}; run notebook 08, or name the file with --predictions")
    predictions.validate(path)
    return predictions.read(path)


def _pdf(path: Path) -> bytes:
    content = allowed.read(path, path.parent)
    if not content.startswith(b"%PDF-"):
        raise UsageError(f"{path.name} is no PDF")
    return content


def _clean(name: str, content: bytes) -> bytes:
    """A text without secrets and paths of this machine; says on stderr what was a secret."""
    try:
        text, found = redact.text(content.decode())
    except UnicodeDecodeError as error:
        raise StorageError(f"{name} is no text; save it as UTF-8 or take it away") from error
    redact.warn(name, found)
    return text.encode()
