"""Whether the workbook can run on this machine, a line per question with what to do about it."""

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from coursekit import data, fonts, profiles
from coursekit.errors import CoursekitError

REQUIRED = ("torch", "torchvision", "numpy", "matplotlib", "seaborn", "pandas", "nbclient", "nbconvert", "jupytext")
FREE_GB = 2
Answer = tuple[str, str]  # "ok", "note" or "FAIL", and the text


def main() -> int:
    """Print the table; 0 when nothing in it says FAIL, 1 otherwise."""
    answers = [(name, *_ask(question)) for name, question in QUESTIONS.items()]
    for name, state, text in answers:
        print(f"{state:<5}{name:<14}{text}")
    return int(any(state == "FAIL" for _, state, _ in answers))


def _ask(question: Callable[[], Answer]) -> Answer:
    try:
        return question()
    except (CoursekitError, ImportError, OSError, RuntimeError) as error:
        return "FAIL", str(error).splitlines()[0]


def _python() -> Answer:
    version = ".".join(map(str, sys.version_info[:3]))
    return ("ok", version) if sys.version_info >= (3, 11) else ("FAIL", f"{version}; install Python 3.11 or newer")


def _packages() -> Answer:
    versions = {name: importlib.metadata.version(name) for name in REQUIRED}
    return "ok", ", ".join(f"{name} {version}" for name, version in versions.items())


def _torchvision() -> Answer:
    try:
        import torchvision

        return "ok", f"torchvision {torchvision.__version__} loads with this torch"
    except (ImportError, RuntimeError) as error:
        advice = "install both at once: pip install -c constraints.txt torch torchvision"
        return "FAIL", f"{str(error).splitlines()[0]}; {advice}"


def _device() -> Answer:
    import torch

    if torch.cuda.is_available():
        return "ok", f"{torch.cuda.get_device_name()}; default profile {profiles.profile()}"
    return "note", f"no GPU; CPU with {torch.get_num_threads()} threads, default profile {profiles.profile()}"


def _pandoc() -> Answer:
    import pypandoc

    version = pypandoc.get_pandoc_version()
    enough = tuple(map(int, version.split(".")[:2])) >= (3, 1)
    return ("ok", f"pandoc {version}") if enough else ("FAIL", f"pandoc {version}; pip install pypandoc_binary")


def _typst() -> Answer:
    import typst

    typst.compile(b"doctor")
    return "ok", f"typst {importlib.metadata.version('typst')} makes a PDF"


def _fonts() -> Answer:
    _, lost = fonts.cover("Ağ 김 山")
    if not lost:
        return "ok", "Latin, Korean and Chinese characters print"
    return (
        "note",
        f"no font here draws {''.join(sorted(lost))}; install fonts-nanum or fonts-noto-cjk if a name needs it",
    )


def _data(name: str) -> Callable[[], Answer]:
    def question() -> Answer:
        if not (data.cache_folder() / f"{name}.npz").exists():
            return "note", f"not in {data.cache_folder()}; downloaded at first use, sample data without a network"
        return "ok", data.load(name, "real").source

    return question


def _disk() -> Answer:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return (
        ("ok", f"{free:.0f} GB free") if free > FREE_GB else ("FAIL", f"{free:.1f} GB free; make room for {FREE_GB} GB")
    )


def _write() -> Answer:
    here = Path.cwd()
    return ("ok", "this folder can be written") if os.access(here, os.W_OK) else ("FAIL", f"cannot write to {here}")


QUESTIONS: dict[str, Callable[[], Answer]] = {
    "Python": _python,
    "packages": _packages,
    "torchvision": _torchvision,
    "device": _device,
    "pandoc": _pandoc,
    "Typst": _typst,
    "fonts": _fonts,
    **{name: _data(name) for name in data.IMAGE_SHAPES},
    "disk": _disk,
    "write": _write,
}
