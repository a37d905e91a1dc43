"""In a session on Colab: the open notebook as a PDF to download, results and checkpoints on Drive."""

import os
from pathlib import Path

import nbformat

from coursekit import files
from coursekit.errors import UsageError

DRIVE = Path("/content/drive")


def download_report(**options) -> Path:
    """Make a PDF of the notebook that is open on Colab, with its present outputs, and have the browser download it.

    The options are those of `export.to_pdf`: author="Your Name". Raises UsageError where this is not Colab.
    """
    try:
        from google.colab import _message
        from google.colab import files as browser
    except ImportError:
        menu = "File > Save and Export Notebook As > Coursekit_pdf"
        raise UsageError(f"this is not Colab: JupyterLab has {menu}, a terminal `coursekit report`") from None
    from coursekit.report import export

    found = _message.blocking_request("get_ipynb", request="", timeout_sec=60)["ipynb"]
    name = Path(found["metadata"].get("colab", {}).get("name", "notebook")).stem
    path = Path(f"{name}.pdf")
    files.write_bytes(path, export.to_pdf([(name, export.live(nbformat.from_dict(found)))], **options))
    browser.download(str(path))
    return path


def keep_on_drive(folder: str = "coursekit-results") -> Path:
    """Keep this session's results and checkpoints, and those to come, in a folder of your Google Drive.

    What the workbook brought along, or was computed before, is copied there once. Raises UsageError where this is not
    Colab.
    """
    try:
        from google.colab import drive
    except ImportError:
        raise UsageError("this is not Colab: set COURSEKIT_RESULTS to the folder of your choice") from None
    from coursekit.runs import store  # with torch, which a command line that only starts notebooks does not need

    drive.mount(str(DRIVE))
    here, there = store.folder(), DRIVE / "MyDrive" / folder
    for file in sorted(path for path in here.rglob("*") if path.is_file()):
        copy = there / file.relative_to(here)
        if not copy.exists():
            files.write_bytes(copy, file.read_bytes())
    os.environ["COURSEKIT_RESULTS"] = str(there)
    return there
