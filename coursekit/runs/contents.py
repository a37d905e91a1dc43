"""results/README.md: what the store holds, notebook by notebook: what was run, how long it took, what came of it."""

import json
from collections import defaultdict
from pathlib import Path

from coursekit import files
from coursekit.analysis.history import Spread
from coursekit.runs import store
from coursekit.runs.store import Result

OUTCOMES = ("best_test_accuracy", "test_accuracy")
HEAD = """# Results

One file for each finished run, named by variant, seed and the first digits of its key. A file holds the configuration,
one line for each epoch, the final metrics, and where, when and with which commit the run was made. Notebooks find a run
by its key and replay it; `coursekit audit N` retrains N of them and compares every digit. `coursekit results` writes
this page.
"""


def write(path: Path) -> None:
    """Write the table of contents of the store to a file."""
    files.write_bytes(path, text().encode())


def text() -> str:
    """The table of contents as Markdown."""
    return HEAD + "".join(
        _section(folder) for folder in sorted(store.folder().iterdir()) if folder.is_dir() and any(_runs(folder))
    )


def _runs(folder: Path):
    for file in sorted(folder.glob("*-????????.json")):
        yield store.read(file)


def _section(folder: Path) -> str:
    variants: dict[tuple, list[Result]] = defaultdict(list)
    for run in _runs(folder):
        rest = {name: value for name, value in run.experiment.items() if name not in ("seed", "measure", "probe")}
        variants[run.name, json.dumps(rest, sort_keys=True)].append(run)
    minutes = sum(run.provenance["seconds"] for runs in variants.values() for run in runs) / 60
    count = sum(map(len, variants.values()))
    lines = [f"\n## {folder.name}\n", f"{count} results, {minutes:,.0f} minutes.\n"]
    lines += ["| run | seeds | epochs | minutes each | test accuracy | made on |", "|---|---|---|---|---|---|"]
    lines += [f"| {_label(runs[0])} | {' | '.join(_row(runs))} |" for runs in variants.values()]
    return "\n".join([*lines, ""])


def _label(run: Result) -> str:
    """The variant, or a call with its arguments."""
    if "optimizer" in run.experiment:
        return run.name
    given = {name: value for name, value in run.experiment.items() if name not in ("call", "seed", "data_sha256")}
    return f"{run.name}({', '.join(f'{name}={_short(value)}' for name, value in given.items())})"


def _short(value) -> str:
    call = value.get("call") if isinstance(value, dict) else None
    return call if isinstance(call, str) else str(value).replace("|", "/")


def _row(runs: list[Result]) -> tuple[str, ...]:
    first = runs[0]
    size = first.experiment.get("train_size")
    epochs = f"{first.experiment['epochs']}" if "optimizer" in first.experiment else "–"
    each = sum(run.provenance["seconds"] for run in runs) / len(runs) / 60
    diverged = sum(run.status != "ok" for run in runs)
    outcome = next((name for name in OUTCOMES if all(name in run.metrics for run in runs)), None)
    reached = f"{Spread(run.metrics[outcome] for run in runs):.4f}" if outcome else "–"
    devices = ", ".join(sorted({run.provenance["device"] for run in runs}))
    return (
        str(len(runs)),
        epochs + (f" of {size:,} images" if size else ""),
        f"{each:.1f}",
        f"{diverged} of {len(runs)} diverged" if diverged else reached,
        f"{devices}, {max(run.provenance['date'] for run in runs)}",
    )
