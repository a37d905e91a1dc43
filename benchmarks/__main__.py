"""`make bench`: ours beside the courses' way and other libraries; prints it all and writes docs/benchmarks.md."""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from benchmarks import bars, page, timing
from benchmarks.peers.measure import Plan, peers
from benchmarks.sweeps import InProcesses, evaluation_ways, stacked_way
from benchmarks.workloads import (
    MLP,
    SIMPLE_NN,
    WORKLOADS,
    CoursesWay,
    OurWay,
    Workload,
    forever,
    load,
    our_batches,
    seeded,
)
from coursekit import models, settings
from coursekit.data.datasets import Dataset

PARTS = ("loops", "peers", "sweeps", "evaluations", "costs", "scaling")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="sample data, one round of a few steps: a test")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/benchmarks.md"), metavar="FILE")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="default 7")
    options = parser.parse_args(arguments)
    size = 256 if options.quick else 2048
    peaks = {str(dtype)[6:]: timing.matmul_peak(dtype, size) for dtype in (torch.float32, torch.bfloat16)}
    datasets = {name: load(name, options.quick) for name in ("mnist", "cifar10")}
    described = machine() | {"peaks": peaks, "rounds": options.rounds, "data": sources(datasets)}
    measured = measure(options.only or PARTS, datasets, peaks, options.rounds, options.quick)
    found = joined(options.output.with_suffix(".json"), described, measured)
    text = page.whole(found)
    print(text, *bars.verdicts(found), sep="\n")
    options.output.write_text(text)
    options.output.with_suffix(".json").write_text(json.dumps(found, indent=1, default=lambda x: round(x, 4)) + "\n")


def measure(parts: Sequence[str], datasets: dict[str, Dataset], peaks: dict, rounds: int, quick: bool) -> dict:
    """The chosen parts, one after the other."""
    chosen = [replace(WORKLOADS[2], steps=2)] if quick else WORKLOADS
    number = 1 if quick else rounds
    plan = Plan(1, 0.01, short=True) if quick else Plan(rounds, 0.4)
    ways = {
        "loops": lambda: [row for w in chosen for row in loop_rows(w, datasets[w.data], number, peaks)],
        "peers": lambda: peers(plan),
        "sweeps": lambda: [row for w in sweeps(quick) for row in sweep_rows(w, datasets[w.data], number, quick)],
        "evaluations": lambda: evaluation_rows(datasets, number, quick),
        "costs": lambda: cost_rows(datasets, quick),
        "scaling": lambda: [] if quick else scaling_rows(datasets),
    }
    measured = {}
    for part in (part for part in PARTS if part in parts):
        start = time.monotonic()
        measured[part] = ways[part]()
        print(f"{part}: {(time.monotonic() - start) / 60:.1f} minutes", flush=True)
    return measured


def joined(path: Path, described: dict, measured: dict) -> dict:
    """What was measured now, and the other parts as they were measured before on the same kind of machine."""
    before = json.loads(path.read_text()) if path.exists() else {}
    same = all(before.get("machine", {}).get(name) == described[name] for name in ("cpu", "threads", "torch", "data"))
    kept = {part: before[part] for part in PARTS if part in before} if same and "dates" in before else {}
    dates = {part: before["dates"][part] for part in kept} | dict.fromkeys(measured, described["date"])
    found = {part: (kept | measured)[part] for part in PARTS if part in kept | measured}
    return {"machine": described, "dates": dates} | found


def sources(datasets: dict[str, Dataset]) -> str:
    """Real, or drawn."""
    return ", ".join(f"{name} ({'SAMPLE' if d.is_sample else 'real'})" for name, d in datasets.items())


def machine() -> dict:
    """The machine in general words."""
    return {
        "cpu": settings.processor().split(", ")[0] or "a processor",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__.split("+")[0],
        "bfloat16": settings.gains_by_bfloat16(),
        "date": time.strftime("%Y-%m-%d"),
    }


def loop_rows(workload: Workload, dataset: Dataset, number: int, peaks: dict) -> list[dict]:
    """The courses' loop with 0 and 2 workers against ours, in float32 and at best."""
    ways = {"0": CoursesWay(workload, dataset, 0), "2": CoursesWay(workload, dataset, 2)}
    ways |= {"float32": OurWay(workload, dataset), "bfloat16": OurWay(workload, dataset, bfloat16=True)}
    for way in ways.values():
        way(10)  # starts the workers and fills their queues
    seconds = timing.rounds({name: partial(way, workload.steps) for name, way in ways.items()}, number)
    ms = {name: 1e3 * statistics.median(times) / workload.steps for name, times in seconds.items()}
    macs = models.layer_table(seeded(workload), tuple(next(ways["float32"].batches)[0].shape[1:]))["MACs"].sum()
    rows = []
    for precision in ("float32", "bfloat16"):
        flops = 6e-6 * macs * workload.batch_size / ms[precision]
        row = {"network": workload.name, "batch": workload.batch_size, "precision": precision}
        row |= {"courses_ms": ms["0"], "courses_2_ms": ms["2"], "ours_ms": ms[precision]}
        row |= {f"ratio_{w}": timing.ratio(seconds[w], seconds[precision]) for w in "02"}
        rows.append(row | {"gflops": flops, "of_peak": flops / peaks[precision]})
        print(f"{workload.name} {workload.batch_size} {precision}: {ms}", flush=True)
    return rows


def sweeps(quick: bool) -> list[Workload]:
    """The two networks of the courses' sweeps."""
    simple = replace(WORKLOADS[2], steps=2 if quick else 10)
    return [simple] if quick else [replace(WORKLOADS[0], steps=60), simple]


def sweep_rows(workload: Workload, dataset: Dataset, number: int, quick: bool, runs: int = 8) -> list[dict]:
    """One after another with all threads against stacked, in one process and in two with one thread each."""
    alone = [OurWay(workload, dataset) for _ in range(runs)]
    ways = {"alone": lambda: [way(workload.steps) for way in alone]}
    for bfloat16, precision in ((False, "float32"), (True, "bfloat16"))[: 1 if quick else 2]:
        ways[f"{precision}, one process"] = stacked_way(workload, runs, bfloat16, quick)
        ways[f"{precision}, two processes"] = InProcesses(workload, runs, bfloat16, quick, processes=1 if quick else 2)
    seconds = timing.rounds(ways, number)
    for way in ways.values():
        if isinstance(way, InProcesses):
            way.close()
    ms = {name: 1e3 * statistics.median(times) / workload.steps for name, times in seconds.items()}
    print(f"{workload.name}, {runs} runs: {ms}", flush=True)
    row = {"network": workload.name, "batch": workload.batch_size, "runs": runs, "alone_ms": ms["alone"]}
    return [
        row | {"how": name, "stacked_ms": ms[name], "ratio": timing.ratio(seconds["alone"], seconds[name])}
        for name in ways
        if name != "alone"
    ]


def evaluation_rows(datasets: dict[str, Dataset], number: int, quick: bool, runs: int = 8) -> list[dict]:
    """Networks validated one after another against the same stacked."""
    rows = []
    networks = {"MLP": (MLP, "mnist"), "SimpleNN, BN": (SIMPLE_NN, "cifar10"), "LeNet5": (models.LeNet5, "cifar10")}
    for name, (model, source) in list(networks.items())[: 1 if quick else None]:
        seconds = timing.rounds(evaluation_ways(model, datasets[source], runs), number)
        ms = {way: 1e3 * statistics.median(times) for way, times in seconds.items()}
        print(f"{name}, {runs} evaluated: {ms}", flush=True)
        row = {"network": name, "runs": runs, "alone_ms": ms["in turn"], "stacked_ms": ms["as one"]}
        rows.append(row | {"ratio": timing.ratio(seconds["in turn"], seconds["as one"])})
    return rows


# VmHWM and not getrusage: that one begins with the peak of the process that started this one.
MEMORY = """
import re, torch
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1e6
before = peak()
from benchmarks.__main__ import WORKLOADS, OurWay, load
OurWay(WORKLOADS[{index}], load("cifar10", {quick}))({steps})
print(peak() - before)
"""
IMPORT = """
import torch, time
start = time.perf_counter()
import coursekit.runs.experiment
print(time.perf_counter() - start)
"""
HELP = """
import subprocess, sys, time
start = time.perf_counter()
subprocess.run([sys.executable, "-m", "coursekit", "--help"], stdout=subprocess.DEVNULL, check=True)
print(time.perf_counter() - start)
"""


def cost_rows(datasets: dict[str, Dataset], quick: bool) -> list[dict]:
    """What else there are bars for: memory, the pipeline's share of a step, imports."""
    rows = []
    for index in (2, 6)[: 1 if quick else 2]:
        workload = replace(WORKLOADS[index], steps=2 if quick else WORKLOADS[index].steps)
        batches = forever(our_batches(datasets["cifar10"], workload.batch_size, augment=True))
        pipeline = partial(lambda b, n: [next(b) for _ in range(n)], batches, workload.steps)
        step = partial(OurWay(workload, datasets["cifar10"]), workload.steps)
        seconds = timing.rounds({"pipeline": pipeline, "step": step}, 1 if quick else 5)
        share = timing.ratio(seconds["pipeline"], seconds["step"])["median"]
        rows.append({"what": f"data pipeline, share of a step of {workload.name}", "value": share})
        memory = timing.in_subprocess(MEMORY.format(index=index, quick=quick, steps=2 if quick else 20))
        rows.append({"what": f"GB of memory above torch's import, {workload.name}", "value": memory})
    for what, code in (("import after torch", IMPORT), ("`coursekit --help`", HELP)):
        times = [timing.in_subprocess(code) for _ in range(1 if quick else 3)]
        rows.append({"what": f"seconds for {what}", "value": min(times)})
    return rows


def scaling_rows(datasets: dict[str, Dataset]) -> list[dict]:
    """Images a second over batch size, width and number of runs."""
    simple, mlp = WORKLOADS[2], WORKLOADS[0]
    ways = {}
    for size in (32, 128, 512):
        grown = replace(simple, batch_size=size, steps=max(2, 2560 // size))
        ways["SimpleNN, batch", size] = grown, partial(OurWay(grown, datasets["cifar10"]), grown.steps), 1
    for width in (128, 512, 2048):
        grown = replace(mlp, model=partial(models.MLP, (784, width, 64, 10)), steps=20)
        ways["MLP batch 128, width", width] = grown, partial(OurWay(grown, datasets["mnist"]), grown.steps), 1
    for base in (mlp, simple):
        for runs in (1, 2, 4, 8, 16):
            base = replace(base, steps=10)
            ways[f"{base.name}, stacked runs", runs] = base, stacked_way(base, runs), runs
    seconds = timing.rounds({key: way for key, (_, way, _) in ways.items()}, 3)
    return [
        {"what": f"{what} {size}", "images_per_second": runs * w.steps * w.batch_size / min(seconds[what, size])}
        for (what, size), (w, _, runs) in ways.items()
    ]


if __name__ == "__main__":
    main()
