"""The command line of runs: sweep them, audit some of those in the store, write what is in it."""

import argparse
import math
import os
import shlex
from pathlib import Path

from coursekit.cli import arguments
from coursekit.cli.arguments import at_least_one
from coursekit.errors import Diverged, SweepError, UsageError

SLURM = {
    "queue": "partition",
    "account": "who pays",
    "walltime": "of a job, as 01:00:00",
    "memory": "of a job, as 8GB",
    "gpus": "of a job",
}


def add_commands(commands: argparse._SubParsersAction, shared: argparse.ArgumentParser) -> None:
    """Add `coursekit sweep`, `audit` and `results` to the commands of the command line."""
    own_code = "FILE is your own code and is run; with a stranger's, read it first. See docs/scale.md."
    sweep = commands.add_parser(
        "sweep", parents=[shared], help="train every experiment of a file, with every seed", description=own_code
    )
    sweep.add_argument("file", type=Path, metavar="FILE", help="Python, with `variants` and `seeds` in it")
    sweep.add_argument("--workers", type=at_least_one, metavar="N", help="processes; jobs with --slurm (default 1)")
    sweep.add_argument("--threads", type=at_least_one, metavar="N", help="for each run (default: 1 in a worker)")
    where = sweep.add_mutually_exclusive_group()
    where.add_argument("--dask", action="store_true", help="workers of dask.distributed, with its dashboard")
    where.add_argument("--slurm", action="store_true", help="each worker a Slurm job, through dask.distributed")
    for name, text in SLURM.items():
        sweep.add_argument(f"--{name}", metavar=name.upper(), help=f"with --slurm: {text}")
    sweep.add_argument("--together", type=at_least_one, metavar="N", help="alike runs trained as one, at most")
    sweep.add_argument("--profile", choices=("full", "sample"), help="as COURSEKIT_PROFILE")
    sweep.add_argument("--source", choices=("auto", "real", "sample"), help="where the data come from")
    sweep.add_argument("--refresh", action="store_true", help="train what is in the results store too")
    sweep.set_defaults(command=_sweep)
    audit = commands.add_parser("audit", parents=[shared], help="retrain some stored results and compare every digit")
    audit.add_argument("count", type=at_least_one, metavar="N", help="how many, chosen at random")
    audit.add_argument("notebooks", nargs="*", help="whose results: numbers, names or paths; all when none is given")
    audit.add_argument("--seed", type=int, default=0, help="of the choice")
    audit.add_argument(
        "--limit", type=arguments.seconds, default=math.inf, metavar="SECONDS", help="none that took longer"
    )
    audit.set_defaults(command=_audit)
    contents = commands.add_parser("results", parents=[shared], help="write results/README.md: what is in the store")
    contents.set_defaults(command=_contents)


def _sweep(options: argparse.Namespace) -> None:
    os.environ["COURSEKIT_TRAIN"] = "1"  # whatever it takes: that is what the command is for
    for name in ("profile", "source"):
        if getattr(options, name):
            os.environ[f"COURSEKIT_{name.upper()}"] = getattr(options, name)
    from coursekit.cli import sweep_file
    from coursekit.runs import progress, store, sweeps

    variants, seeds = sweep_file.read(options.file)
    together = options.together or sweeps.TOGETHER
    found = sweeps.sweep(variants, seeds, options.refresh, _engine(options), together, progress.Live())
    print(progress.summary(found))
    print(f"results: {store.folder()}")
    statuses = [result.status for row in found.values() for result in row]
    missing = statuses.count("failed") + statuses.count("lost")
    if missing:
        raise SweepError(f"{missing} of {len(statuses)} runs have no result; the same command tries them again")
    if diverged := statuses.count("diverged"):
        raise Diverged(f"{diverged} of {len(statuses)} runs diverged; try a smaller learning rate")


def _engine(options: argparse.Namespace):
    from coursekit.runs import cluster, executors

    slurm = {name: getattr(options, name) for name in SLURM if getattr(options, name)}
    if slurm and not options.slurm:
        raise UsageError(f"--{next(iter(slurm))} goes with --slurm")
    threads = options.threads or 1
    if options.slurm:
        own = shlex.quote(str(options.file.resolve().parent))
        prologue = [f'export PYTHONPATH={own}"${{PYTHONPATH:+:$PYTHONPATH}}"']  # where a job finds the file
        return cluster.slurm(options.workers or 1, threads, prologue=prologue, **slurm)
    if options.dask:
        return cluster.local(options.workers, threads)
    return executors.processes(options.workers, threads) if options.workers else executors.serial(options.threads)


def _audit(options: argparse.Namespace) -> None:
    from coursekit.execution import audit

    compared = []
    sources = arguments.find(options.notebooks, arguments.SOURCES, ".py")
    for row in audit.audit(options.count, sources, options.seed, options.limit):
        compared.append(row)
        verdict = "every digit equal" if not row.difference else f"differs by {row.difference:.1g} at {row.place}"
        verdict += f" ({row.other_machine})" if row.difference and row.other_machine else ""
        print(f"{row.file.parent.name}/{row.file.name}: {verdict}", flush=True)
    different = sum(row.difference > 0 for row in compared)
    print(f"{len(compared)} results audited: {len(compared) - different} equal in every digit")
    if different:
        raise SweepError(f"{different} of {len(compared)} audited results differ")


def _contents(_: argparse.Namespace) -> None:
    from coursekit.runs import contents, store

    path = store.folder() / "README.md"
    contents.write(path)
    print(path)
