"""Whether the workbook can run on this machine, a line per question with what to do about it.

Everything is imported inside its question: a package that does not load is an answer, not the end.
"""

import functools
import importlib
import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

FREE_GB = 2
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
INSTALL = "pip install -c constraints.txt -e ."
BOTH = "pip install --force-reinstall -c constraints.txt torch torchvision"
Answer = tuple[str, str]  # "ok", "note" or "FAIL", and the text


def main() -> int:
    """Print the table; 0 when nothing in it says FAIL, 1 otherwise."""
    answers = [(name, *_ask(question, advice)) for name, (question, advice) in QUESTIONS.items()]
    for name, state, text in answers:
        print(f"{state:<5}{name:<14}{text}")
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


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _packages() -> Answer:
    from packaging.requirements import Requirement

    needed = [Requirement(line) for line in importlib.metadata.requires("coursekit") or ()]
    needed = [one for one in needed if not (one.marker and "extra" in str(one.marker))]
    wrong = []
    for one in needed:
        version = _version(one.name)
        if version is None:
            wrong.append(f"{one.name} is missing")
        elif not one.specifier.contains(version, prereleases=True):
            wrong.append(f"{one.name} is {version}, needed is {one.specifier}")
    return ("FAIL", f"{', '.join(wrong)}; {INSTALL}") if wrong else ("ok", f"{len(needed)} there, none too old")


def _constraints() -> Answer:
    from packaging.specifiers import SpecifierSet

    if not CONSTRAINTS.is_file():
        return "note", "no constraints.txt beside the package, so nothing to compare with: install from the workbook"
    pins = re.findall(r"^([\w.-]+)==(\S+)", CONSTRAINTS.read_text(encoding="utf-8"), re.MULTILINE)
    here = {name: version for name, _ in pins if (version := _version(name))}  # those of extras may be missing
    tested = {name: pin for name, pin in pins if name in here}
    other = [name for name in here if not SpecifierSet(f"=={tested[name]}").contains(here[name], prereleases=True)]
    if not other:
        return "ok", f"{len(here)} packages have the versions that the tests passed with"
    listed = ", ".join(f"{name} {here[name]} ({tested[name]})" for name in other[:6])
    more = f" and {len(other) - 6} more" if len(other) > 6 else ""
    return "note", f"other than tested: {listed}{more}; {INSTALL} installs those tested"


def _torchvision() -> Answer:
    torch, torchvision = _version("torch"), _version("torchvision")
    try:
        importlib.import_module("torchvision.ops")  # compiled for one torch
    except Exception as error:
        reason = str(error).splitlines()[0]
        return "FAIL", f"torchvision {torchvision} does not match torch {torch} ({reason}); {BOTH}"
    return "ok", f"torchvision {torchvision} loads with torch {torch}"


def _device() -> Answer:
    import torch

    from coursekit import settings

    if torch.cuda.is_available():
        return "ok", f"{torch.cuda.get_device_name()}; default profile {settings.profile()}"
    return "note", f"no GPU; CPU with {torch.get_num_threads()} threads, default profile {settings.profile()}"


def _pandoc() -> Answer:
    import pypandoc

    version = pypandoc.get_pandoc_version()
    enough = tuple(map(int, version.split(".")[:2])) >= (3, 1)
    return ("ok", f"pandoc {version}") if enough else ("FAIL", f"pandoc {version}; pip install pypandoc_binary")


def _typst() -> Answer:
    import typst

    typst.compile(b"doctor")
    return "ok", f"typst {_version('typst')} makes a PDF"


def _fonts() -> Answer:
    from coursekit.report import fonts

    _, lost = fonts.cover("Ağ 김 山")
    if not lost:
        return "ok", "Latin, Korean and Chinese characters print"
    return (
        "note",
        f"no font here draws {''.join(sorted(lost))}; install fonts-nanum or fonts-noto-cjk if a name needs it",
    )


def _data(name: str) -> Answer:
    from coursekit.data import datasets

    _nearest_folder(datasets.cache_folder(), "; set COURSEKIT_DATA to one")
    if not (datasets.cache_folder() / f"{name}.npz").exists():
        return "note", f"not in {datasets.cache_folder()}; downloaded at first use, sample data without a network"
    return "ok", f"{datasets.load(name, 'real').source}, verified"


def _disk() -> Answer:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return (
        ("ok", f"{free:.0f} GB free") if free > FREE_GB else ("FAIL", f"{free:.1f} GB free; make room for {FREE_GB} GB")
    )


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
    "versions": (_constraints, INSTALL),
    "torchvision": (_torchvision, BOTH),
    "device": (_device, BOTH),
    "pandoc": (_pandoc, "pip install pypandoc_binary"),
    "Typst": (_typst, f"{INSTALL} brings it"),
    "fonts": (_fonts, "pip install --force-reinstall matplotlib"),
    **{name: (functools.partial(_data, name), "") for name in ("mnist", "cifar10", "letters")},
    "disk": (_disk, ""),
    "write": (_write, "go to a folder of your own, or set COURSEKIT_RESULTS to one"),
}
