import inspect
import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from coursekit.errors import UsageError
from coursekit.training import schedules

EPOCHS = 40


def lrs(make_scheduler) -> list[float]:
    """The lr that each epoch trains with, by a torch scheduler stepped after each epoch."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make_scheduler(optimizer)
    seen = []
    for _ in range(EPOCHS):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def ours(name: str, **param) -> list[float]:
    return lrs(lambda optimizer: lr_scheduler.LambdaLR(optimizer, schedules.SCHEDULES[name](param)))


@pytest.mark.parametrize(
    ("name", "param", "twin"),
    [
        ("StepDecay", dict(step_size=7, gamma=0.3), lambda o: lr_scheduler.StepLR(o, 7, 0.3)),
        (
            "MultiStepDecay",
            dict(milestones=[5, 20, 21], gamma=0.2),
            lambda o: lr_scheduler.MultiStepLR(o, [5, 20, 21], 0.2),
        ),
        ("ExponentialDecay", dict(gamma=0.9), lambda o: lr_scheduler.ExponentialLR(o, 0.9)),
        ("CosineDecay", dict(total=EPOCHS, min_ratio=0.1), lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS, 0.1)),
        ("CosineRestarts", dict(period=10), lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 10)),
        ("CosineRestarts", dict(period=3, mult=2), lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3, 2)),
        ("PolynomialDecay", dict(total=30, power=1.5), lambda o: lr_scheduler.PolynomialLR(o, 30, 1.5)),
    ],
)
def test_schedule_equals_its_torch_twin(name, param, twin):
    assert ours(name, **param) == pytest.approx(lrs(twin), abs=1e-12)


def test_step_decay_of_the_course():
    assert [schedules.step(epoch) for epoch in (0, 9, 10, 19, 20, 29)] == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_cosine_stays_down_where_torchs_rises_again():
    assert schedules.cosine(15, total=10) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert lrs(lambda o: lr_scheduler.CosineAnnealingLR(o, 10))[15] > 0.4


def test_restarts_grow_longer_and_lower():
    values = [schedules.cosine_restarts(count, period=2, mult=2, decay=0.5) for count in range(15)]
    assert [values[i] for i in (0, 2, 6, 14)] == [1, 0.5, 0.25, 0.125]
    assert values[1] == pytest.approx(0.5)


def test_warmup_wastes_no_epoch_and_meets_the_cosine():
    values = [schedules.warmup_cosine(count, warmup=5, total=25) for count in range(26)]
    assert values[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])
    assert values[25] == 0
    assert values[5:] == sorted(values[5:], reverse=True)


@pytest.mark.parametrize("min_ratio", [0.0, 0.2])
def test_one_cycle_is_two_straight_lines_and_flat_from_there_on(min_ratio):
    param = dict(total=20, rise=0.25, start_ratio=0.1, min_ratio=min_ratio)
    values = [schedules.one_cycle(count, **param) for count in range(25)]
    up, down = np.linspace(0.1, 1, 6), np.linspace(1, min_ratio, 16)
    assert values == pytest.approx([*up, *down[1:], *[min_ratio] * 4], abs=1e-12)


@pytest.mark.parametrize(("total", "rise", "peak"), [(20, 0.3, 6), (10, 0.27, 3), (10, 0.24, 2), (10, 0, 1), (3, 1, 3)])
def test_one_cycle_peaks_at_the_nearest_epoch_and_never_at_the_first(total, rise, peak):
    values = [schedules.one_cycle(count, total, rise) for count in range(total + 1)]
    assert [count for count, value in enumerate(values) if value == 1] == [peak]
    assert values[0] == 0.04


RATIO = 0.1
ENDS = {  # count at which each is at its lowest, and its parameters
    "CosineDecay": (20, dict(total=20)),
    "WarmupCosine": (20, dict(warmup=5, total=20)),
    "PolynomialDecay": (20, dict(total=20)),
    "OneCycle": (20, dict(total=20)),
}


@pytest.mark.parametrize("name", ENDS)
def test_min_ratio_is_reached_at_the_end_kept_after_it_and_scales_the_whole_way_down(name):
    end, param = ENDS[name]
    to_zero, to_ratio = (schedules.SCHEDULES[name](param | extra) for extra in ({}, {"min_ratio": RATIO}))
    assert [to_ratio(count) for count in (end, end + 1, 5 * end)] == pytest.approx([RATIO] * 3, abs=1e-12)
    assert [to_zero(count) for count in (end, end + 1, 5 * end)] == pytest.approx([0] * 3, abs=1e-12)
    for count in range(7, end):  # behind every rise
        assert to_ratio(count) == pytest.approx(RATIO + (1 - RATIO) * to_zero(count), abs=1e-12)


def test_a_polynomial_is_its_formula_and_of_second_power_unless_said_otherwise():
    assert [schedules.polynomial(count, 4) for count in range(6)] == pytest.approx([1, 9 / 16, 1 / 4, 1 / 16, 0, 0])
    assert [schedules.polynomial(count, 4, power=1) for count in range(5)] == pytest.approx([1, 0.75, 0.5, 0.25, 0])


def test_restarts_go_down_to_min_ratio_from_every_top():
    values = [schedules.cosine_restarts(count, period=2, decay=0.5, min_ratio=0.1) for count in range(7)]
    assert values == pytest.approx([1, 0.55, 0.5, 0.3, 0.25, 0.175, 0.125])


def test_a_constant_is_one_and_milestones_divide_by_ten():
    assert [schedules.constant(count) for count in (0, 1, 1000)] == [1, 1, 1]
    assert [schedules.multi_step(count, [2, 4]) for count in range(6)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


@given(st.integers(0, 500), st.sampled_from(["CosineDecay", "PolynomialDecay", "OneCycle", "WarmupCosine"]))
def test_multipliers_stay_between_0_and_1(count, name):
    param = dict(total=200) | (dict(warmup=20) if name == "WarmupCosine" else {})
    assert 0 <= schedules.SCHEDULES[name](param)(count) <= 1


def test_exp_dict_of_the_course():
    setting = {"Learning_rate": 0.1, "Scheduler": "StepDecay", "Scheduler_param": {"step_size": 10, "gamma": 0.5}}
    lr, schedule = schedules.from_course(setting)
    assert (lr, schedule(25)) == (0.1, 0.25)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Scheduler": "Magic"}, "no 'Magic' in the schedulers; choose Constant, StepDecay"),
        ({"Scheduler": ["StepDecay"]}, r"no \['StepDecay'\] in"),
        ({"Scheduler_param": {"gama": 1}}, r"StepDecay: step\(\) .*gama"),
        ({"Scheduler_param": {"count": 1}}, r"StepDecay: step\(\) .*count"),
        ({"Scheduler_param": None}, "StepDecay: invalid parameters None"),
        ({"Scheduler_param": {1: 2}}, "StepDecay: invalid parameters "),
        ({"Scheduler_param": {"step_size": 0}}, "StepDecay: invalid step_size 0; expected a whole number ≥ 1"),
        *(({"Learning_rate": lr}, "invalid Learning_rate ") for lr in ("fast", None, 0, -0.1, "nan", 10**400)),
    ],
)
def test_a_wrong_setting_is_one_line(change, message):
    setting = {"Learning_rate": 0.1, "Scheduler": "StepDecay", "Scheduler_param": {}}
    with pytest.raises(UsageError, match=message):
        schedules.from_course(setting | change)
    with pytest.raises(UsageError, match="no 'Learning_rate'"):
        schedules.from_course({})


@pytest.mark.parametrize(
    ("name", "param", "message"),
    [
        ("StepDecay", {"step_size": -3}, "invalid step_size -3; expected a whole number ≥ 1"),
        ("StepDecay", {"step_size": 2.5}, "invalid step_size 2.5"),
        ("StepDecay", {"step_size": True}, "invalid step_size True"),
        ("StepDecay", {"gamma": -1}, "invalid gamma -1; expected a number > 0"),
        ("MultiStepDecay", {"milestones": [20, 5]}, r"invalid milestones \[20, 5\]; .* larger than the one before"),
        ("MultiStepDecay", {"milestones": [5, 5]}, "invalid milestones"),
        ("MultiStepDecay", {"milestones": [-1, 5]}, "invalid milestones"),
        ("MultiStepDecay", {"milestones": 5}, "invalid milestones"),
        ("MultiStepDecay", {"milestones": "ab"}, "invalid milestones"),
        ("MultiStepDecay", {}, "missing a required argument: 'milestones'"),
        ("ExponentialDecay", {"gamma": "0.9"}, "invalid gamma '0.9'"),
        ("ExponentialDecay", {"gamma": math.inf}, "invalid gamma inf"),
        ("CosineDecay", {"total": -3}, "invalid total -3"),
        ("CosineDecay", {"total": 10, "min_ratio": 1.5}, "invalid min_ratio 1.5; expected a number from 0 to 1"),
        ("CosineRestarts", {"period": 0}, "invalid period 0"),
        ("CosineRestarts", {"period": math.nan}, "invalid period nan"),
        ("CosineRestarts", {"period": 4, "mult": 0.5}, "invalid mult 0.5"),
        ("CosineRestarts", {"period": 4, "decay": 0}, "invalid decay 0"),
        ("WarmupCosine", {"warmup": 5, "total": 5}, "invalid warmup 5; expected less than total, 5"),
        ("WarmupCosine", {"warmup": -1, "total": 5}, "invalid warmup -1"),
        ("PolynomialDecay", {"total": 10, "power": -2}, "invalid power -2"),
        ("OneCycle", {"total": math.inf}, "invalid total inf"),
        ("OneCycle", {"total": 10, "rise": -0.1}, "invalid rise -0.1"),
    ],
)
def test_a_parameter_out_of_range_is_one_line_before_the_first_step(name, param, message):
    with pytest.raises(UsageError, match=f"^{name}[: ].*{message}") as caught:
        schedules.SCHEDULES[name](param)
    assert "\n" not in str(caught.value)


def test_every_parameter_has_a_range():
    for name, factory in schedules.SCHEDULES.items():
        function = factory({"milestones": [1]} if name == "MultiStepDecay" else REQUIRED.get(name, {})).func
        parameters = list(inspect.signature(function).parameters)[1:]
        assert set(parameters) <= {*schedules.RANGES, "milestones"}


REQUIRED = {
    "ExponentialDecay": {"gamma": 0.9},
    "CosineDecay": {"total": 5},
    "CosineRestarts": {"period": 5},
    "WarmupCosine": {"warmup": 0, "total": 5},
    "PolynomialDecay": {"total": 5},
    "OneCycle": {"total": 5},
}


@pytest.mark.parametrize("options", [{"period": 0}, {"period": -2}, {"period": 4, "mult": 0.5}, {"period": 1e-300}])
def test_restarts_without_an_end_are_refused_by_the_function_itself(options):
    with pytest.raises(UsageError, match="both must be at least 1"):
        schedules.cosine_restarts(9, **options)


@given(st.sampled_from(sorted(schedules.SCHEDULES)), st.data())
def test_what_a_factory_takes_has_a_rate_in_every_epoch(name, data):
    counts = st.one_of(st.integers(-2, 12), st.sampled_from([0.5, 12.0, math.nan]))
    numbers = st.one_of(st.floats(-0.5, 1.5), st.sampled_from([0, 1, math.nan, math.inf]))
    kinds = dict.fromkeys(("step_size", "total", "period", "mult", "warmup"), counts)
    kinds["milestones"] = st.lists(counts, max_size=3)
    taken = REQUIRED.get(name, {}).keys() | ({"milestones"} if name == "MultiStepDecay" else set())
    try:
        schedule = schedules.SCHEDULES[name]({key: data.draw(kinds.get(key, numbers), label=key) for key in taken})
    except UsageError:
        return
    rates = [schedule(epoch) for epoch in range(40)]
    assert all(math.isfinite(rate) and rate >= 0 for rate in rates)
