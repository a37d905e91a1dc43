"""Finished runs on disk: one immutable file for each key, with its digest and where it was made."""

import json
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from coursekit import storage


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
    body = {name: _rounded(value) for name, value in asdict(result).items() if name != "replayed"}
    text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=True)
    path = _path(result.key)
    storage.write_bytes(path, f'{{"sha256":"{storage.sha256(text.encode())}","result":{text}}}\n'.encode())
    return path


def load(key: str) -> Result | None:
    """The result of this key, or None. A damaged file is set aside as *.corrupt with a warning, and counts as none."""
    path = _path(key)
    try:
        content = path.read_bytes()
    except OSError:
        return None
    try:
        head, text = content.decode().rstrip("\n").split(',"result":', 1)
        text = text[:-1]
        if json.loads(head + "}")["sha256"] != storage.sha256(text.encode()):
            raise ValueError("sha256 differs")
        return Result(**json.loads(text), replayed=True)
    except (ValueError, TypeError, KeyError) as error:
        print(f"warning: result {path.name} is damaged ({error}); it is set aside and run again", file=sys.stderr)
        path.replace(path.with_suffix(".corrupt"))
        return None


def _path(key: str) -> Path:
    return folder() / f"{key[:24]}.json"


def _rounded(value):
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
