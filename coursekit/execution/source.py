"""A notebook from its source: numbered cells, the badge and the first cell that Colab needs, the workbook's address."""

import os
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from coursekit import files
from coursekit.errors import NotebookError, StorageError, UsageError
from coursekit.notebook import document, outputs

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
WORKBOOK = Path(__file__).parents[2]
LARGEST = 1_000_000  # bytes of a pyproject.toml
ADDRESS = re.compile(r"(https://[\w.-]+(?:/[\w.-]+?)+?)(?:\.git|/tree/([\w.-]+))?/?")
SETTING = re.compile(r"^#? ?Repository = [^\r\n]*", re.MULTILINE)
UNSET = '# Repository = "https://github.com/OWNER/NAME"'
GITHUB, COLAB = "https://github.com/", "https://colab.research.google.com"
BADGE, FIRST = "colab-badge", "colab-first"  # ids of the cells that are written here
COLLAPSED = {  # tag of a cell that is there for its output, and what Colab calls it
    "setup": "Setup",
    "figure": "Figure or table",
    "claim": "Checks",
    "finding": "Finding",
    "scorecard": "Scorecard",
    "plumbing": "Preparation",
}
MISSING = """\
try:
    import coursekit
except ImportError:
    raise ImportError("no coursekit: `pip install -e .` in the workbook's folder, and restart the kernel") from None"""
FETCHING = """\
try:
    import coursekit
except ImportError:  # on Colab: fetch the workbook and the few packages that are missing, and go into its folder
    !git clone -q --depth 1 {clone} workbook
    %pip install -q -e workbook
    %cd -q workbook
# To keep results and checkpoints on your Drive:  from coursekit import colab; colab.keep_on_drive()"""


def address(workbook: Path = WORKBOOK) -> str | None:
    """The workbook's public address: `Repository` under [project.urls] in pyproject.toml; None where it is not set.

    Raises StorageError for a pyproject.toml that cannot be read.
    """
    path = workbook / "pyproject.toml"
    return _address_in(files.read_bytes(path, LARGEST), path) if path.exists() else None


def _address_in(content: bytes, path: Path) -> str | None:
    try:
        url = tomllib.loads(content.decode())["project"].get("urls", {}).get("Repository")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise StorageError(f"{path} does not describe a project ({error}); restore it") from error
    if url is not None and not (isinstance(url, str) and ADDRESS.fullmatch(url)):
        raise StorageError(f"{path}: invalid Repository {url!r}; set it with `coursekit colab`")
    return url


def set_address(url: str | None, workbook: Path = WORKBOOK, notebooks: Iterable[Path] = ()) -> None:
    """Write the address into pyproject.toml, or remove it, and `dress` the files of these notebooks.

    Everything is checked before anything is written. Raises UsageError unless the address looks like
    https://github.com/OWNER/NAME, with /tree/BRANCH for a branch, and where pyproject.toml has no line for it;
    NotebookError for a file that is not a notebook.
    """
    if url is not None and not ADDRESS.fullmatch(url):
        raise UsageError(f"{url!r} is not an address such as https://github.com/OWNER/NAME or …/tree/BRANCH")
    project = workbook / "pyproject.toml"
    contents = {project: _with_address(project, url)}
    for path in notebooks:
        notebook = document.read(path)
        dress(notebook, path.stem, url)
        contents[path] = outputs.to_bytes(notebook)
    for path, content in contents.items():
        files.write_bytes(os.path.realpath(path), content)  # a link stays a link


def _with_address(path: Path, url: str | None) -> bytes:
    """The content of pyproject.toml with this address, and all else as it is."""
    if not path.is_file():
        raise UsageError(f"no {path} here; call this in the workbook's folder")
    setting = UNSET if url is None else f'Repository = "{url}"'
    text = files.read_bytes(path, LARGEST).decode(errors="surrogateescape")
    content = SETTING.sub(lambda _: setting, text, count=1).encode(errors="surrogateescape")
    if _address_in(content, path) != url:
        raise UsageError(f"{path} has no line `{UNSET}` below [project.urls]; add it")
    return content


def dress(notebook: NotebookNode, name: str, url: str | None) -> None:
    """Give a notebook the first cell, and the badge where `url` is on GitHub; those that it has are replaced.

    A notebook without a cell tagged `setup` is not one of ours, and stays as it is.
    """
    cells = [cell for cell in notebook.cells if cell.get("id") != BADGE]
    setup = next((i for i, cell in enumerate(cells) if "setup" in cell.metadata.get("tags", [])), None)
    if setup is None:
        return
    if cells[setup].get("id") != FIRST:
        cells.insert(setup, new_code_cell(id=FIRST, metadata={"tags": ["setup"]}))
    cells[setup].source = first_cell(url)
    if badge(name, url):
        tags = ["remove-cell", "solution"]  # not for students: it opens the edition with solutions
        cells.insert(0, new_markdown_cell(badge(name, url), id=BADGE, metadata={"tags": tags}))
    notebook.cells = cells


def first_cell(url: str | None) -> str:
    """The code that fetches the workbook where it is not installed; without an address, the code that says so."""
    if not url:
        return MISSING
    place, branch = ADDRESS.fullmatch(url).groups()
    return FETCHING.format(clone=f"--branch {branch} {place}" if branch else place)


def badge(name: str, url: str | None) -> str:
    """Markdown that opens notebooks/`name`.ipynb on Colab; empty where Colab cannot open it: it reads GitHub alone."""
    if not url or not url.startswith(GITHUB):
        return ""
    place, branch = ADDRESS.fullmatch(url).groups()
    there = f"{COLAB}/github/{place.removeprefix(GITHUB)}/blob/{branch or 'main'}/notebooks/{name}.ipynb"
    return f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({there})"


def read_source(path: Path) -> NotebookNode:
    """A notebook without outputs, from py:percent or .ipynb, with numbered cells and the SHA-256 of its source.

    It has the first cell and the badge that Colab needs. Raises NotebookError for a file that is neither.
    """
    readers = {".py": document.read_script, ".ipynb": document.read}
    if path.suffix not in readers:
        raise NotebookError(f"{path}: not a notebook; name a .py or an .ipynb file")
    notebook = readers[path.suffix](path)
    dress(notebook, path.stem, address())
    for number, cell in enumerate(notebook.cells, 1):
        if cell.get("id") not in (BADGE, FIRST):
            cell.id = f"cell-{number:03d}"
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            _collapse(cell)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = NotebookNode(kernelspec=KERNEL, coursekit={"src_sha256": source_sha256(path)})
    return notebook


def _collapse(cell: NotebookNode) -> None:
    """Hide the code of a cell that only shows, checks or prepares, in JupyterLab and, as a form, on Colab."""
    title = next((title for tag, title in COLLAPSED.items() if tag in cell.metadata.get("tags", [])), None)
    if title is None:
        return
    cell.metadata.setdefault("jupyter", NotebookNode()).source_hidden = True
    cell.metadata.cellView = "form"
    if not cell.source.startswith("#@title"):
        cell.source = f"#@title {title}\n{cell.source}"


def source_sha256(path: Path) -> str:
    """SHA-256 of a notebook's source text; line ends do not count."""
    return files.sha256(path.read_text(encoding="utf-8").encode())
