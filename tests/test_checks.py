"""Checks of a learner's code: wrong ones are told what is wrong, right ones pass, whatever they do."""

import re
import threading

import numpy as np
import pytest
import torch
from planted import RIGHT, WRONG

from coursekit import checks
from coursekit.checks import PIECES, check, judging
from coursekit.errors import UsageError

PLANTED = [(name, words, code) for name, rows in WRONG.items() for words, code in rows]
ACCEPTED = [(name, code) for name, codes in RIGHT.items() for code in codes]


def ids(rows):
    return [f"{row[0]}-{number}" for number, row in enumerate(rows)]


@pytest.mark.parametrize(("name", "words", "code"), PLANTED, ids=ids(PLANTED))
def test_a_wrong_one_is_told_what_is_wrong(name, words, code, capsys):
    verdict = check(name, code)
    assert verdict.status == "wrong", verdict
    assert words.lower() in f"{verdict.hint} {verdict.message}".lower(), verdict
    assert capsys.readouterr().out == f"{verdict}\n"


@pytest.mark.parametrize(("name", "code"), ACCEPTED, ids=ids(ACCEPTED))
def test_a_right_one_written_differently_passes(name, code):
    assert check(name, code).passed


@pytest.mark.parametrize("name", PIECES)
def test_ours_passes_and_every_piece_meets_five_wrong_ones_and_a_right_one(name, capsys):
    verdict = check(name, PIECES[name].ours)
    assert verdict.passed
    assert re.fullmatch(rf"✓ {name}: passes \d+ cases\n", capsys.readouterr().out)
    assert len(WRONG[name]) >= 5
    assert RIGHT[name]


@pytest.mark.parametrize("name", PIECES)
def test_every_mistake_that_is_known_is_recognised(name):
    for mistake in PIECES[name].mistakes:
        verdict = judging.judge(PIECES[name], mistake.code)
        assert (verdict.status, verdict.hint) == ("wrong", mistake.hint)
