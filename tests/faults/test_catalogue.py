"""docs/reliability.md names tests that there are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = re.findall(
    r"^\| ([A-Z]\d+) \|.*\| ([^|]+) \|$", (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8"), re.M
)


@pytest.mark.parametrize(("fault", "tests"), ROWS, ids=[fault for fault, _ in ROWS])
def test_every_test_of_the_catalogue_is_there(fault, tests):
    for path, name in re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", tests):
        code = (ROOT / "tests" / path).read_text(encoding="utf-8")
        wanted = name or f"test_{fault.lower()}_"
        assert re.search(rf"^def {wanted}", code, re.M), f"{fault}: no {wanted} in {path}"


def test_the_catalogue_is_whole():
    wanted = {"T": 11, "N": 7, "D": 6, "C": 9, "B": 7, "L": 3, "S": 5, "W": 3}
    assert {f"{letter}{number}" for letter, last in wanted.items() for number in range(1, last + 1)} <= dict(
        ROWS
    ).keys()
