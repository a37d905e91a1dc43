"""Small arrays for cases: few digits, so that a failing input can be read."""

import numpy as np

W = np.array([[1.0, -2.0], [0.5, 0.0]])
G = np.array([[0.3, 0.1], [-0.2, 1.0]])
RNG = np.random.default_rng(8)


def rounded(*shape: int) -> np.ndarray:
    """Numbers from -2 to 2 in steps of 0.1."""
    return RNG.integers(-20, 21, shape) / 10


def coarse(ratio: float) -> float:
    """A ratio of random origin, rounded to quarters of an octave so that chance does not show."""
    return float(2 ** (np.round(4 * np.log2(ratio)) / 4)) if ratio > 0 else 0.0
