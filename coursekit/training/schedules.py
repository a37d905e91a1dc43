"""Learning-rate schedules: pure functions of a count of epochs (or steps) that return a multiplier of the base lr."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from numbers import Real

from coursekit.errors import UsageError

Schedule = Callable[[int], float]


def constant(count: int) -> float:
    """1 for ever."""
    return 1.0


def step(count: int, step_size: int = 10, gamma: float = 0.5) -> float:
    """gamma once more every `step_size` counts: with the defaults 1 for 0-9, 0.5 for 10-19, 0.25 for 20-29."""
    return gamma ** (count // step_size)


def multi_step(count: int, milestones: Sequence[int], gamma: float = 0.1) -> float:
    """gamma once more from each milestone on."""
    return gamma ** sum(count >= milestone for milestone in milestones)


def exponential(count: int, gamma: float) -> float:
    """The same factor after every count."""
    return gamma**count


def cosine(count: int, total: int, min_ratio: float = 0.0) -> float:
    """Half a cosine from 1 down to `min_ratio` at `total`, and flat from there on.

    Loshchilov & Hutter 2017, without restarts. (torch's CosineAnnealingLR rises again after `total`.)
    """
    return min_ratio + (1 - min_ratio) * (1 + math.cos(math.pi * min(count, total) / total)) / 2


def cosine_restarts(count: int, period: int, mult: int = 1, decay: float = 1.0, min_ratio: float = 0.0) -> float:
    """Cosine from the top again after each period; the next is `mult` times as long, its top `decay` times as high.

    Loshchilov & Hutter 2017, section 3; `decay` is ours. Raises UsageError where the periods would have no end.
    """
    if period < 1 or mult < 1:
        raise UsageError(f"period is {period} and mult {mult}; both must be at least 1")
    top = 1.0
    while count >= period:
        count, period, top = count - period, period * mult, top * decay
    return min_ratio + (top - min_ratio) * (1 + math.cos(math.pi * count / period)) / 2


def warmup_cosine(count: int, warmup: int, total: int, min_ratio: float = 0.0) -> float:
    """A linear rise that begins at 1/warmup, not at 0 which would waste the first epoch, then a cosine to `total`."""
    if count < warmup:
        return (count + 1) / warmup
    return cosine(count - warmup, total - warmup, min_ratio)


def polynomial(count: int, total: int, power: float = 2.0, min_ratio: float = 0.0) -> float:
    """(1 - count/total)^power from 1 down to `min_ratio`, and flat from there on; power 1 is a straight line."""
    return min_ratio + (1 - min_ratio) * (1 - min(count, total) / total) ** power


def one_cycle(count: int, total: int, rise: float = 0.3, start_ratio: float = 0.04, min_ratio: float = 0.0) -> float:
    """A straight line up to 1 over the first `rise` of `total`, and a straight line down (Smith & Topin 2018)."""
    peak = max(1, round(rise * total))
    if count < peak:
        return start_ratio + (1 - start_ratio) * count / peak
    return max(min_ratio, 1 - (1 - min_ratio) * (count - peak) / max(1, total - peak))


def _factory(name: str, schedule: Callable[..., float]) -> Callable[[Mapping], Schedule]:
    def factory(param: Mapping) -> Schedule:
        _check(name, schedule, param)
        return partial(schedule, **param)

    return factory


FUNCTIONS: dict[str, Callable[..., float]] = {
    "Constant": constant,
    "StepDecay": step,
    "MultiStepDecay": multi_step,
    "ExponentialDecay": exponential,
    "CosineDecay": cosine,
    "CosineRestarts": cosine_restarts,
    "WarmupCosine": warmup_cosine,
    "PolynomialDecay": polynomial,
    "OneCycle": one_cycle,
}
# The course's calling form: SCHEDULES[name](param) -> lr_lambda(epoch).
SCHEDULES = {name: _factory(name, schedule) for name, schedule in FUNCTIONS.items()}

# What a parameter may be: how it is checked, and how that is said.
RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    **dict.fromkeys(("step_size", "total", "period", "mult"), (lambda x: x >= 1 and x % 1 == 0, "a whole number ≥ 1")),
    **dict.fromkeys(("gamma", "decay", "power"), (lambda x: 0 < x < math.inf, "a number > 0")),
    **dict.fromkeys(("min_ratio", "start_ratio", "rise"), (lambda x: 0 <= x <= 1, "a number from 0 to 1")),
    "warmup": (lambda x: x >= 0 and x % 1 == 0, "a whole number ≥ 0"),
}


def check(schedule: Schedule) -> None:
    """Raise UsageError for a schedule of this module, as a partial, whose parameters are out of range; others pass."""
    function = getattr(schedule, "func", schedule)
    for name, ours in FUNCTIONS.items():
        if function is ours:
            _check(name, ours, getattr(schedule, "keywords", {}))


def check_counts(schedule: Schedule, counts: int) -> None:
    """Raise UsageError unless the schedule gives a number ≥ 0 for each count: before the first step, not later."""
    for count in range(counts):
        try:
            ratio = schedule(count)
        except (ArithmeticError, ValueError, TypeError, LookupError) as error:
            raise UsageError(f"the schedule gives no learning rate at {count}: {error}") from error
        if not (_is_number(ratio) and 0 <= ratio < math.inf):
            raise UsageError(f"the schedule gives no learning rate at {count}: {ratio!r}; expected a number ≥ 0")


def _check(name: str, schedule: Callable[..., float], param: Mapping) -> None:
    """Raise UsageError for parameters that the schedule does not have, or that are out of range."""
    if not isinstance(param, Mapping) or not all(isinstance(key, str) for key in param):
        raise UsageError(f"{name}: invalid parameters {param!r}; expected a dictionary such as {{'total': 30}}")
    try:
        inspect.signature(schedule).bind(0, **param)
    except TypeError as error:
        raise UsageError(f"{name}: {schedule.__name__}() {error}") from None
    for key, value in param.items():
        if key == "milestones":
            fits, expected = _are_increasing(value), "whole numbers ≥ 1, each larger than the one before"
        else:
            is_within, expected = RANGES[key]
            fits = _is_number(value) and is_within(value)
        if not fits:
            raise UsageError(f"{name}: invalid {key} {value!r}; expected {expected}")
    if "warmup" in param and not param["warmup"] < param["total"]:
        raise UsageError(f"{name}: invalid warmup {param['warmup']}; expected less than total, {param['total']}")


def _is_number(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _are_increasing(milestones) -> bool:
    if not isinstance(milestones, Sequence) or not all(map(_is_number, milestones)):
        return False
    return all(b > a and b % 1 == 0 for a, b in pairwise((0, *milestones)))


def from_course(setting: Mapping) -> tuple[float, Schedule]:
    """Base lr and schedule from an entry of the course's `exp_dict`: Learning_rate, Scheduler, Scheduler_param.

    Raises UsageError for a missing key, an unknown scheduler, and an lr or a parameter that is out of range.
    """
    for key in ("Learning_rate", "Scheduler", "Scheduler_param"):
        if key not in setting:
            raise UsageError(f"no {key!r} in {setting}")
    name = setting["Scheduler"]
    if not isinstance(name, str) or name not in SCHEDULES:
        raise UsageError(f"no {name!r} in the schedulers; choose {', '.join(SCHEDULES)}")
    try:
        lr = float(setting["Learning_rate"])
    except (TypeError, ValueError, OverflowError):
        lr = math.nan
    if not 0 < lr < math.inf:
        raise UsageError(f"invalid Learning_rate {setting['Learning_rate']!r}; expected a number > 0")
    return lr, SCHEDULES[name](setting["Scheduler_param"])
