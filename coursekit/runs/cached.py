"""Computations of a notebook that are not an Experiment, kept in the results store and replayed from there."""

import time
from collections.abc import Callable

from coursekit.data import datasets
from coursekit.data.datasets import Dataset
from coursekit.runs import fingerprint, store
from coursekit.runs.store import Result


def recall(dataset: Dataset | None, function: Callable, *arguments, **keywords):
    """What `function(*arguments, **keywords)` returned, from the store if an equal call on these data left it there.

    Equal is what `fingerprint.key` makes equal; with no data set the function draws its own. Where a data set cannot be
    had and sample data stand in for it, what was stored of the real one is returned. The function returns what JSON
    can hold, and gets the digits that a file keeps, called or replayed.
    """
    return recalled(dataset, function, *arguments, **keywords).metrics["returned"]


def recalled(dataset: Dataset | None, function: Callable, *arguments, **keywords) -> Result:
    """The same with its provenance: the stored result, whose metrics["returned"] is what the function returned."""
    call = fingerprint.describe_call(function, arguments, keywords)
    for checksum in _checksums(dataset):
        described = call | {"data_sha256": checksum}
        key = fingerprint.key(described, function, arguments, keywords)
        if stored := store.load(key):
            return stored
    name = getattr(function, "__name__", "call")
    start = time.perf_counter()
    returned = function(*arguments, **keywords)
    made = store.provenance(dataset) | {"seconds": time.perf_counter() - start}
    return store.keep(Result(key, name, "ok", described, [], [], {"returned": returned}, made))


def _checksums(dataset: Dataset | None) -> list[str]:
    """Of the data whose results are looked for, the best first; what is computed now is on the last."""
    if dataset is None:
        return [""]
    wanted = datasets.expected_sha256(dataset.name) if dataset.is_sample else dataset.sha256
    return list(dict.fromkeys((wanted, dataset.sha256)))
