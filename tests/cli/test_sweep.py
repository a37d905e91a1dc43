"""A sweep in a file is the one that a notebook writes, and a mistake in it is one line before anything is trained."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from coursekit import models
from coursekit.cli import main, sweep_file
from coursekit.errors import UsageError
from coursekit.runs import executors, experiment
from coursekit.runs.experiment import Experiment
from coursekit.runs.store import Result

START = """
from functools import partial

import torch

from coursekit import Experiment, models

sgd = torch.optim.SGD
"""
LETTERS = f"""{START}
def network():
    return models.MLP((128, width(), 10))


def width():
    return 8


letters = partial(Experiment, network, data="letters", epochs=1, batch_size=50, validation=3)
variants = {{"slow": letters(partial(sgd, lr=0.01)), "fast": letters(partial(sgd, lr=0.1))}}
seeds = range(2)
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Writes a file; what it was imported as is forgotten after the test."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = {*sys.modules}

    def write(text: str | bytes, name: str = "my_runs.py") -> Path:
        for module in {*sys.modules} - before:
            if str(getattr(sys.modules[module], "__file__", "")).startswith(str(tmp_path)):
                del sys.modules[module]
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    yield write
    write("")


def test_a_file_has_the_keys_of_a_notebooks_sweep_its_own_functions_among_them(file):
    def key(text):
        return experiment.key_of(sweep_file.read(file(text, "keyed.py"))[0]["slow"], "data")

    assert sweep_file.read(file(LETTERS))[1] == [0, 1]
    assert key(LETTERS) == key(LETTERS.replace("letters", "others").replace('"others"', '"letters"'))
    assert key(LETTERS) != key(LETTERS.replace("return 8", "return 9"))
    ours = partial(models.MLP, (128, 8, 10))
    in_a_notebook = Experiment(ours, partial(torch.optim.SGD, lr=0.01), "letters", 1, 50, validation=3)
    in_a_file = LETTERS.replace("Experiment, network", "Experiment, partial(models.MLP, (128, 8, 10))")
    assert key(in_a_file) == experiment.key_of(in_a_notebook, "data")


def test_what_is_beside_the_file_can_be_imported_and_seeds_may_be_numpys(file):
    file("import numpy\nmine = numpy.arange(2)\n", "beside_my_runs.py")
    path = file("from beside_my_runs import mine as seeds\n" + LETTERS.replace("seeds = range(2)", ""))
    assert sweep_file.read(path)[1] == [0, 1]


ONE = "Experiment(models.LeNet5, partial(sgd, lr=0.1), 'cifar10', 1, 8)"
GOOD = f"{START}variants = {{'it': {ONE}}}\nseeds = [0]\n"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("variants", "variant", ": no `variants`; give it variants = {name: Experiment(...)} and"),
        ("seeds", "seed", ": no `seeds`; give it"),
        ("seeds = [0]", "seeds = [0", ", line 10: '[' was never closed"),
        ("seeds = [0]", "seeds = 0 / 0", ", line 10: ZeroDivisionError: division by zero"),
        ("seeds = [0]", "exit(3)", ", line 10: SystemExit: 3"),
        ("seeds = [0]", "import nothing_of_this_name", ", line 10: ModuleNotFoundError: No module named 'nothing"),
        ("seeds = [0]", "raise ValueError('two\\nlines')", ", line 10: ValueError: two"),
        ("seeds = [0]", "def f():\n    1 / 0\n\n\nf()", ", line 11: ZeroDivisionError"),
        ("seeds = [0]", "raise ValueError", ", line 10: ValueError: no reason given"),
        ("1, 8", "0, 8", ", line 9: invalid epochs 0; expected a whole number of at least 1"),
        ("[0]", "3", ": `seeds` is 3; give whole numbers of at least 0, as in range(3)"),
        ("[0]", "[]", ": `seeds` is []; give"),
        ("[0]", "['a']", ": `seeds` is ['a']; give"),
        ("[0]", "[True]", ": `seeds` is [True]; give"),
        ("[0]", "[-1]", ": `seeds` is [-1]; give"),
        ("[0]", "[1.0]", ": `seeds` is [1.0]; give"),
        ("[0]", "__import__('itertools').count()", ": `seeds` is count("),
        ("[0]", "[4, 2, 4]", ": seed 4 is there 2 times; give each of them once"),
        (f"{{'it': {ONE}}}", "[1, 2]", ": `variants` is [1, 2]; give a dictionary of names and Experiments"),
        (f"{{'it': {ONE}}}", "{}", ": `variants` is {}; give"),
        (ONE, "5", ": variant 'it' is 5; give a name and an Experiment"),
        ("'it'", "5", ": variant 5 is Experiment(model=<class"),
        ("lr=0.1", "lr=-1", ": it: optimizer: ValueError: Invalid learning rate: -1"),
        ("models.LeNet5", "partial(models.MLP, [3])", ": it: model: MLP takes at least two sizes"),
        ("models.LeNet5", "partial(models.MLP, width=3)", ": it: model: TypeError: MLP.__init__() got an unexpected"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place_and_exit_code_2(file, capsys, old, new, line):
    path = file(GOOD.replace(old, new))
    assert main.main(["sweep", str(path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error: {path}{line}")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("my.yaml", "", " is not a Python file; name a .py file"),
        ("my-runs.py", GOOD, " cannot be imported by its name; use letters"),
        ("torch.py", GOOD, " has the name of another module, torch; rename it"),
        ("this.py", GOOD, " has the name of another module, this; rename it"),
        ("my_runs.py", b"x = '\xff'\n", "(unicode error) 'utf-8'"),
        ("my_runs.py", b"\0", "null bytes"),
        ("my_runs.py", "x = " + "(" * 5000, "too many nested parentheses"),
    ],
)
def test_a_file_that_is_none_of_ours(file, name, content, line):
    path = file(content, name)
    with pytest.raises(UsageError) as error:
        sweep_file.read(path)
    assert str(error.value).startswith(str(path))
    assert line in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    (tmp_path / "folder.py").mkdir()
    for name in ("none.py", "folder.py"):
        with pytest.raises(UsageError, match=rf"cannot read .*{name}: no such file"):
            sweep_file.read(tmp_path / name)


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch, capsys):
    monkeypatch.setenv("COURSEKIT_PROFILE", "full")  # is set by the command, and put back after the test

    def run(*arguments) -> tuple[int, str, str]:
        code = main.main(["sweep", *map(str, arguments), "--profile", "sample"])
        return code, *capsys.readouterr()

    return run


def test_the_command_trains_tells_and_replays_what_the_next_one_asks_for(file, command):
    code, out, err = command(file(LETTERS))
    assert code == 0
    assert "4 runs made on CPU" in out
    assert "; 4 trained in" in out
    assert [line.split()[:2] for line in out.splitlines() if line.startswith(("slow", "fast"))] == [
        ["slow", "2/2"],
        ["fast", "2/2"],
    ]
    assert "all" in err
    assert "4 replayed from the results store\n" in command(file(LETTERS))[1]
    assert "4 replayed from the results store; 2 trained" in command(file(LETTERS.replace("(2)", "(3)")))[1]


def test_functions_of_the_file_reach_processes_of_their_own(file):
    """In a process of its own, because workers import what is the main module here."""
    command = [sys.executable, "-m", "coursekit", "sweep", file(LETTERS), "--workers", "2", "--profile", "sample"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "; 4 trained in" in done.stdout


def test_runs_without_a_result_are_exit_code_6(file, command, monkeypatch):
    lost = Result("key", "it", "lost", {}, [], [], {}, {"error": "no reason"})
    monkeypatch.setattr("coursekit.runs.sweeps.sweep", lambda *_: {"it": [lost, lost]})
    code, out, err = command(file(LETTERS))
    assert (code, "it  0/2" in out) == (6, True)
    assert err == "error: 2 of 2 runs have no result; the same command tries them again\n"


def test_a_run_that_diverged_is_exit_code_6_and_the_others_are_told(file, command):
    code, out, err = command(file(LETTERS.replace("lr=0.1", "lr=1e30")))
    assert code == 6
    assert [line.split()[:2] for line in out.splitlines() if line.startswith(("slow", "fast"))] == [
        ["slow", "2/2"],
        ["fast", "0/2"],
    ]
    assert err.endswith("error: 2 of 4 runs diverged; try a smaller learning rate\n")


def test_engines_of_the_command(file, command, monkeypatch):
    asked = []
    monkeypatch.setattr("coursekit.runs.sweeps.sweep", lambda *arguments: asked.append(arguments) or {})
    for options in ([], ["--workers", 3, "--threads", 2], ["--refresh", "--together", 1]):
        assert command(file(LETTERS), *options)[0] == 0
    assert [arguments[3].func for arguments in asked] == [executors.Serial, executors.Processes, executors.Serial]
    assert [arguments[3].args for arguments in asked] == [(None,), (3, 2), (None,)], "None: the threads that torch has"
    assert [arguments[2] for arguments in asked] == [False, False, True]
    assert asked[2][4] == 1
    code, _, err = command(file(LETTERS), "--queue", "short")
    assert (code, err) == (2, "error: --queue goes with --slurm\n")


def test_a_slurm_job_finds_the_file(file, command, monkeypatch):
    asked = []
    monkeypatch.setattr("coursekit.runs.sweeps.sweep", lambda *_: {})
    monkeypatch.setattr("coursekit.runs.cluster.slurm", lambda *a, **options: asked.append(options))
    path = file(LETTERS)
    assert command(path, "--slurm", "--gpus", 1)[0] == 0
    [options] = asked
    [line] = options["prologue"]
    told = subprocess.run(["bash", "-c", f"{line}; echo $PYTHONPATH"], env={"PYTHONPATH": "old"}, capture_output=True)
    assert told.stdout.decode() == f"{path.parent}:old\n"


def test_help_says_that_the_file_is_run(capsys):
    with pytest.raises(SystemExit):
        main.main(["sweep", "--help"])
    assert "your own code and is run" in " ".join(capsys.readouterr().out.split())
