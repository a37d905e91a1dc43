"""Computations of a notebook that are not an Experiment, kept in the results store and replayed from there."""

import os
import time
from collections.abc import Callable

from coursekit import data, fingerprint, profiles, results
from coursekit.data import Dataset
from coursekit.errors import NotStored
from coursekit.results import Result


def recall(dataset: Dataset | None, function: Callable, *arguments, **keywords):
    """What `function(*arguments, **keywords)` returned, from the store if an equal call on these data left it there.

    Equal is what `fingerprint.key` makes equal; with no data set the function draws its own. Where a data set cannot be
    had and sample data stand in for it, what was stored of the real one is returned. The function returns what JSON
    can hold, and gets the digits that a file keeps, called or replayed. Raises NotStored where `refuse_hours` does.
    """
    return recalled(dataset, function, *arguments, **keywords).metrics["returned"]


def recalled(dataset: Dataset | None, function: Callable, *arguments, **keywords) -> Result:
    """The same with its provenance: the stored result, whose metrics["returned"] is what the function returned."""
    call = fingerprint.describe_call(function, arguments, keywords)
    for checksum in _checksums(dataset):
        described = call | {"data_sha256": checksum}
        key = fingerprint.key(described, function, arguments, keywords)
        if stored := results.load(key):
            return stored
    name = getattr(function, "__name__", "call")
    refuse_hours(name)
    start = time.perf_counter()
    returned = function(*arguments, **keywords)
    made = results.provenance(dataset) | {"seconds": time.perf_counter() - start}
    return results.keep(Result(key, name, "ok", described, [], [], {"returned": returned}, made))


def _checksums(dataset: Dataset | None) -> list[str]:
    """Of the data whose results are looked for, the best first; what is computed now is on the last."""
    if dataset is None:
        return [""]
    wanted = data.expected_sha256(dataset.name, profiles.source()) if dataset.is_sample else dataset.sha256
    return list(dict.fromkeys((wanted, dataset.sha256)))


def refuse_hours(name: str) -> None:
    """Raise NotStored in profile full on a machine without a GPU, unless COURSEKIT_TRAIN is set: it would take days."""
    if profiles.profile() == "full" and profiles.device().type == "cpu" and not os.environ.get("COURSEKIT_TRAIN"):
        raise NotStored(f"{name}: not in the results store, and too long without a GPU; COURSEKIT_TRAIN=1 trains it")
