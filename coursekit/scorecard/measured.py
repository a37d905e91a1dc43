"""What the notebooks measured for the published numbers: one small file for each number."""

import contextlib
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from coursekit import files
from coursekit.runs import store


@dataclass(frozen=True)
class Score:
    """A row of values for each seed, by the published protocol, and where they were made.

    `runs`: keys of the results behind it. `note`: what a reader has to know beside the verdict.
    """

    id: str
    values: list[list[float]]
    seeds: int
    device: str
    runs: list[str]
    note: str = ""


def save(score: Score) -> None:
    """Write a score under results/scores; one that says what is there already leaves the file alone."""
    path = _path(score.id)
    with contextlib.suppress(OSError, ValueError):  # missing, or damaged
        if files.read_json(path) == files.as_read(asdict(score)):  # so that a replay works in a read-only folder
            return
    files.write_json(path, asdict(score))


def load(id: str) -> Score | None:
    """The score of this id, or None. A damaged file counts as none, and one line on stderr says so."""
    path = _path(id)
    if not path.is_file():
        return None
    try:
        return Score(**files.read_json(path))
    except (OSError, ValueError, TypeError) as error:
        reason = f"warning: score {path.name} is damaged ({error}) and counts as not run"
        print(f"{reason}; the notebook that records it writes it again", file=sys.stderr)
        return None


def _path(id: str) -> Path:
    return store.folder() / "scores" / f"{id}.json"
