"""Checks of schedules: the course's step decay, a warm-up with cosine, and any of a learner's own."""

import numpy as np

from coursekit.checks.diagnosis import NotDone, Wrong
from coursekit.checks.judging import Case, Mistake, Piece
from coursekit.training import schedules


def _factory(code, inputs: dict) -> dict:
    """Multipliers of the epochs from a factory, which takes a dictionary and returns a function."""
    param, epochs = inputs.values()
    schedule = code(dict(param))
    if schedule is None or schedule is ...:
        return {"the series of multipliers": None}
    if not callable(schedule):
        raise Wrong(
            f"returns a {type(schedule).__name__}", "The factory returns a function of the epoch, lr_lambda(epoch)."
        )
    values = [schedule(epoch) for epoch in epochs]
    return {"the series of multipliers": None if values[0] is None else np.array(values, float)}


def _of(formula):
    """A factory from formula(epoch, **param)."""
    return lambda param: lambda epoch: formula(epoch, **param)


def _step_case(words: str, epochs: list[int], hint: str = "", **param) -> Case:
    return Case(words, {"param": param, "epochs": epochs}, hint)


STEP_DECAY = Piece(
    "step_decay",
    "StepDecay(param) → lr_lambda(epoch)",
    schedules.SCHEDULES["StepDecay"],
    [
        _step_case("step_size 10, gamma 0.5", [0, 9, 10, 19, 20, 29], step_size=10, gamma=0.5),
        _step_case("step_size 3, gamma 0.1", [0, 2, 3, 5, 6], step_size=3, gamma=0.1),
        _step_case(
            "epochs asked for in another order",
            [20, 0, 10],
            "Compute it from the epoch alone: nothing may be remembered from call to call.",
            step_size=10,
            gamma=0.5,
        ),
    ],
    [
        Mistake(
            "It starts with a decay: 1 for the first step_size epochs.",
            _of(lambda e, step_size, gamma: gamma ** (e // step_size + 1)),
        ),
        Mistake(
            "One epoch late: the decay comes at epoch 10, not after it. Epochs count from 0.",
            _of(lambda e, step_size, gamma: gamma ** (max(e - 1, 0) // step_size)),
        ),
        Mistake(
            "One epoch early: epochs count from 0, so there are 0 to 9 before the first decay.",
            _of(lambda e, step_size, gamma: gamma ** ((e + 1) // step_size)),
        ),
        Mistake(
            "It decays smoothly: whole division, //, makes steps.",
            _of(lambda e, step_size, gamma: gamma ** (e / step_size)),
        ),
        Mistake("It decays in every epoch: step_size is not used.", _of(lambda e, step_size, gamma: gamma**e)),
        Mistake(
            "It falls along a line: gamma once more each time is a power.",
            _of(lambda e, step_size, gamma: max(0.0, 1 - (1 - gamma) * (e // step_size))),
        ),
        Mistake("It decays once and stays.", _of(lambda e, step_size, gamma: 1.0 if e < step_size else gamma)),
        Mistake(
            "It multiplies where it should raise to a power.", _of(lambda e, step_size, gamma: gamma * (e // step_size))
        ),
        Mistake(
            "It grows: 1 / gamma where gamma is wanted.",
            _of(lambda e, step_size, gamma: (1 / gamma) ** (e // step_size)),
        ),
        Mistake("It is always 1.", _of(lambda e, step_size, gamma: 1.0)),
    ],
    probe=_factory,
    hint="gamma once more every step_size epochs; a multiplier of the base rate, from 1 down.",
)


def _cosine(x: float) -> float:
    return (1 + np.cos(np.pi * x)) / 2


def _warm(rise, fall):
    return _of(lambda e, warmup, total: rise(e, warmup) if e < warmup else fall(e, warmup, total))


def _up(epoch, warmup):
    return (epoch + 1) / warmup


def _down(epoch, warmup, total):
    return _cosine(min((epoch - warmup) / (total - warmup), 1))


WARMUP_COSINE = Piece(
    "warmup_cosine",
    "WarmupCosine(param) → lr_lambda(epoch)",
    schedules.SCHEDULES["WarmupCosine"],
    [
        _step_case("warmup 5, total 30", [0, 2, 4, 5, 12, 29], warmup=5, total=30),
        _step_case("warmup 2, total 10", [0, 1, 2, 6, 9], warmup=2, total=10),
        _step_case(
            "epochs after the end",
            [10, 11, 15],
            "After total it stays at the bottom: the cosine would rise again.",
            warmup=2,
            total=10,
        ),
        _step_case("no warm-up", [0, 5, 9], "warmup may be 0: then there is nothing to divide by.", warmup=0, total=10),
    ],
    [
        Mistake("The first epoch has rate 0 and is wasted: (epoch + 1) / warmup.", _warm(lambda e, w: e / w, _down)),
        Mistake(
            "The cosine does not wait for the warm-up: count from its end, epoch − warmup over total − warmup.",
            _warm(_up, lambda e, w, t: _cosine(min(e / t, 1))),
        ),
        Mistake(
            "The cosine is not scaled to the steps after the warm-up: total − warmup.",
            _warm(_up, lambda e, w, t: _cosine(min((e - w) / t, 1))),
        ),
        Mistake(
            "After total the cosine rises again: keep it at the end.",
            _warm(_up, lambda e, w, t: _cosine((e - w) / (t - w))),
        ),
        Mistake(
            "It falls along a line, not along a cosine.", _warm(_up, lambda e, w, t: 1 - min((e - w) / (t - w), 1))
        ),
        Mistake(
            "The cosine runs from 1 to −1: add 1 and halve it.",
            _warm(_up, lambda e, w, t: np.cos(np.pi * min((e - w) / (t - w), 1))),
        ),
        Mistake(
            "This is a quarter of a cosine, π / 2: half a wave is π.",
            _warm(_up, lambda e, w, t: np.cos(np.pi / 2 * min((e - w) / (t - w), 1))),
        ),
        Mistake("There is no warm-up.", _of(lambda e, warmup, total: _cosine(min(e / total, 1)))),
        Mistake(
            "It climbs twice: the cosine goes down after the warm-up.", _warm(_up, lambda e, w, t: 1 - _down(e, w, t))
        ),
        Mistake("The warm-up is flat: it has to rise epoch by epoch to 1.", _warm(lambda e, w: 1 / w, _down)),
    ],
    probe=_factory,
    hint="(epoch + 1) / warmup up to 1, then half a cosine down to 0 at total.",
)


def _own(code, inputs: dict) -> dict:
    """What every schedule has to be: a number for each epoch, in (0, 1] before its end, the same whenever asked."""
    epochs = inputs["epochs"]
    values = [code(epoch) for epoch in epochs]
    if values[0] is None or values[0] is ...:
        raise NotDone
    if not all(isinstance(value, int | float | np.generic) for value in values):
        kind = next(type(value).__name__ for value in values if not isinstance(value, int | float | np.generic))
        raise Wrong(f"returns a {kind}", "Hand over lr_lambda, factory(param), and return one number for each epoch.")
    values, again = np.array(values, float), [code(epoch) for epoch in epochs]
    first = {"the first epochs": values[:5]}
    if not np.isfinite(values).all():
        epoch = epochs[int(np.argmin(np.isfinite(values)))]
        raise Wrong(
            f"gives {values[~np.isfinite(values)][0]} at epoch {epoch}",
            "It has to go on after its own end: min(epoch, total).",
            first,
        )
    if not np.array_equal(values, np.array(again, float)):
        raise Wrong(
            "gives another rate for the same epoch when asked again",
            "Compute it from the epoch alone: nothing may be remembered from call to call.",
            first,
        )
    if (values < 0).any():
        raise Wrong(
            f"is negative at epoch {epochs[int((values < 0).argmax())]}: the network would climb",
            "Stop at 0: max(0, …), or min(epoch, total).",
            first,
        )
    if values[0] == 0:
        raise Wrong(
            "is 0 at epoch 0, which wastes that epoch", "Epochs count from 0: begin a rise with (epoch + 1).", first
        )
    if values.max() > 1 + 1e-9:
        raise Wrong(
            f"is {values.max():.3g} at epoch {epochs[int(values.argmax())]}",
            "A multiplier of the base rate, with 1 for its peak.",
            first,
        )
    if values.max() < 0.5:
        raise Wrong(
            f"is {values.max():.3g} at most",
            "A multiplier, not a rate: 1 where the base rate is meant, no lr inside.",
            first,
        )
    if np.ptp(values) == 0:
        raise Wrong("is the same for all epochs", "Is the epoch used? Of ints, // may leave nothing.", first)
    return {"": True}


SCHEDULE = Piece(
    "schedule",
    "lr_lambda(epoch), which your factory(param) returned",
    schedules.SCHEDULES["StepDecay"]({}),
    [
        Case("epochs 0 to 29", {"epochs": list(range(30))}),
        Case("epochs 0 to 299, long after the end", {"epochs": [*range(30), 100, 200, 299]}),
    ],
    probe=_own,
)

PIECES = (STEP_DECAY, WARMUP_COSINE, SCHEDULE)
