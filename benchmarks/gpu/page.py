"""docs/gpu.md, of the JSON that the checks wrote: no number on it is typed."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.page import table
from coursekit import files

TEXT = """# On a GPU

`make check-gpu` asks on a machine with a GPU whether everything that the course trains computes there what it computes
on a CPU, and how fast. It takes at most {minutes:.0f} minutes, and writes one JSON file for each check into
`docs/gpu/cuda`, and this page. Where torch sees no GPU it says so and does nothing. The same script is rehearsed on a
CPU by `python -m benchmarks.gpu --device cpu --short`.

{known}

## What is compared, and how closely

Every tolerance was stated before any GPU was seen.

- *Two devices* add the same numbers in another order: results differ in the last bits, and each step of a training
  multiplies what differs so far. The first loss is held to the rounding of one forward pass; twenty steps to what a CPU
  shows when the weights are changed by a rounding error, with a margin. Deep networks with BatchNorm have more of both,
  and a smaller learning rate. In double precision nothing grows within twenty steps: a wrong formula cannot hide there.
- *TF32*, torch's default for convolutions on a GPU, keeps ten bits. It is off where float32 is compared; timings and
  the long trainings have torch's defaults.
- *Single and stacked, interrupted and resumed, repeated* are compared on the device itself. Resumed is with cuDNN's
  deterministic kernels, as it is about checkpoints; repeated is with those that cuDNN chooses.
- *Waits* are counted in three ways: calls from Python that wait, torch's own warnings (`set_sync_debug_mode`), and
  calls of CUDA's runtime as the profiler sees them. A loop that waits on purpose has to be noticed by each of them.

A rehearsal has no second device. It compares the CPU with itself, without oneDNN on one side, so that convolutions in
float32 round otherwise; networks without one, and double precision, are equal by themselves. Only calls from Python are
counted. Timings are of a few steps, the long trainings are an epoch of a few drawn images, and neither is judged.
"""
NO_GPU = """**No GPU has been at hand so far.** What stands below was computed on a CPU: a rehearsal, which shows that
the checks run, and that they hold where the answer is known."""
WITH_GPU = "The checks ran on {device}, {date}, commit {commit}: {verdicts}."
MARKS = {True: "✓", False: "✗", None: "not judged"}
TITLES = {"cuda": "On the GPU", "cpu": "The rehearsal on a CPU"}


def whole(folder: Path, order: Sequence[str], seconds: float) -> str:
    """The page of the runs that lie in a folder, one for each kind of device."""
    runs = {device: _read(folder / device, order) for device in TITLES}
    known = (
        WITH_GPU.format(**runs["cuda"][0]["provenance"], verdicts=_counted(runs["cuda"])) if runs["cuda"] else NO_GPU
    )
    parts = [TEXT.format(known=known, minutes=seconds / 60)]
    parts += [_run(TITLES[device], checks) for device, checks in runs.items() if checks]
    return "\n".join(parts)


def _read(folder: Path, order: Sequence[str]) -> list[dict]:
    found = {path.stem: files.read_json(path) for path in folder.glob("*.json")}
    return [found[name] for name in order if name in found]


def _counted(checks: list[dict]) -> str:
    verdicts = [check["verdict"] for check in checks]
    return f"of {len(checks)} checks " + ", ".join(f"{verdicts.count(w)} {w}" for w in dict.fromkeys(verdicts))


def _run(title: str, checks: list[dict]) -> str:
    own = checks[0]["provenance"]
    where = [own["device"], own["processor"], f"torch {own['torch']}", own["source"], own["date"]]
    where += [f"CUDA {own['cuda']}, cuDNN {own['cudnn']}"] if "cuda" in own else []
    where += [f"commit {own['commit']}", "short" if own["short"] else "in full"]
    rows = [
        [
            f"[{check['check']}](#{_anchor(title, check)})",
            *(check[name] for name in ("asks", "tolerance")),
            _cases(check),
            check["verdict"],
            f"{check['seconds']:.0f}",
        ]
        for check in checks
    ]
    head = ["check", "question", "holds within", "cases that hold", "verdict", "seconds"]
    parts = [f"## {title}\n", " · ".join(where) + f". {_counted(checks).capitalize()}.\n", table(head, rows) + "\n"]
    return "\n".join(parts + [_details(title, check) for check in checks])


def _cases(check: dict) -> str:
    held = [row["holds"] for row in check["cases"] if row["holds"] is not None]
    return f"{sum(held)} of {len(held) + len(check['left_out'])}"


def _anchor(title: str, check: dict) -> str:
    return f"{title}: {check['check']}".lower().replace(":", "").replace(" ", "-")


def _details(title: str, check: dict) -> str:
    """Every case with all its numbers, and what was left out."""
    names = list(dict.fromkeys(name for row in check["cases"] for name in row if name != "holds"))
    rows = [[*(_cell(row.get(name, "")) for name in names), MARKS[row["holds"]]] for row in check["cases"]]
    left_out = f"\nLeft out, as time was up: {', '.join(check['left_out'])}.\n" if check["left_out"] else ""
    return f"### {title}: {check['check']}\n\n{table([*names, 'holds'], rows)}\n{left_out}"


def _cell(value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace("|", "\\|")
