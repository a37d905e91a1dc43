"""The results store: one readable file for each finished run, with its digest and where it was made, found by key."""

import contextlib
import datetime
import functools
import io
import math
import os
import pickle
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from coursekit import __version__, files, settings
from coursekit.data.datasets import Dataset
from coursekit.errors import StorageError


@dataclass
class Result:
    """One run: status "ok" or "diverged", history rows, probes, final metrics, and the provenance of all of them."""

    key: str
    name: str
    status: str
    experiment: dict
    history: list[dict]
    probes: list[dict]
    metrics: dict
    provenance: dict
    replayed: bool = field(default=False, compare=False)

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.experiment.get("seed", 0)

    def final(self, metric: str) -> float:
        """What was measured after the training; nan for a run that diverged."""
        return self.metrics[metric] if self.metrics else math.nan

    def last(self, metric: str) -> float:
        """The value of the last epoch."""
        return self.history[-1][metric] if self.history else math.nan

    def best(self, metric: str) -> float:
        """The highest value of all epochs, of a loss the lowest."""
        choose = min if metric.endswith("loss") else max
        return choose((row[metric] for row in self.history), default=math.nan)

    def first_epoch(self, metric: str, level: float) -> float:
        """The first epoch that reaches a level, a loss from above; infinite where none does."""
        sign = -1 if metric.endswith("loss") else 1
        return next((row["epoch"] for row in self.history if sign * row[metric] >= sign * level), math.inf)


def folder() -> Path:
    """COURSEKIT_RESULTS, or results/ of the workbook that this package is part of, or results/ here."""
    given = os.environ.get("COURSEKIT_RESULTS")
    workbook = Path(__file__).parents[2] / "results"
    return Path(given) if given else workbook if workbook.is_dir() else Path("results")


def running(key: str) -> Path:
    """Where the checkpoints of this run are while it trains."""
    return folder() / "running" / key[:16]


def path(result: Result) -> Path:
    """Where a result is kept: the folder of its notebook, then variant, seed and the first eight digits of its key."""
    variant = re.sub(r"[^A-Za-z0-9.=]+", "-", result.name).strip("-.")[:60] or "run"
    seed = f"-seed{result.seed}" if {"seed", "optimizer"} & result.experiment.keys() else ""
    return folder() / settings.notebook() / f"{variant}{seed}-{result.key[:8]}.json"


def save(result: Result) -> Path:
    """Write a result, over the one of the same key; numbers keep six digits, which is more than any run reproduces."""
    file = _where(result)
    files.write_json(file, _body(result))
    return file


def read(file: Path) -> Result:
    """The result that `save` wrote to this file; raises ValueError or TypeError where it is none."""
    return _result(files.read_json(file))


def _body(result: Result) -> dict:
    """What a file holds: probes, of which there are thousands, by column where each has the same names."""
    body = {name: value for name, value in asdict(result).items() if name != "replayed"}
    names = {tuple(row) for row in result.probes}
    if len(names) == 1:
        body["probes"] = {name: [row[name] for row in result.probes] for name in names.pop()}
    return body


def _result(body: dict) -> Result:
    probes = body.get("probes")
    if isinstance(probes, dict):
        rows = zip(*probes.values(), strict=True)
        body = body | {"probes": [dict(zip(probes, row, strict=True)) for row in rows]}
    return Result(**body)


def keep(result: Result, weights: dict | None = None) -> Result:
    """Save a result just made, with weights where there are any; returns it with the digits that later calls will see.

    Where it cannot be saved a warning says so: hours of work outlive a full disk.
    """
    try:
        if weights is not None:
            result.provenance["weights_sha256"] = save_weights(result, weights)
        save(result)
    except StorageError as error:
        print(f"warning: the result of {result.name or 'this run'} is not kept: {error}", file=sys.stderr)
    return _result(files.as_read(_body(result)))


def load(key: str) -> Result | None:
    """The result of this key, or None. A damaged file is set aside as *.corrupt with a warning, and counts as none."""
    return next((result for _, result in _kept(key)), None)


def _kept(key: str) -> Iterator[tuple[Path, Result]]:
    """File and result of this key, in the folder of whichever notebook made it."""
    for file in folder().glob(f"*/*-{key[:8]}.json"):
        try:
            result = replace(read(file), replayed=True)
        except OSError:
            continue
        except (ValueError, TypeError, RecursionError) as error:
            print(f"warning: result {file.name} is damaged ({error}); it is set aside and run again", file=sys.stderr)
            with contextlib.suppress(OSError):  # another process did it, or this folder is read-only
                file.replace(file.with_suffix(".corrupt"))
            continue
        if result.key == key:
            yield file, result


def _where(result: Result) -> Path:
    """The file of its key, or the one it will have."""
    return next((file for file, _ in _kept(result.key)), path(result))


def save_weights(result: Result, state: dict) -> str:
    """Keep a state_dict beside a result; returns the SHA-256 that its provenance has to carry."""
    buffer = io.BytesIO()
    torch.save({name: value.cpu() for name, value in state.items()}, buffer)
    files.write_bytes(_where(result).with_suffix(".pt"), buffer.getvalue())
    return files.sha256(buffer.getvalue())


def load_weights(result: Result) -> dict | None:
    """The state_dict that was kept with a result, on the CPU; None where there is none, or another than was saved.

    Raises StorageError for a file that holds code.
    """
    file = _where(result).with_suffix(".pt")
    try:
        content = file.read_bytes()
    except OSError:
        return None
    if files.sha256(content) != result.provenance.get("weights_sha256"):
        print(f"warning: weights {file.name} are not those that were saved; not used", file=sys.stderr)
        return None
    try:
        return torch.load(io.BytesIO(content), weights_only=True)
    except pickle.UnpicklingError:
        raise StorageError(f"{file} contains code, refused; delete it") from None


def provenance(dataset: Dataset | None) -> dict:
    """Where, when, with what and on which pixels something is computed now."""
    return {
        "device": settings.device_name(),
        "processor": settings.processor(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "coursekit": __version__,
        "commit": _commit(),
        "profile": settings.profile(),
        "source": dataset.source if dataset else "drawn by code",
        "data_sha256": dataset.sha256 if dataset else "",
        "date": datetime.date.today().isoformat(),
    }


@functools.cache
def _commit() -> str:
    """The commit of the code, with a + where it was changed since; nothing where there is no git."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+", "--exclude=*"]
    with contextlib.suppress(OSError):
        return subprocess.run(git, capture_output=True, text=True).stdout.strip()
    return ""
