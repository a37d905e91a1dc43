"""`make check-gpu`: every check on the GPU, at most eight minutes; docs/gpu.md is made of what they wrote."""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.gpu import page, same, speed, waits
from benchmarks.gpu.cases import Cases, Row, Setup
from coursekit import files, settings
from coursekit.runs import store

FOLDER = Path("docs/gpu")
SECONDS = 480  # all checks together, on a GPU
PATIENCE = 5  # times as long in a rehearsal


@dataclass(frozen=True)
class Check:
    """A question with its cases, what counts as yes, and the seconds that it may take, after which no case begins."""

    name: str
    cases: Callable[[Setup], Cases]
    asks: str
    tolerance: str
    seconds: float


CHECKS = (
    Check("data", same.data, "Are batches and augmentation made on the device, with the same pixels?", "every bit", 10),
    Check(
        "devices",
        same.devices,
        "Does every network, optimizer and option compute on the device what it computes on the CPU, in float32?",
        f"relative: first loss {same.FIRST_LOSS:g}; first gradient {same.FIRST_GRADIENT:g}, of twenty layers "
        f"{same.FIRST_GRADIENT_DEEP:g}; 20 losses and the test loss {same.TWENTY_STEPS:g}, of twenty layers "
        f"{same.TWENTY_STEPS_DEEP:g}",
        70,
    ),
    Check("float64", same.float64, "The same in double precision?", f"relative: {same.FLOAT64:g}", 40),
    Check(
        "experiment",
        same.experiments,
        "Does `experiment.run` give the same losses as in a process that sees no GPU?",
        f"relative: {same.TWENTY_STEPS:g}",
        25,
    ),
    Check(
        "stacks",
        same.stacks,
        "Are runs that are trained as one those that are trained by themselves?",
        f"as for two devices: {same.FIRST_LOSS:g}, {same.FIRST_GRADIENT:g}, {same.TWENTY_STEPS:g}",
        25,
    ),
    Check(
        "bfloat16",
        same.precisions,
        "Does bfloat16 under autocast train as float32 does, and is it used?",
        f"relative: first loss more than {same.USED:g}, 20 losses at most {same.BFLOAT16:g}",
        20,
    ),
    Check("resume", same.resumes, "Is a training that Ctrl-C interrupted taken up exactly?", "every bit", 25),
    Check(
        "repeat",
        same.repeats,
        "Does a training give the same numbers twice, with torch's own choices?",
        "every bit",
        20,
    ),
    Check("waits", waits.waits, "Does the CPU never wait for the device within an epoch?", "0; on purpose ≥ 10", 25),
    Check(
        "benchmark",
        speed.benchmark,
        "Is our loop faster than a course's?",
        f"on a GPU ≥ {speed.BARS['0']:g} times as fast as with 0 workers, ≥ {speed.BARS['2']:g} with 2",
        50,
    ),
    Check(
        "resnet20",
        speed.resnet20,
        "How long do 30 epochs of ResNet-20 take, and do they reach what a CPU reaches?",
        f"on the real data: test accuracy ≥ {speed.RESNET_20:g}",
        80,
    ),
    Check(
        "sweep",
        speed.sweep,
        "How long do six learning rates of SimpleNN take, 30 epochs as one?",
        f"on the real data: validation accuracy within {speed.ONE_SEED:g} published tolerances",
        80,
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks, or only make the page; 0 if all hold that are judged, or where there is no GPU."""
    options = _options(arguments)
    into = options.into / options.device
    if not options.report:
        if options.device == "cpu":
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before anything asks for a GPU: a rehearsal is one everywhere
        elif not torch.cuda.is_available():
            print(f"skipped: torch {torch.__version__} sees no GPU (it is built for CUDA {torch.version.cuda})")
            return 0
        for old in into.glob("*.json"):
            old.unlink()
    setup = Setup(torch.device(options.device), options.short)
    chosen = [] if options.report else [check for check in CHECKS if not options.only or check.name in options.only]
    verdicts = run(chosen, setup, into, 1 if setup.is_gpu else PATIENCE)
    page_file = options.into.with_suffix(".md")
    files.write_bytes(page_file, page.whole(options.into, [check.name for check in CHECKS], SECONDS).encode())
    return int(any(verdict in ("fails", "unfinished") for verdict in verdicts))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a rehearsal")
    parser.add_argument("--short", action="store_true", help="small batches, drawn data, one epoch")
    parser.add_argument("--into", type=Path, default=FOLDER, metavar="FOLDER", help=f"default {FOLDER}")
    parser.add_argument("--only", nargs="+", choices=[check.name for check in CHECKS], metavar="CHECK")
    parser.add_argument("--report", action="store_true", help="only make the page of what lies in the folder")
    return parser.parse_args(arguments)


def run(checks: Sequence[Check], setup: Setup, into: Path, patience: float = 1) -> list[str]:
    """The verdict of each; what is found is on disk after every case."""
    end, verdicts = time.perf_counter() + patience * SECONDS, []
    for check in checks:
        limit = min(patience * check.seconds, end - time.perf_counter())
        found = perform(check, setup, limit, into / f"{check.name}.json")
        verdicts.append(found["verdict"])
        print(f"{check.name}: {found['verdict']}, {len(found['cases'])} cases, {found['seconds']:.0f} s", flush=True)
    return verdicts


def perform(check: Check, setup: Setup, limit: float, path: Path) -> dict:
    """One check; a case that raises is one that does not hold, and a case that would begin too late is left out."""
    start = time.perf_counter()
    setup.deadline = start + limit
    found = {"check": check.name, "asks": check.asks, "tolerance": check.tolerance, "verdict": "unfinished"}
    found |= {"seconds": 0.0, "limit": limit, "left_out": [], "cases": []}
    path.parent.mkdir(parents=True, exist_ok=True)
    provenance = _provenance(setup)
    for name, case in _listed(check, setup).items():
        if time.perf_counter() > setup.deadline:
            found["left_out"].append(name)
            continue
        row = _attempt(case)
        found["cases"].append({"case": name, **row})
        found["seconds"] = time.perf_counter() - start
        if row["holds"] is False:
            print(f"  {check.name}: {name}: {row}", file=sys.stderr)
        files.write_json(path, found | {"provenance": provenance})
    found["verdict"] = _verdict([row["holds"] for row in found["cases"]], found["left_out"])
    files.write_json(path, found | {"provenance": provenance})
    return found


def _verdict(held: Sequence[bool | None], left_out: Sequence[str]) -> str:
    if False in held:
        return "fails"
    if left_out or not held:
        return "unfinished"
    return "holds" if True in held else "not judged"


def _listed(check: Check, setup: Setup) -> Cases:
    """The cases of a check; one that raises, where they cannot even be listed."""
    try:
        return check.cases(setup)
    except Exception as error:
        return {"the cases themselves": lambda error=error: {"error": _in_a_line(error), "holds": False}}


def _attempt(case: Callable[[], Row]) -> Row:
    try:
        return case()
    except Exception as error:
        return {"error": _in_a_line(error), "holds": False}


def _in_a_line(error: Exception) -> str:
    return traceback.format_exception_only(error)[-1].splitlines()[0]


def _provenance(setup: Setup) -> dict:
    """Where, when and with what; on a GPU with its libraries, too."""
    found = store.provenance(setup.load("cifar10")) | {"short": setup.short, "threads": torch.get_num_threads()}
    if setup.is_gpu:
        properties = torch.cuda.get_device_properties(setup.device)
        found |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
        found |= {"capability": f"{properties.major}.{properties.minor}", "GB": properties.total_memory / 1e9}
    return found | {"gains by bfloat16": settings.gains_by_bfloat16()}


if __name__ == "__main__":
    sys.exit(main())
