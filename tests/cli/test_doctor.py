"""Each line of `coursekit doctor`, made to fail on purpose: what is wrong and what to do, exit code 1."""

import importlib.metadata
import json
import sys

import pytest

from coursekit import files
from coursekit.cli import doctor
from coursekit.data import datasets
from coursekit.errors import StorageError
from coursekit.execution import notebooks


@pytest.fixture
def versions(monkeypatch):
    """Installed versions as a test wants them; None is not installed."""
    changed = {}
    installed = importlib.metadata.version

    def version(name):
        found = changed.get(name, "as installed")
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed(name) if found == "as installed" else found

    monkeypatch.setattr(doctor.importlib.metadata, "version", version)
    return changed


def line_of(name, capsys) -> str:
    """The exit code must be that of its worst line."""
    code = doctor.main()
    lines = capsys.readouterr().out.splitlines()
    assert code == int(any(line.startswith("FAIL") for line in lines))
    [line] = [line for line in lines if line[5:].startswith(name)]
    return line


def test_all_is_well_here_and_every_data_set_has_a_line(capsys):
    assert doctor.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(doctor.QUESTIONS)
    assert not any(line.startswith("FAIL") for line in lines)
    assert set(datasets.IMAGE_SHAPES) <= set(doctor.QUESTIONS)


@pytest.mark.parametrize(
    ("version", "said"), [(None, "seaborn is missing"), ("0.11.2", "seaborn is 0.11.2, needed is >=0.13.2")]
)
def test_a_package_that_is_missing_or_too_old(versions, capsys, version, said):
    versions["seaborn"] = version
    line = line_of("packages", capsys)
    assert line.startswith("FAIL packages")
    assert line.endswith(f"{said}; pip install -c constraints.txt -r requirements.txt")


def test_a_torchvision_of_another_build(capsys, monkeypatch):
    for module in ("torchvision", "torchvision.ops"):
        monkeypatch.setitem(sys.modules, module, None)
    line = line_of("device", capsys)
    assert line.startswith("FAIL device    import of torchvision")
    assert line.endswith("; pip install --force-reinstall -c constraints.txt torch torchvision")


def test_a_torch_that_does_not_load_is_a_line_too(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    line = line_of("device", capsys)
    assert line.startswith("FAIL device")
    assert line.endswith("; pip install --force-reinstall -c constraints.txt torch torchvision")


@pytest.mark.parametrize("module", ["pypandoc", "typst"])
def test_what_the_report_needs(capsys, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    line = line_of("report", capsys)
    assert line.startswith(f"FAIL report    import of {module}")
    assert line.endswith(f"; {doctor.INSTALL}")


def test_a_pandoc_that_is_too_old(capsys, monkeypatch):
    monkeypatch.setattr("pypandoc.get_pandoc_version", lambda: "2.19.2")
    assert line_of("report", capsys) == "FAIL report    pandoc 2.19.2 is too old; pip install pypandoc_binary"


def test_a_kernel_of_another_python(capsys, monkeypatch, tmp_path):
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps({"argv": ["/opt/other/bin/python"], "display_name": "other"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    line = line_of("kernel", capsys)
    assert line.startswith(
        "FAIL kernel    notebooks would run in /opt/other/bin/python, not in this Python; python -m ipy"
    )


def test_little_memory_is_a_note(capsys, monkeypatch):
    monkeypatch.setattr(notebooks, "MEMORY_OF_ONE", 10**15)
    assert line_of("memory", capsys).startswith("note memory")


def test_a_damaged_cache_is_named_with_what_to_do(capsys):
    files.write_bytes(datasets.cache_folder() / "cifar10.npz", b"half a file")
    line = line_of("cifar10", capsys)
    assert line.startswith("FAIL cifar10")
    assert "delete it and load again" in line


def test_a_folder_that_cannot_be_written(capsys, monkeypatch):
    def refuse(folder):
        raise StorageError(f"cannot write to {folder}: Read-only file system")

    monkeypatch.setattr(files, "probe", refuse)
    line = line_of("write", capsys)
    assert line.startswith("FAIL write")
    assert line.endswith("Read-only file system; go to a folder of your own, or set COURSEKIT_RESULTS to one")


def test_a_full_disk(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "FREE_GB", 1e9)
    assert line_of("disk", capsys).startswith("FAIL disk")
