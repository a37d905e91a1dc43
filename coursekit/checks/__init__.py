"""A learner's code against ours: what is wrong in words, a hint, the failing input; never the solution."""

from collections.abc import Callable

from coursekit.checks import (
    activations,
    blocks,
    chance,
    convolution,
    epochs,
    linear,
    losses,
    networks,
    optimizers,
    rates,
    resnets,
    steps,
    two_layers,
    xor,
)
from coursekit.checks.judging import judge
from coursekit.checks.verdict import Verdict
from coursekit.errors import UsageError

ROOMS = (
    activations,
    losses,
    linear,
    networks,
    two_layers,
    xor,
    epochs,
    steps,
    optimizers,
    chance,
    convolution,
    rates,
    blocks,
    resnets,
)
PIECES = {piece.name: piece for room in ROOMS for piece in room.PIECES}


def check(name: str, mine: Callable) -> Verdict:
    """Compare one piece, a function or a class, with ours, and show what comes of it; the verdict is returned as well.

    `check("softmax", my_softmax)`; the names are those of PIECES. Raises UsageError for another name, and nothing
    for what the learner's code does.
    """
    if name not in PIECES:
        raise UsageError(f"no check {name!r}; choose {', '.join(PIECES)}")
    verdict = judge(PIECES[name], mine)
    verdict.show()
    return verdict


__all__ = ["PIECES", "Verdict", "check"]
