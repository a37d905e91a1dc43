"""A sweep described in a file: experiments and seeds in plain values, names looked up among ours, nothing evaluated."""

import inspect
import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import get_type_hints

import torch

from coursekit import models
from coursekit.data import augment
from coursekit.errors import UsageError
from coursekit.runs.experiment import Experiment
from coursekit.training import penalties, schedules

CHOICES: dict[str, dict[str, Callable]] = {
    "model": {
        name: getattr(models, name)
        for name in ("MLP", "DeepMLP", "mlp1", "mlp2", "cnn3", "cnn4", "cnn5", "SimpleNN", "LeNet5", "SimpleCNN")
    }
    | {"CNN_B": models.cnn_b, "CNN_C": models.cnn_c, "resnet20": models.resnet20, "resnet": models.resnet},
    "optimizer": {name: getattr(torch.optim, name) for name in ("SGD", "Adam", "AdamW", "RMSprop")}
    | {"ProximalSGD": penalties.ProximalSGD},
    "augment": {"crop_flip": augment.crop_flip},
    "penalty": {"l1": penalties.l1},
}
COURSE = ("Learning_rate", "Scheduler", "Scheduler_param")
OTHERS = (*CHOICES, "seed", "schedule", "probe", "measure")  # the last two are functions of a notebook
PLAIN = {name: kind for name, kind in get_type_hints(Experiment).items() if name not in OTHERS}
NUMBER = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def read(path: Path) -> tuple[dict[str, Experiment], list[int]]:
    """Variants and seeds of a YAML or JSON file; raises UsageError with the place of what cannot be understood.

    On top stand fields of `Experiment` that all variants share, and `seeds`, a list or how many. `exp_dict` holds the
    variants by name: fields that differ, or the course's Learning_rate, Scheduler and Scheduler_param. A model,
    optimizer, augmentation or penalty is a name, or {name: {parameter: value}}.
    """
    content = _numbers(_load(path))
    if not isinstance(content, dict) or not isinstance(content.get("exp_dict"), dict) or not content["exp_dict"]:
        raise UsageError(f"{path}: no exp_dict with a variant in it")
    shared = {name: value for name, value in content.items() if name not in ("exp_dict", "seeds")}
    variants = {}
    for name, own in content["exp_dict"].items():
        if not isinstance(own, dict):
            raise UsageError(f"{path}: {name} is {own!r}, not a dictionary of what is different in it")
        try:
            variants[str(name)] = _experiment(shared | own)
        except UsageError as error:
            raise UsageError(f"{path}: {name}: {error}") from None
    return variants, _seeds(path, content.get("seeds", 1))


def _load(path: Path):
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    try:
        return json.loads(text, object_pairs_hook=_once) if path.suffix == ".json" else _yaml(text)
    except ImportError:
        raise UsageError(f"{path}: install PyYAML to read it, or write it as .json") from None
    except (ValueError, UsageError) as error:
        raise UsageError(f"{path}: {' '.join(str(error).split())}") from None


def _yaml(text: str):
    import yaml

    class Loader(yaml.SafeLoader):  # plain values only
        pass

    Loader.add_constructor(Loader.DEFAULT_MAPPING_TAG, lambda loader, node: _once(loader.construct_pairs(node, True)))
    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, TypeError) as error:
        raise ValueError(error) from None


def _once(pairs: list[tuple]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [str(name) for name, _ in pairs]
        raise UsageError(f"{next(name for name in names if names.count(name) > 1)} stands there twice")
    return found


def _numbers(value):
    """YAML takes 1e-4 for a word."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return float(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value


def _seeds(path: Path, given) -> list[int]:
    seeds = list(range(given)) if isinstance(given, int) else given
    if not isinstance(seeds, list) or not seeds or not all(isinstance(seed, int) for seed in seeds):
        raise UsageError(f"{path}: seeds is {given!r}; give a list of whole numbers, or how many")
    return seeds


def _experiment(setting: Mapping) -> Experiment:
    known = [*CHOICES, *PLAIN, "schedule", *COURSE]
    for name in setting:
        if name not in known:
            raise UsageError(f"no {name!r}; choose {', '.join(known)}")
    missing = [name for name in ("model", "optimizer", "data", "epochs", "batch_size") if name not in setting]
    if missing:
        raise UsageError(f"{missing[0]} is missing")
    chosen = {kind: _choose(kind, setting[kind]) for kind in CHOICES if setting.get(kind) is not None}
    plain = {name: _plain(name, setting[name]) for name in PLAIN if name in setting}
    schedule = setting.get("schedule")
    if schedule is not None and "Scheduler" in setting:
        raise UsageError("schedule and Scheduler say the same; give one of them")
    if any(name in setting for name in COURSE):
        course = {"Scheduler": "Constant", "Scheduler_param": {}} | {n: setting[n] for n in COURSE if n in setting}
        lr, of_course = schedules.from_course(course)
        chosen["optimizer"] = partial(chosen["optimizer"], lr=lr)
    if "Scheduler" in setting:
        schedule = of_course
    elif schedule is not None:
        schedule = _choose("schedule", schedule)
    _try(chosen)
    return Experiment(**chosen, **plain, schedule=schedule)


def _choose(kind: str, given) -> Callable:
    """A name, or {name: {parameter: value}}, as the thing itself or a partial of it."""
    name, options = next(iter(given.items())) if isinstance(given, dict) and len(given) == 1 else (given, {})
    found = schedules.SCHEDULES if kind == "schedule" else CHOICES[kind]
    if not isinstance(name, str) or name not in found or not isinstance(options or {}, dict):
        raise UsageError(f"no {kind} {given!r}; choose {', '.join(found)}, alone or as {{name: {{parameter: value}}}}")
    if kind == "schedule":
        return schedules.from_course({"Learning_rate": 1, "Scheduler": name, "Scheduler_param": options or {}})[1]
    unknown = set(options or {}) - set(inspect.signature(found[name]).parameters)
    if unknown:
        raise UsageError(f"{name} has no {sorted(unknown)[0]!r}")
    return partial(found[name], **options) if options else found[name]


def _plain(name: str, value):
    """A value of the type that the field has."""
    if name == "classes" and isinstance(value, list) and all(isinstance(item, int) for item in value):
        return tuple(value)
    wanted = {float: float | int, tuple[int, ...] | None: type(None)}.get(PLAIN[name], PLAIN[name])
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise UsageError(f"{name} is {value!r}; it takes {getattr(PLAIN[name], '__name__', PLAIN[name])}")
    return value


def _try(chosen: Mapping[str, Callable]) -> None:
    """Find out now, not in a worker, what a model and an optimizer do not take."""
    for kind, make in (("model", chosen["model"]), ("optimizer", partial(chosen["optimizer"], [torch.zeros(1)]))):
        try:
            made = make()
        except (TypeError, ValueError) as error:
            raise UsageError(f"{kind}: {error}") from None
        del made
