"""The Python file that `coursekit sweep` trains: the user's own code, imported as a module of its own name."""

import importlib
import importlib.util
import sys
import traceback
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from coursekit.errors import CoursekitError, UsageError
from coursekit.runs.experiment import Experiment

MOST_SEEDS = 1_000_000  # more are a generator without an end


def read(path: Path) -> tuple[dict[str, Experiment], list[int]]:
    """`variants` and `seeds` of a file, which is run; raises UsageError with the place of what is wrong in it.

    Its folder stays in `sys.path`: a worker imports the file by its name, and so finds the functions in it.
    """
    module = _imported(path)
    for name in ("variants", "seeds"):
        if not hasattr(module, name):
            raise UsageError(f"{path}: no `{name}`; give it variants = {{name: Experiment(...)}} and seeds = range(3)")
    return _variants(path, module.variants), _seeds(path, module.seeds)


def _imported(path: Path) -> ModuleType:
    if path.suffix != ".py":
        raise UsageError(f"{path} is not a Python file; name a .py file with `variants` and `seeds`")
    if not path.is_file():
        raise UsageError(f"cannot read {path}: no such file")
    if not path.stem.isidentifier():
        raise UsageError(f"{path} cannot be imported by its name; use letters, digits and _ alone")
    if path.stem in sys.modules or _is_taken(path):
        raise UsageError(f"{path} has the name of another module, {path.stem}; rename it")
    sys.path.insert(0, str(path.resolve().parent))
    importlib.invalidate_caches()
    try:
        return importlib.import_module(path.stem)
    except SyntaxError as error:
        where = f", line {error.lineno}" if error.lineno else ""
        raise UsageError(f"{error.filename or path}{where}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if _is(frame.filename, path)]
        where = f", line {lines[-1]}" if lines else ""
        raise UsageError(f"{path}{where}: {_in_a_line(error)}") from error


def _is_taken(path: Path) -> bool:
    found = importlib.util.find_spec(path.stem)
    return found is not None and found.origin is not None and not _is(found.origin, path)


def _is(file: str, path: Path) -> bool:
    return Path(file).resolve() == path.resolve()


def _in_a_line(error: BaseException) -> str:
    first = (str(error).strip() or "no reason given").splitlines()[0]
    return first if isinstance(error, CoursekitError) else f"{type(error).__name__}: {first}"


def _variants(path: Path, given: object) -> dict[str, Experiment]:
    if not isinstance(given, Mapping) or not given:
        raise UsageError(f"{path}: `variants` is {_short(given)}; give a dictionary of names and Experiments")
    for name, experiment in given.items():
        if not isinstance(name, str) or not isinstance(experiment, Experiment):
            raise UsageError(f"{path}: variant {_short(name)} is {_short(experiment)}; give a name and an Experiment")
        _try(f"{path}: {name}", experiment)
    return dict(given)


def _try(where: str, experiment: Experiment) -> None:
    """Find out now, not in a worker, what a model and an optimizer do not take."""
    for kind, make in (("model", experiment.model), ("optimizer", partial(experiment.optimizer, [torch.zeros(1)]))):
        try:
            make()
        except Exception as error:
            raise UsageError(f"{where}: {kind}: {_in_a_line(error)}") from error


def _seeds(path: Path, given: object) -> list[int]:
    seeds = list(islice(given, MOST_SEEDS + 1)) if isinstance(given, Iterable) else []
    if not 0 < len(seeds) <= MOST_SEEDS or not all(map(_is_seed, seeds)):
        raise UsageError(f"{path}: `seeds` is {_short(given)}; give whole numbers of at least 0, as in range(3)")
    [(seed, count)] = Counter(seeds).most_common(1)
    if count > 1:
        raise UsageError(f"{path}: seed {seed} is there {count} times; give each of them once")
    return [int(seed) for seed in seeds]


def _is_seed(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 0


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
