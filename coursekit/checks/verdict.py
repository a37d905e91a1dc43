"""What a check says about a learner's piece of code."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from coursekit import notebook
from coursekit.checks.diagnosis import as_array

PASSED, NOT_DONE, WRONG = "passed", "not done", "wrong"
MANY, LONG = 24, 200  # numbers, characters
SIGNS = {PASSED: "✓", NOT_DONE: "○", WRONG: "✗"}


@dataclass(frozen=True)
class Verdict:
    """`status` is "passed", "not done" or "wrong"; `shown` holds the failing input, what came out and what should have.

    `check` has displayed it already, so a notebook shows nothing for it as the last value of a cell; print it to see it
    again.
    """

    piece: str
    status: str
    message: str
    hint: str = ""
    shown: Mapping[str, object] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every case passes."""
        return self.status == PASSED

    def __str__(self) -> str:
        hint = [f"  hint: {self.hint}"] if self.hint else []
        return "\n".join([f"{SIGNS[self.status]} {self.piece}: {self.message}", *hint, *self._lines("  ")])

    __repr__ = __str__

    def markdown(self) -> str:
        """The same for a notebook."""
        first = f"{SIGNS[self.status]} **{self.piece}**: {_escaped(self.message)}"
        hint = f"\n\n*Hint:* {_escaped(self.hint)}" if self.hint else ""
        shown = "\n".join(self._lines(""))
        return first + hint + (f"\n\n```text\n{shown}\n```" if shown else "")

    def show(self) -> None:
        """Display it in a notebook, print it elsewhere."""
        about = {"piece": self.piece, "status": self.status}
        notebook.show_verdict(str(self), self.markdown(), about)

    def _ipython_display_(self) -> None:
        pass

    def _lines(self, indent: str) -> list[str]:
        """The values, their names in a column."""
        width = max(map(len, self.shown), default=0)
        lines = []
        for name, value in self.shown.items():
            first, *rest = printed(value).splitlines() or [""]
            lines += [f"{indent}{name:<{width}}  {first}", *(f"{indent}{' ' * width}  {line}" for line in rest)]
        return lines


def printed(value) -> str:
    """A value in few characters: of a large array its shape, of a dictionary every item."""
    if isinstance(value, Mapping):
        return "\n".join(f"{key} = {printed(item)}" for key, item in value.items())
    if isinstance(value, list | tuple) and any(isinstance(item, np.ndarray) for item in value):
        return "\n".join(map(printed, value))
    array = as_array(value)
    if array is None:
        text = str(value)
        return text if len(text) <= LONG else text[:LONG] + " …"
    if array.size > MANY:
        return f"{array.size:,} numbers of shape {array.shape}"
    lines = np.array2string(array, precision=4, suppress_small=True).splitlines()
    return "\n".join(line for line in lines if line.strip())


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>$#|~^])", r"\\\1", text)
