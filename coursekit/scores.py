"""What the notebooks measured for the published numbers: one small file for each number and profile."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from coursekit import results, storage


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
    text = json.dumps(asdict(score), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    content = f'{{"sha256":"{storage.sha256(text.encode())}","score":{text}}}\n'.encode()
    path = _path(score.profile, score.id)
    if not path.is_file() or path.read_bytes() != content:  # so that a replay works in a read-only folder
        storage.write_bytes(path, content)


def load(profile: str, id: str) -> Score | None:
    """The score of this id, or None. A damaged file counts as none, and one line on stderr says so."""
    path = _path(profile, id)
    if not path.is_file():
        return None
    try:
        head, text = path.read_bytes().decode().rstrip("\n").split(',"score":', 1)
        if json.loads(head + "}")["sha256"] != storage.sha256(text[:-1].encode()):
            raise ValueError("sha256 differs")
        return Score(**json.loads(text[:-1]))
    except (OSError, ValueError, TypeError, KeyError) as error:
        what = f"warning: score {profile}/{path.name} is damaged ({error}) and counts as not run"
        print(f"{what}; the notebook that records it writes it anew", file=sys.stderr)
        return None


def _path(profile: str, id: str) -> Path:
    return results.folder() / "scores" / profile / f"{id}.json"
