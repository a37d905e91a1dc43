"""What a notebook computed by itself comes back from the store; full protocols need a GPU or a word."""

import itertools
from dataclasses import replace
from functools import partial

import pytest

from coursekit.data import datasets
from coursekit.runs import cached, store

DIGITS, LETTERS = (datasets.load(name, "sample") for name in ("mnist", "letters"))
CALLS = itertools.count()  # not a plain value, so no part of the key
FACTOR = 3


def double(x):
    return 2 * x


def triple(x):
    return FACTOR * x


def adder(amount, x):
    return x + amount


def work(number, how=double, note=""):
    next(CALLS)
    return {"value": how(number) / 7, "list": [1, (2, 3)], "none": None}


@pytest.fixture(autouse=True)
def _sample(monkeypatch):
    monkeypatch.setenv("COURSEKIT_PROFILE", "sample")
    monkeypatch.setitem(globals(), "CALLS", itertools.count())


def test_the_second_call_computes_nothing_and_returns_the_same():
    first, second = (cached.recall(DIGITS, work, 1) for _ in range(2))
    assert first == second == {"value": 0.285714, "list": [1, [2, 3]], "none": None}
    assert next(CALLS) == 1


def test_arguments_code_and_data_are_part_of_the_key(monkeypatch):
    cached.recall(DIGITS, work, 1)
    cached.recall(DIGITS, work, 2)
    cached.recall(DIGITS, work, 1, how=triple)
    cached.recall(DIGITS, work, 1, partial(adder, 1))
    cached.recall(DIGITS, work, 1, note="other")
    cached.recall(LETTERS, work, 1)
    monkeypatch.setitem(globals(), "FACTOR", 4)
    cached.recall(DIGITS, work, 1, how=triple)
    assert next(CALLS) == 7


def test_one_call_has_one_key_however_it_is_spelled():
    for _ in range(2):
        cached.recall(DIGITS, work, 1)
        cached.recall(DIGITS, work, number=1.0)
        cached.recall(DIGITS, work, 1, partial(double), note="")
    assert next(CALLS) == 1


def test_without_the_data_set_what_was_stored_of_the_real_one_comes_back(monkeypatch):
    real = replace(DIGITS, source="real", sha256=datasets.expected_sha256("mnist", "auto"))
    assert not real.is_sample
    first = cached.recall(real, work, 1)
    monkeypatch.setenv("COURSEKIT_SOURCE", "auto")
    assert cached.recall(DIGITS, work, 1) == first
    cached.recall(DIGITS, work, 2)
    assert next(CALLS) == 2
    another = replace(real, source="another copy", sha256="0" * 64)
    cached.recall(another, work, 1)
    assert next(CALLS) == 4, "another copy of the data is computed for itself"


def test_what_sample_data_gave_is_not_taken_for_the_real_ones(monkeypatch):
    monkeypatch.setenv("COURSEKIT_SOURCE", "auto")
    cached.recall(DIGITS, work, 1)
    cached.recall(replace(DIGITS, source="real", sha256=datasets.expected_sha256("mnist")), work, 1)
    assert next(CALLS) == 2


def test_code_in_a_list_of_arguments_is_part_of_the_key(monkeypatch):
    cached.recall(None, how_many, [triple])
    keys = {path.name for path in store.folder().rglob("*.json")}
    monkeypatch.setitem(globals(), "FACTOR", 4)
    cached.recall(None, how_many, [triple])
    assert len({path.name for path in store.folder().rglob("*.json")} - keys) == 1


def how_many(functions):
    return len(functions)


def test_what_draws_its_own_data_is_kept_without_a_data_set():
    first, second = (cached.recall(None, work, 1) for _ in range(2))
    cached.recall(DIGITS, work, 1)
    assert first == second
    assert next(CALLS) == 2
    assert cached.recalled(None, work, 1).provenance["source"] == "drawn by code"


def test_provenance_is_kept():
    cached.recall(DIGITS, work, 1)
    [path] = store.folder().rglob("*.json")
    text = path.read_text()
    for word in ('"profile": "sample"', '"device":', '"data_sha256":', '"seconds":'):
        assert word in text
