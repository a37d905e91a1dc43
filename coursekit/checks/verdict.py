"""What a check says about a learner's piece of code."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from coursekit import notebook

PASSED, NOT_DONE, WRONG = "passed", "not done", "wrong"
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
    """A value in few characters: a long array by its corners."""
    if isinstance(value, Mapping):
        return "\n".join(f"{key} = {printed(item)}" for key, item in value.items())
    if not isinstance(value, np.ndarray | np.generic | float | list | tuple):
        text = str(value)
        return text if len(text) <= 200 else text[:200] + " …"
    try:
        return np.array2string(np.asarray(value), precision=4, threshold=24, edgeitems=2, suppress_small=True)
    except ValueError:  # lists of unequal length
        return str(value)[:200]


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>$#|~^])", r"\\\1", text)
