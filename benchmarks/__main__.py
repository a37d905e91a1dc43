"""`make bench`: the courses' way and ours side by side; prints the tables and writes them to docs/benchmarks.md."""

import argparse
import json
import statistics
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from benchmarks import page, timing
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
from coursekit import files, models, settings
from coursekit.data.datasets import Dataset


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="sample data, one round of a few steps: a test")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/benchmarks.md"), metavar="FILE")
    parser.add_argument("--into", type=Path, metavar="FILE", help="an extract between the marks of this file")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="default 7")
    options = parser.parse_args()
    number = 1 if options.quick else options.rounds
    size = 256 if options.quick else 2048
    peaks = {str(dtype)[6:]: timing.matmul_peak(dtype, size) for dtype in (torch.float32, torch.bfloat16)}
    datasets = {name: load(name, options.quick) for name in ("mnist", "cifar10")}
    chosen = [replace(WORKLOADS[2], steps=2)] if options.quick else WORKLOADS
    found = {
        "machine": machine() | {"peaks": peaks, "rounds": number, "data": sources(datasets)},
        "loops": [row for w in chosen for row in loop_rows(w, datasets[w.data], number, peaks)],
        "sweeps": [
            row for w in sweeps(options.quick) for row in sweep_rows(w, datasets[w.data], number, options.quick)
        ],
        "evaluations": evaluation_rows(datasets, number, options.quick),
        "costs": cost_rows(datasets, options.quick),
        "scaling": [] if options.quick else scaling_rows(datasets),
    }
    text = page.whole(found)
    print(text)
    options.output.write_text(text)
    options.output.with_suffix(".json").write_text(json.dumps(found, indent=1, default=lambda x: round(x, 4)) + "\n")
    if options.into:
        files.write_between(options.into, page.MARK, page.extract(found), "the extract")


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
    for precision, bars in (("float32", workload.bars[:2]), ("bfloat16", workload.bars[2:])):
        flops = 6e-6 * macs * workload.batch_size / ms[precision]
        row = {"network": workload.name, "batch": workload.batch_size, "precision": precision}
        row |= {"courses_ms": ms["0"], "courses_2_ms": ms["2"], "ours_ms": ms[precision]}
        row |= {f"ratio_{w}": timing.ratio(seconds[w], seconds[precision]) for w in "02"} | {"bars": bars}
        rows.append(row | {"gflops": flops, "of_peak": flops / peaks[precision]})
        print(f"{workload.name} {workload.batch_size} {precision}: {ms}", flush=True)
    return rows


def sweeps(quick: bool) -> list[Workload]:
    """The two networks of the bars: factors in float32 and at best."""
    simple = replace(WORKLOADS[2], bars=(2.2, 3.0), steps=2 if quick else 10)
    return [simple] if quick else [replace(WORKLOADS[0], bars=(2.7, None), steps=60), simple]


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
    bars = {}  # of the better of the two ways
    for precision, bar in zip(("float32", "bfloat16"), workload.bars, strict=True):
        bars[min((name for name in ms if name.startswith(precision)), key=ms.get, default="")] = bar
    return [
        row
        | {"how": name, "stacked_ms": ms[name], "bar": bars.get(name)}
        | {"ratio": timing.ratio(seconds["alone"], seconds[name])}
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
    """What else the bars are about: memory, the pipeline's share of a step, imports."""
    rows = []
    for index, bar in ((2, 0.10), (6, 0.02))[: 1 if quick else 2]:
        workload = replace(WORKLOADS[index], steps=2 if quick else WORKLOADS[index].steps)
        batches = forever(our_batches(datasets["cifar10"], workload.batch_size, augment=True))
        pipeline = partial(lambda b, n: [next(b) for _ in range(n)], batches, workload.steps)
        step = partial(OurWay(workload, datasets["cifar10"]), workload.steps)
        seconds = timing.rounds({"pipeline": pipeline, "step": step}, 1 if quick else 5)
        share = timing.ratio(seconds["pipeline"], seconds["step"])["median"]
        rows.append({"what": f"data pipeline, share of a step of {workload.name}", "value": share, "bar": bar})
        memory = timing.in_subprocess(MEMORY.format(index=index, quick=quick, steps=2 if quick else 20))
        rows.append({"what": f"GB of memory above torch's import, {workload.name}", "value": memory, "bar": 1.2})
    for what, code, bar in (("import after torch", IMPORT, 0.3), ("`coursekit --help`", HELP, 0.5)):
        times = [timing.in_subprocess(code) for _ in range(1 if quick else 3)]
        rows.append({"what": f"seconds for {what}", "value": min(times), "bar": bar})
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
