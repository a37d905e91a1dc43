"""Learning-rate schedules: pure functions of a count of epochs (or steps) that return a multiplier of the base lr."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

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

    Loshchilov & Hutter 2017, section 3; `decay` is ours.
    """
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


def _factory(schedule: Callable[..., float]) -> Callable[[Mapping], Schedule]:
    return lambda param: partial(schedule, **param)


# The course's calling form: SCHEDULES[name](param) -> lr_lambda(epoch).
SCHEDULES: dict[str, Callable[[Mapping], Schedule]] = {
    "Constant": _factory(constant),
    "StepDecay": _factory(step),
    "MultiStepDecay": _factory(multi_step),
    "ExponentialDecay": _factory(exponential),
    "CosineDecay": _factory(cosine),
    "CosineRestarts": _factory(cosine_restarts),
    "WarmupCosine": _factory(warmup_cosine),
    "PolynomialDecay": _factory(polynomial),
    "OneCycle": _factory(one_cycle),
}


def from_course(setting: Mapping) -> tuple[float, Schedule]:
    """Base lr and schedule from an entry of the course's `exp_dict`: Learning_rate, Scheduler, Scheduler_param.

    Raises UsageError for a missing key, an unknown scheduler, a parameter that it does not have, an lr that is none.
    """
    try:
        lr, name, param = (setting[key] for key in ("Learning_rate", "Scheduler", "Scheduler_param"))
        lr, schedule = float(lr), SCHEDULES[name](param)
        schedule(0)
    except KeyError as error:
        raise UsageError(f"no {error.args[0]!r} in {dict(setting)}; schedulers: {', '.join(SCHEDULES)}") from None
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise UsageError(f"{setting['Scheduler']} with lr {setting['Learning_rate']!r}: {error}") from None
    return lr, schedule
