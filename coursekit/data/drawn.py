"""Images drawn by code for a first try and for tests: they stand in for the real data and are never shown as it."""

import numpy as np

from coursekit.data.download import LETTERS, TEST_PER_LETTER, TRAIN_PER_LETTER

SOURCE = "sample data drawn by code, not the real images"
SHAPES = (
    "disc",
    "square",
    "triangle",
    "ring",
    "frame",
    "cross",
    "diagonal cross",
    "horizontal bars",
    "vertical bars",
    "dots",
)
CLASSES = {"mnist": tuple("0123456789"), "letters": LETTERS, "cifar10": SHAPES}

# Pen strokes as polylines in the unit square, x to the right and y down.
_DIGITS = {
    "0": "50,8 22,25 20,70 48,92 78,72 78,28 50,8",
    "1": "35,25 55,8 55,92",
    "2": "22,28 45,8 75,22 68,48 22,90 80,90",
    "3": "24,15 70,12 45,45 75,65 60,90 22,84",
    "4": "62,92 62,8 18,64 84,64",
    "5": "75,10 30,10 27,45 65,45 76,68 58,90 24,86",
    "6": "68,8 32,38 24,72 46,92 74,76 64,52 28,62",
    "7": "20,10 80,10 42,92",
    "8": "50,48 24,28 48,8 74,28 50,48 22,72 48,92 78,72 50,48",
    "9": "72,38 40,48 28,24 52,8 74,24 70,60 52,92",
}
_LETTERS = {
    "a": "72,40 40,36 22,62 40,88 72,66;72,36 74,90",
    "e": "22,62 78,58 62,36 32,38 22,66 42,90 76,82",
    "g": "72,40 40,34 24,54 44,70 72,56;72,36 70,90 40,98 24,88",
    "i": "50,38 50,90;50,18 50,22",
    "l": "46,4 46,80 60,92",
    "n": "26,36 28,90;28,52 50,36 72,48 74,90",
    "o": "50,36 26,50 26,76 50,90 74,76 74,50 50,36",
    "r": "32,36 32,90;32,54 52,36 72,42",
    "t": "46,10 46,78 66,90;22,36 74,36",
    "u": "26,36 28,76 46,90 72,74;72,36 74,90",
}


def digits(train: int = 4000, test: int = 1000) -> dict[str, np.ndarray]:
    """Handwriting-like digits, uint8 (N, 28, 28)."""
    return _arrays(train, test, seed=1, draw=lambda labels, rng: _strokes(list(_DIGITS.values()), labels, rng, 28, 28))


def letters(per_letter: int = TRAIN_PER_LETTER, test_per_letter: int = TEST_PER_LETTER) -> dict[str, np.ndarray]:
    """Letters in 16×8 pixels of 0 or 1."""

    def draw(labels, rng):
        return (_strokes([_LETTERS[letter] for letter in LETTERS], labels, rng, 16, 8, pen=0.07) > 96).astype(np.uint8)

    return _arrays(per_letter * len(LETTERS), test_per_letter * len(LETTERS), seed=2, draw=draw)


def shapes(train: int = 2000, test: int = 500) -> dict[str, np.ndarray]:
    """Ten coloured shapes on a coloured ground, uint8 (N, 32, 32, 3); colour says nothing about the class."""
    return _arrays(train, test, seed=3, draw=_shapes)


def _arrays(train: int, test: int, seed: int, draw) -> dict[str, np.ndarray]:
    """Equal numbers of every class in a shuffled order, drawn a few hundred at a time to stay small in memory."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([rng.permutation(np.arange(count, dtype=np.uint8) % 10) for count in (train, test)])
    images = np.concatenate([draw(labels[i : i + 250], rng) for i in range(0, len(labels), 250)])
    return {
        "train_images": images[:train],
        "train_labels": labels[:train],
        "test_images": images[train:],
        "test_labels": labels[train:],
    }


def _grid(height: int, width: int, count: int, rng, turn: float, stretch: float) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of each image lies in its own unit square, after a random affine map: two (count, H, W)."""
    y, x = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij")
    u, v = (np.broadcast_to(c - 0.5, (count, height, width)) for c in (x, y))
    angle, slant = rng.normal(0, turn, (2, count, 1, 1))
    scale_x, scale_y = rng.uniform(1.05, 1.05 + stretch, (2, count, 1, 1))
    move_x, move_y = rng.uniform(-0.08, 0.08, (2, count, 1, 1))
    u, v = u - move_x, v - move_y
    u, v = u * np.cos(angle) + v * np.sin(angle), -u * np.sin(angle) + v * np.cos(angle)
    return (u + slant * v) * scale_x + 0.5, v * scale_y + 0.5


def _strokes(glyphs: list[str], labels, rng, height: int, width: int, pen: float = 0.045) -> np.ndarray:
    """Grey images of polylines whose points tremble, drawn with a pen of random width, over a little noise."""
    x, y = _grid(height, width, len(labels), rng, turn=0.18, stretch=0.5)
    distance = np.full(x.shape, np.inf)
    for label, glyph in enumerate(glyphs):
        rows = labels == label
        for line in glyph.split(";"):
            points = np.array([p.split(",") for p in line.split()], float) / 100
            points = points + rng.normal(0, 0.03, (rows.sum(), *points.shape))
            for a, b in zip(points.swapaxes(0, 1)[:-1], points.swapaxes(0, 1)[1:], strict=True):
                distance[rows] = np.minimum(distance[rows], _to_segment(x[rows], y[rows], a, b))
    radius = pen * rng.uniform(0.8, 1.6, (len(labels), 1, 1))
    ink = np.clip((radius - distance) * min(height, width) + 0.5, 0, 1)
    return np.clip(255 * ink * rng.uniform(0.7, 1, (len(labels), 1, 1)) + rng.normal(0, 12, ink.shape), 0, 255).astype(
        np.uint8
    )


def _to_segment(x, y, a, b) -> np.ndarray:
    """Distance of each pixel to the segment from a to b; x, y (N, H, W), a, b (N, 2)."""
    (ax, ay), (bx, by) = a.T[:, :, None, None], b.T[:, :, None, None]
    along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2 + 1e-9)
    along = np.clip(along, 0, 1)
    return np.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay))


def _shapes(labels, rng) -> np.ndarray:
    x, y = _grid(32, 32, len(labels), rng, turn=0.25, stretch=0.9)
    u, v = 2 * x - 1, 2 * y - 1
    radius, side = np.hypot(u, v), np.maximum(np.abs(u), np.abs(v))
    masks = (
        radius < 0.75,
        side < 0.68,
        (v < 0.65) & (np.abs(u) < (v + 0.8) * 0.6),
        (radius < 0.85) & (radius > 0.5),
        (side < 0.8) & (side > 0.45),
        (np.minimum(np.abs(u), np.abs(v)) < 0.22) & (side < 0.8),
        (np.minimum(np.abs(u - v), np.abs(u + v)) < 0.32) & (side < 0.75),
        (np.sin(8 * v) > 0) & (side < 0.8),
        (np.sin(8 * u) > 0) & (side < 0.8),
        (np.sin(7 * u) * np.sin(7 * v) > 0.15) & (side < 0.9),
    )
    inside = np.choose(labels[:, None, None], masks)[..., None]
    ground, colour = rng.uniform(30, 225, (2, len(labels), 1, 1, 3))
    images = np.where(inside, colour, ground) + rng.normal(0, 30, (*x.shape, 3))
    return np.clip(images, 0, 255).astype(np.uint8)


ARRAYS = {"mnist": digits, "letters": letters, "cifar10": shapes}
