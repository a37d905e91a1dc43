"""Finished runs on disk: one immutable file for each key, with its digest and where it was made."""

import contextlib
import io
import json
import os
import pickle
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from coursekit import storage
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


def folder() -> Path:
    """COURSEKIT_RESULTS, or results/ of the workbook that this package is part of, or results/ here."""
    given = os.environ.get("COURSEKIT_RESULTS")
    workbook = Path(__file__).parents[1] / "results"
    return Path(given) if given else workbook if workbook.is_dir() else Path("results")


def save(result: Result) -> Path:
    """Write a result under its key; numbers keep six significant digits, which is more than any run reproduces."""
    text = _text(result)
    file = path(result.key)
    storage.write_bytes(file, f'{{"sha256":"{storage.sha256(text.encode())}","result":{text}}}\n'.encode())
    return file


def _text(result: Result) -> str:
    body = {name: _rounded(value) for name, value in asdict(result).items() if name != "replayed"}
    return json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=True)


def keep(result: Result, weights: dict | None = None) -> Result:
    """Save a result just made, with weights where there are any; returns it with the digits that later calls will see.

    Where it cannot be saved a warning says so: hours of work outlive a full disk.
    """
    try:
        if weights is not None:
            result.provenance["weights_sha256"] = save_weights(result.key, weights)
        save(result)
    except StorageError as error:
        print(f"warning: the result of {result.name or 'this run'} is not kept: {error}", file=sys.stderr)
    return Result(**json.loads(_text(result)))


def load(key: str) -> Result | None:
    """The result of this key, or None. A damaged file is set aside as *.corrupt with a warning, and counts as none."""
    file = path(key)
    try:
        content = file.read_bytes()
    except OSError:
        return None
    try:
        head, text = content.decode().rstrip("\n").split(',"result":', 1)
        text = text[:-1]
        if json.loads(head + "}")["sha256"] != storage.sha256(text.encode()):
            raise ValueError("sha256 differs")
        return Result(**json.loads(text), replayed=True)
    except (ValueError, TypeError, KeyError) as error:
        print(f"warning: result {file.name} is damaged ({error}); it is set aside and run again", file=sys.stderr)
        with contextlib.suppress(OSError):  # another process did it, or this folder is read-only
            file.replace(file.with_suffix(".corrupt"))
        return None


def save_weights(key: str, state: dict) -> str:
    """Keep a state_dict beside the result of this key; returns the SHA-256 that its provenance has to carry."""
    buffer = io.BytesIO()
    torch.save({name: value.cpu() for name, value in state.items()}, buffer)
    storage.write_bytes(path(key).with_suffix(".pt"), buffer.getvalue())
    return storage.sha256(buffer.getvalue())


def load_weights(result: Result) -> dict | None:
    """The state_dict that was kept with a result, on the CPU; None where there is none, or another than was saved.

    Raises StorageError for a file that holds code.
    """
    try:
        content = path(result.key).with_suffix(".pt").read_bytes()
    except OSError:
        return None
    if storage.sha256(content) != result.provenance.get("weights_sha256"):
        print(f"warning: weights {result.key[:24]}.pt are not those that were saved; not used", file=sys.stderr)
        return None
    try:
        return torch.load(io.BytesIO(content), weights_only=True)
    except pickle.UnpicklingError:
        raise StorageError(f"{path(result.key).with_suffix('.pt')} contains code, refused; delete it") from None


def path(key: str) -> Path:
    """Where the result of this key is, or would be."""
    return folder() / f"{key[:24]}.json"


def _rounded(value):
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
