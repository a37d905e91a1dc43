"""Schedules."""

import math


def factory(formula):
    return lambda param: lambda epoch: formula(epoch, **param)


def half_wave(x):
    return 0.5 * math.cos(math.pi * x) + 0.5


def warm(up=lambda e, warmup: (e + 1) / warmup, share=lambda e, w, t: min(1, (e - w) / (t - w)), down=half_wave):
    return factory(lambda e, warmup, total: up(e, warmup) if e < warmup else down(share(e, warmup, total)))


def stateful_factory(param):
    state = {"rate": 1.0, "calls": 0}

    def lr_lambda(epoch):
        state["calls"] += 1
        if state["calls"] > 1 and epoch and epoch % param["step_size"] == 0:
            state["rate"] *= param["gamma"]
        return state["rate"]

    return lr_lambda


def by_loop(param):
    def lr_lambda(epoch):
        rate = 1.0
        for _ in range(param["step_size"], epoch + 1, param["step_size"]):
            rate *= param["gamma"]
        return rate

    return lr_lambda


def shrinking():
    rate = [1.0]

    def lr_lambda(epoch):
        rate[0] *= 0.9
        return rate[0]

    return lr_lambda


WRONG = {
    "step_decay": [
        ("starts with a decay", factory(lambda e, step_size, gamma: gamma ** (1 + e // step_size))),
        ("One epoch late", factory(lambda e, step_size, gamma: gamma ** (max(0, e - 1) // step_size))),
        ("One epoch early", factory(lambda e, step_size, gamma: gamma ** ((e + 1) // step_size))),
        ("smoothly", factory(lambda e, step_size, gamma: gamma ** (e / step_size))),
        ("every epoch", factory(lambda e, step_size, gamma: gamma**e)),
        ("raise to a power", factory(lambda e, step_size, gamma: e // step_size * gamma)),
        ("decays once", factory(lambda e, step_size, gamma: gamma if e >= step_size else 1)),
        ("function of the epoch", lambda param: param["gamma"]),
        ("nothing may be remembered", lambda param: stateful_factory(param)),
    ],
    "warmup_cosine": [
        ("wasted", warm(lambda e, w: e / w)),
        ("does not wait", warm(share=lambda e, w, t: min(1, e / t))),
        ("steps after the warm-up", warm(share=lambda e, w, t: min(1, (e - w) / t))),
        ("rises again", warm(share=lambda e, w, t: (e - w) / (t - w))),
        ("along a line", warm(down=lambda x: 1 - x)),
        ("from 1 to −1", warm(down=lambda x: math.cos(math.pi * x))),
        ("quarter", warm(down=lambda x: math.cos(math.pi / 2 * x))),
        ("no warm-up", factory(lambda e, warmup, total: half_wave(min(1, e / total)))),
        (
            "warmup may be 0",
            factory(
                lambda e, warmup, total: min(
                    (e + 1) / warmup, half_wave(max(0, min(1, (e - warmup) / (total - warmup))))
                )
            ),
        ),
    ],
    "schedule": [
        ("wastes that epoch", lambda e: min(1, e / 5)),
        ("Stop at 0", lambda e: 1 - e / 20),
        ("nothing may be remembered", shrinking()),
        ("1 for its peak", lambda e: 1 + e / 10),
        ("no lr inside", lambda e: 0.1 * 0.9**e),
        ("one number", lambda param: lambda e: 0.9**e),
        ("go on after its own end", lambda e: float("nan") if e > 30 else 1 - e / 31),
        ("can be 0", lambda e: 1 / (25 - e)),
        ("is the epoch used", lambda e: 0.9),
    ],
}

RIGHT = {
    "step_decay": [factory(lambda e, step_size, gamma: math.prod([gamma] * (e // step_size))), by_loop],
    "warmup_cosine": [
        factory(
            lambda e, warmup, total: (
                (e + 1) / warmup if e < warmup else math.cos(math.pi / 2 * min(1, (e - warmup) / (total - warmup))) ** 2
            )
        )
    ],
    "schedule": [lambda e: 0.95**e, lambda e: min((e + 1) / 5, 1, 5 / (e + 1)), lambda e: half_wave(e % 10 / 10)],
}
