"""Whether the workbook can run on this machine, a line per question with what to do about it.

Everything is imported inside its question: a package that does not load is an answer, not the end.
"""

import functools
import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

FREE_GB = 2
INSTALL = "pip install -c constraints.txt -r requirements.txt"
REQUIREMENTS = Path(__file__).parents[2] / "requirements.txt"
TORCH = "pip install --force-reinstall -c constraints.txt torch torchvision"
KERNEL = "python -m ipykernel install --sys-prefix"
Answer = tuple[str, str]  # "ok", "note" or "FAIL", and the text


def main() -> int:
    """Print the table; 0 when nothing in it says FAIL, 1 otherwise."""
    answers = [(name, *_ask(question, advice)) for name, (question, advice) in QUESTIONS.items()]
    for name, state, text in answers:
        print(f"{state:<5}{name:<10}{text}")
    return int(any(state == "FAIL" for _, state, _ in answers))


def _ask(question: Callable[[], Answer], advice: str) -> Answer:
    try:
        return question()
    except Exception as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        return "FAIL", f"{line}; {advice}" if advice else line


def _python() -> Answer:
    version = ".".join(map(str, sys.version_info[:3]))
    return ("ok", version) if sys.version_info >= (3, 11) else ("FAIL", f"{version}; install Python 3.11 or newer")


def _packages() -> Answer:
    from packaging.requirements import Requirement

    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines() if REQUIREMENTS.exists() else []
    needed = [Requirement(line) for line in lines if line[:1].isalpha()]
    if importlib.util.find_spec("google"):  # Colab is a JupyterLab of its own
        needed = [requirement for requirement in needed if requirement.name != "jupyterlab"]
    faults = [_fault(requirement) for requirement in needed]
    wrong = ", ".join(filter(None, faults))
    return ("FAIL", f"{wrong}; {INSTALL}") if wrong else ("ok", f"{len(faults)} there, none too old")


def _fault(needed) -> str:
    try:
        version = importlib.metadata.version(needed.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{needed.name} is missing"
    fits = needed.specifier.contains(version, prereleases=True)
    return "" if fits else f"{needed.name} is {version}, needed is {needed.specifier}"


def _device() -> Answer:
    import torch
    import torchvision.ops  # noqa: F401  compiled for one torch: another one's does not load

    from coursekit import settings

    if torch.cuda.is_available():
        return "ok", f"{torch.cuda.get_device_name()}; default profile {settings.profile()}"
    return "note", f"no GPU; CPU with {torch.get_num_threads()} threads, default profile {settings.profile()}"


def _kernel() -> Answer:
    from jupyter_client.kernelspec import KernelSpecManager

    program = KernelSpecManager().get_kernel_spec("python3").argv[0]
    folder = os.path.dirname(program)  # a bare name is replaced by this Python when the kernel starts
    if folder and os.path.realpath(folder) != os.path.realpath(os.path.dirname(sys.executable)):
        return "FAIL", f"notebooks would run in {program}, not in this Python; {KERNEL}"
    return "ok", "notebooks run in this Python"


def _report() -> Answer:
    import pypandoc
    import typst

    version = pypandoc.get_pandoc_version()
    if tuple(map(int, version.split(".")[:2])) < (3, 1):
        return "FAIL", f"pandoc {version} is too old; pip install pypandoc_binary"
    typst.compile(b"doctor")
    return "ok", "pandoc and Typst make a PDF"


def _fonts() -> Answer:
    from coursekit.report import fonts

    _, lost = fonts.cover("Ağ 김 山")
    if not lost:
        return "ok", "Latin, Korean and Chinese characters print"
    missing = "".join(sorted(lost))
    return "note", f"no font here draws {missing}; install fonts-nanum or fonts-noto-cjk if a name needs it"


def _data(name: str) -> Answer:
    from coursekit.data import datasets

    _nearest_folder(datasets.cache_folder(), "; set COURSEKIT_DATA to one")
    if not (datasets.cache_folder() / f"{name}.npz").exists():
        return "note", f"not in {datasets.cache_folder()}; downloaded at first use, sample data without a network"
    return "ok", f"{datasets.load(name, 'real').source}, verified"


def _memory() -> Answer:
    import psutil

    from coursekit.execution import notebooks

    free, needed = (size / 1e9 for size in (psutil.virtual_memory().available, notebooks.MEMORY_OF_ONE))
    if free < needed:
        return "note", f"{free:.1f} GB free, a notebook may want {needed:.1f}; close other programs"
    return "ok", f"{free:.0f} GB free"


def _disk() -> Answer:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return ("ok", f"{free:.0f} GB free") if free > FREE_GB else ("FAIL", f"{free:.1f} GB free; make room for {FREE_GB}")


def _write() -> Answer:
    from coursekit import files
    from coursekit.runs import store

    kept = store.folder()
    for folder in (Path.cwd(), _nearest_folder(kept)):
        files.probe(folder)
    return "ok", f"this folder can be written, and results in {kept}"


def _nearest_folder(path: Path, advice: str = "") -> Path:
    """The folder itself or, where it is not made yet, the nearest above it; raises StorageError for anything else."""
    from coursekit.errors import StorageError

    nearest = next(place for place in (path.absolute(), *path.absolute().parents) if os.path.lexists(place))
    if not nearest.is_dir():
        raise StorageError(f"{nearest} is not a folder{advice}")
    return nearest


QUESTIONS: dict[str, tuple[Callable[[], Answer], str]] = {
    "Python": (_python, ""),
    "packages": (_packages, INSTALL),
    "device": (_device, TORCH),
    "kernel": (_kernel, KERNEL),
    "report": (_report, INSTALL),
    "fonts": (_fonts, "pip install --force-reinstall matplotlib"),
    **{name: (functools.partial(_data, name), "") for name in ("mnist", "cifar10", "letters")},
    "memory": (_memory, ""),
    "disk": (_disk, ""),
    "write": (_write, "go to a folder of your own, or set COURSEKIT_RESULTS to one"),
}
