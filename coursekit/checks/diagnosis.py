"""A difference between two arrays, or an exception, in words with a hint."""

import linecache
import sysconfig
import traceback
from collections.abc import Mapping
from pathlib import Path

import numpy as np

OURS = str(Path(__file__).parents[1])  # the package
INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))


class NotDone(Exception):
    """Nothing to judge yet; says what is missing when the rest is there."""


class Wrong(Exception):
    """A failed case: what is wrong, a hint, and the values to show."""

    def __init__(self, message: str, hint: str = "", shown: Mapping | None = None):
        super().__init__(message)
        self.message, self.hint, self.shown = message, hint, shown or {}


def equal(a, b, tolerance: float) -> bool:
    """Whether both have one shape and agree within a share of the largest number, nan with nan; dicts item by item."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(equal(a[key], b[key], tolerance) for key in a)
    a, b = as_array(a), as_array(b)
    if a is None or b is None or a.shape != b.shape or a.dtype.kind not in "biuf" or b.dtype.kind not in "biuf":
        return a is None and b is None
    if not (a.size and tolerance):
        return np.array_equal(a, b, equal_nan=a.dtype.kind == b.dtype.kind == "f")
    finite = np.abs(b[np.isfinite(b)])
    scale = finite.max() if finite.size and finite.max() > 0 else 1.0
    return bool(np.allclose(a, b, rtol=0, atol=tolerance * scale, equal_nan=True))


def as_array(value) -> np.ndarray | None:
    """An array of numbers from what a learner's code gave, torch's tensors and lists too; None for anything else."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    try:
        array = np.asarray(value)
    except ValueError:
        return None
    return array if array.dtype.kind in "biuf" else None


def of_values(yours, expected, tolerance: float, batch: int) -> tuple[str, str]:
    """What is the matter with a result, and a hint where the numbers alone tell."""
    mine, right = as_array(yours), as_array(expected)
    if mine is None:
        return f"is a {type(yours).__name__}, expected numbers of shape {right.shape}", "Return an array."
    if mine.shape != right.shape:
        return f"has shape {mine.shape}, expected {right.shape}", _of_shapes(mine.shape, right.shape)
    bad = ~np.isfinite(mine) & np.isfinite(right)
    if bad.any():
        return (
            f"{'has' if mine.ndim else 'is'} {mine[bad].flat[0]}",
            "A number overflowed, or 0 was divided by 0, or log took 0.",
        )
    if mine.dtype.kind in "iu" and right.dtype.kind == "f":
        return "has integers, expected decimals", "zeros_like and // keep integers: decimals are cut off."
    if not right.ndim:
        return f"is {_short(mine)}, expected {_short(right)}", _of_ratio(mine, right, tolerance, batch)
    off = ~np.isclose(mine, right, rtol=0, atol=tolerance * max(np.abs(right).max(), 1e-300))
    first = "".join(f" first at {tuple(map(int, where))}" for where in np.argwhere(off)[:1])
    said = f"differs from the right value in {off.sum()} of {off.size} numbers," + first
    return said, _of_ratio(mine, right, tolerance, batch)


def _short(number: np.ndarray) -> str:
    return str(number) if number.dtype.kind == "b" else f"{number:.4g}"


def _of_shapes(mine: tuple, right: tuple) -> str:
    if mine == right[::-1] and len(mine) > 1:
        return "It is transposed."
    if len(mine) == len(right) + 1 and mine[1:] == right and mine[0] > 1:
        return "Sum over the batch, the first axis."
    if [n for n in mine if n > 1] == [n for n in right if n > 1]:
        return "An axis of length 1 is missing or left over: look at keepdims, reshape and [:, None]."
    return ""


def _of_ratio(mine: np.ndarray, right: np.ndarray, tolerance: float, batch: int) -> str:
    """A hint from the factor that separates all numbers from the right ones, where there is one."""
    if "b" in mine.dtype.kind + right.dtype.kind or not right.size:
        return ""
    at = np.unravel_index(np.abs(right).argmax(), right.shape)
    if right[at] == 0 or mine[at] == 0:
        return "It is zero everywhere." if not mine.any() else ""
    factor = float(mine[at] / right[at])
    if not equal(mine, factor * right, tolerance):
        return ""
    for wanted, hint in (
        (-1, "The sign is wrong."),
        (batch, f"It is {batch} times too large, the size of the batch: it is not divided by the batch size."),
        (1 / batch, f"It is {batch} times too small, the size of the batch: it is divided by it once too often."),
        (2, "It is twice too large: look for a factor of 2, as the derivative of a square has."),
        (0.5, "It is half of what it should be: look for a factor of 2, as the derivative of a square has."),
    ):
        if wanted != 1 and abs(factor / wanted - 1) < 1e-4:
            return hint
    return f"It is {factor:.4g} times the right value everywhere." if np.count_nonzero(right) > 1 else ""


def of_exception(error: Exception, form: str) -> tuple[str, str]:
    """Kind, message and the learner's own line; a hint by kind."""
    said = f"raises {type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'without a message'}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith((OURS, *INSTALLED)):
            line = frame.line or linecache.getline(frame.filename, frame.lineno or 0).strip()
            said += f" (line {frame.lineno}: {line})" if line else f" (line {frame.lineno})"
            break
    return said, _hint_of(error, form)


def _hint_of(error: Exception, form: str) -> str:
    text = str(error)
    if isinstance(error, TypeError) and ("argument" in text or "takes no" in text):
        return f"It is called as {form}."
    if isinstance(error, TimeoutError):
        return "Is there a loop that never ends?"
    if isinstance(error, AttributeError):
        return f"Its form is {form}; the names of attributes and methods count."
    if isinstance(error, RecursionError):
        return "It calls itself: does it have the name of a function that it uses?"
    if "broadcast" in text:
        return "Two shapes do not fit: keepdims=True keeps the axis that max and sum take away. Print both shapes."
    if isinstance(error, ValueError | RuntimeError) and any(w in text for w in ("shape", "align", "dim", "size")):
        return "Two shapes do not fit: print those of the factors in this line; is one of them transposed?"
    if isinstance(error, ZeroDivisionError):
        return "Something that you divide by can be 0."
    return ""
