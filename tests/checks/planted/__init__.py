"""Code of learners, wrong and right, that the checks of tests/test_checks.py meet; none of it uses coursekit."""

from tests.checks.planted import drawn, functions, layers, networks, rates, torches, updates

ROOMS = (functions, layers, networks, updates, drawn, rates, torches)
WRONG = {name: rows for room in ROOMS for name, rows in room.WRONG.items()}  # piece: [(words of the hint, code)]
RIGHT = {name: codes for room in ROOMS for name, codes in room.RIGHT.items()}  # piece: codes unlike ours
