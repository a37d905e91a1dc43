"""What the notebooks measured for the published numbers: one small file for each number and profile."""

import contextlib
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from coursekit import files
from coursekit.runs import store


@dataclass(frozen=True)
class Score:
    """A row of values for each seed, and where they were made.

    `complete`: whether the runs followed the published protocol to its end. `runs`: keys of the results behind it.
    """

    id: str
    values: list[list[float]]
    seeds: int
    epochs: int | None
    complete: bool
    profile: str
    device: str
    runs: list[str]


def save(score: Score) -> None:
    """Write a score under results/scores; one that says what is there already leaves the file alone."""
    path = _path(score.profile, score.id)
    with contextlib.suppress(OSError, ValueError):  # missing, or damaged
        if files.read_json(path) == files.as_read(asdict(score)):  # so that a replay works in a read-only folder
            return
    files.write_json(path, asdict(score))


def load(profile: str, id: str) -> Score | None:
    """The score of this id, or None. A damaged file counts as none, and one line on stderr says so."""
    path = _path(profile, id)
    if not path.is_file():
        return None
    try:
        return Score(**files.read_json(path))
    except (OSError, ValueError, TypeError) as error:
        reason = f"warning: score {profile}/{path.name} is damaged ({error}) and counts as not run"
        print(f"{reason}; the notebook that records it writes it anew", file=sys.stderr)
        return None


def _path(profile: str, id: str) -> Path:
    return store.folder() / "scores" / profile / f"{id}.json"
