"""Computations of a notebook that are not an Experiment, kept in the results store and replayed from there."""

import datetime
import os
import platform
import time
from collections.abc import Callable

import torch

from coursekit import __version__, data, fingerprint, profiles, results
from coursekit.data import Dataset
from coursekit.errors import NotStored
from coursekit.results import Result


def recall(dataset: Dataset | None, function: Callable, *arguments, **keywords):
    """What `function(*arguments, **keywords)` returned, from the store if an equal call on these data left it there.

    Equal: same arguments, same data set (None: the function draws its own), same code as far as the function reaches.
    Where a data set cannot be had and sample data stand in for it, what was stored of the real one is returned. The
    function returns what JSON can hold, and gets the digits that a file keeps, called or replayed. Raises NotStored
    where `refuse_hours` does.
    """
    return recalled(dataset, function, *arguments, **keywords).metrics["returned"]


def recalled(dataset: Dataset | None, function: Callable, *arguments, **keywords) -> Result:
    """The same with its provenance: the stored result, whose metrics["returned"] is what the function returned."""
    called = {"function": fingerprint.describe(function), "arguments": fingerprint.describe(arguments)}
    called |= {"keywords": fingerprint.describe(keywords)}
    given = (*arguments, *keywords.values())
    callables = [value for value in given if callable(value) or isinstance(value, list | tuple | dict)]
    for checksum in _checksums(dataset):
        described = called | {"data_sha256": checksum}
        key = fingerprint.key(described, function, *callables)
        stored = results.load(key)
        if stored:
            break
    else:
        name = getattr(function, "__name__", "call")
        refuse_hours(name)
        start = time.perf_counter()
        returned = function(*arguments, **keywords)
        made = provenance(dataset) | {"seconds": time.perf_counter() - start}
        stored = results.keep(Result(key, name, "ok", described, [], [], {"returned": returned}, made))
    return stored


def _checksums(dataset: Dataset | None) -> list[str]:
    """Of the data whose results are looked for, the best first; what is computed now is on the last."""
    if dataset is None:
        return [""]
    wanted = data.expected_sha256(dataset.name, profiles.source()) if dataset.is_sample else dataset.sha256
    return list(dict.fromkeys((wanted, dataset.sha256)))


def provenance(dataset: Dataset | None) -> dict:
    """Where, when, with what and on which pixels something is computed now."""
    return {
        "device": profiles.device_name(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "coursekit": __version__,
        "profile": profiles.profile(),
        "source": dataset.source if dataset else "drawn by code",
        "data_sha256": dataset.sha256 if dataset else "",
        "date": datetime.date.today().isoformat(),
    }


def refuse_hours(name: str) -> None:
    """Raise NotStored in profile full on a machine without a GPU, unless COURSEKIT_TRAIN is set: it would take days."""
    if profiles.profile() == "full" and profiles.device().type == "cpu" and not os.environ.get("COURSEKIT_TRAIN"):
        raise NotStored(f"{name}: not in the results store, and too long without a GPU; COURSEKIT_TRAIN=1 trains it")
