"""The command line: run notebooks and sweeps, make the report, say whether this machine can; check predictions."""

import argparse
import os
import sys
import time
from pathlib import Path

from coursekit import __version__
from coursekit.errors import CoursekitError, NotebookError, SweepError, UsageError

SOURCES = Path("notebooks/src")
COMMITTED = Path("notebooks")
BUILT = Path("build/notebooks")
SLURM = {
    "queue": "partition",
    "account": "who pays",
    "walltime": "of a job, as 01:00:00",
    "memory": "of a job, as 8GB",
    "gpus": "of a job",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code is 0, or what `coursekit.errors` says for the error that stopped it."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options) or 0
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except CoursekitError as error:
        if options.debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--debug", action="store_true", help="show the traceback of an error")
    running = argparse.ArgumentParser(add_help=False)
    running.add_argument("notebooks", nargs="*", help="numbers, names or paths; all of them when none is given")
    running.add_argument("--profile", choices=("sample", "cpu", "full"), default="sample", help="how much to run")
    running.add_argument("--source", choices=("auto", "real", "sample"), help="where the data come from")
    running.add_argument(
        "--jobs", type=_at_least_one, metavar="N", help="notebooks at a time (default: 1; sample: one per core)"
    )
    running.add_argument(
        "--limit", type=_seconds, default=3600, metavar="SECONDS", help="for one notebook (default 3600)"
    )

    parser = argparse.ArgumentParser(prog="coursekit", description="Run the deep-learning workbook and report it.")
    parser.add_argument("--version", action="version", version=f"coursekit {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", parents=[shared, running], help="execute notebooks")
    run.add_argument("-o", "--output", type=Path, default=BUILT, metavar="DIR", help=f"default {BUILT}")
    run.add_argument("--figures", type=Path, metavar="DIR", help="also write every captioned figure there")
    run.set_defaults(command=_run)

    report = commands.add_parser("report", parents=[shared, running], help="make PDF and HTML from executed notebooks")
    report.add_argument("--run", action="store_true", help=f"execute them first, into {BUILT}")
    report.add_argument(
        "-o", "--output", type=Path, default=Path("build/workbook"), metavar="FILE", help="without suffix"
    )
    report.add_argument("--format", choices=("pdf", "html", "both"), default="both")
    report.add_argument("--author", default="", help="printed on the cover")
    report.add_argument("--title", help="printed on the cover")
    report.set_defaults(command=_report)

    sweep = commands.add_parser("sweep", parents=[shared], help="train every experiment of a file, with every seed")
    sweep.add_argument("file", type=Path, metavar="FILE", help="YAML or JSON, see docs/scale.md")
    sweep.add_argument("--workers", type=_at_least_one, metavar="N", help="processes; jobs with --slurm (default 1)")
    sweep.add_argument("--threads", type=_at_least_one, metavar="N", help="for each run (default: 1 in a worker)")
    where = sweep.add_mutually_exclusive_group()
    where.add_argument("--dask", action="store_true", help="workers of dask.distributed, with its dashboard")
    where.add_argument("--slurm", action="store_true", help="each worker a Slurm job, through dask.distributed")
    for name, text in SLURM.items():
        sweep.add_argument(f"--{name}", metavar=name.upper(), help=f"with --slurm: {text}")
    sweep.add_argument("--together", type=_at_least_one, metavar="N", help="alike runs trained as one, at most")
    sweep.add_argument("--profile", choices=("sample", "cpu", "full"), help="as COURSEKIT_PROFILE")
    sweep.add_argument("--source", choices=("auto", "real", "sample"), help="where the data come from")
    sweep.add_argument("--refresh", action="store_true", help="train what is in the results store too")
    sweep.set_defaults(command=_sweep)

    check = commands.add_parser("predictions", parents=[shared], help="say whether a predictions.csv is as it must be")
    check.add_argument("file", type=Path, metavar="FILE")
    check.set_defaults(command=_predictions)

    scorecard = commands.add_parser("scorecard", parents=[shared], help="print our numbers beside the published ones")
    scorecard.add_argument("--into", type=Path, metavar="FILE", help="put it between the marks of this file instead")
    scorecard.set_defaults(command=_scorecard)

    doctor = commands.add_parser("doctor", parents=[shared], help="say whether the workbook can run here")
    doctor.set_defaults(command=_doctor)
    return parser


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of at least 1")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return seconds


def _run(options: argparse.Namespace) -> None:
    _execute(options, options.output, options.figures)


def _execute(options: argparse.Namespace, folder: Path, figures: Path | None = None) -> list[Path]:
    from coursekit import runner

    sources = _find(options.notebooks, SOURCES, ".py")
    targets = [folder / f"{source.stem}.ipynb" for source in sources]
    for source, target in zip(sources, targets, strict=True):
        if target.resolve() == source.resolve():
            raise UsageError(f"{source} would be overwritten; choose another folder with -o")
    # Sample data are small: a notebook for each core. Real ones use all cores, one notebook after the other.
    jobs = min(len(sources), options.jobs or ((os.cpu_count() or 1) if options.profile == "sample" else 1))
    done = runner.run_all(sources, folder, options.profile, jobs, data_source=options.source, limit_s=options.limit)
    for target, notebook in zip(targets, done, strict=True):
        print(f"{target}  {notebook.metadata.coursekit.seconds:.1f} s", flush=True)
        if figures:
            runner.save_figures(notebook, figures)
    return targets


def _report(options: argparse.Namespace) -> None:
    from coursekit import report, storage

    paths = _execute(options, BUILT) if options.run else _find(options.notebooks, COMMITTED, ".ipynb")
    start = time.perf_counter()
    notebooks = report.read(paths)
    title = options.title or report.TITLE
    base = options.output.with_suffix("") if options.output.suffix in (".pdf", ".html") else options.output
    for suffix, make in ((".html", _html), (".pdf", report.to_pdf)):
        if options.format in ("both", suffix[1:]):
            content = make(notebooks, title, options.author)
            storage.write_bytes(base.with_name(base.name + suffix), content)
            print(f"{base}{suffix}  {len(content) / 1e6:.1f} MB  {time.perf_counter() - start:.1f} s")


def _html(*arguments) -> bytes:
    from coursekit import report

    return report.to_html(*arguments).encode()


def _doctor(options: argparse.Namespace) -> int:
    from coursekit import doctor

    return doctor.main()


def _sweep(options: argparse.Namespace) -> None:
    for name in ("profile", "source"):
        if getattr(options, name):
            os.environ[f"COURSEKIT_{name.upper()}"] = getattr(options, name)
    from coursekit import progress, results, sweepfile, sweeps

    variants, seeds = sweepfile.read(options.file)
    together = options.together or sweeps.TOGETHER
    found = sweeps.sweep(variants, seeds, options.refresh, _engine(options), together, progress.Live())
    print(progress.summary(found))
    print(f"results: {results.folder()}")
    statuses = [result.status for row in found.values() for result in row]
    missing = statuses.count("failed") + statuses.count("lost")
    if missing:
        raise SweepError(f"{missing} of {len(statuses)} runs have no result; the same command tries them again")


def _engine(options: argparse.Namespace):
    from coursekit import cluster, engines

    slurm = {name: getattr(options, name) for name in SLURM if getattr(options, name)}
    if slurm and not options.slurm:
        raise UsageError(f"--{next(iter(slurm))} goes with --slurm")
    threads = options.threads or 1
    if options.slurm:
        return cluster.slurm(options.workers or 1, threads, **slurm)
    if options.dask:
        return cluster.local(options.workers, threads)
    return engines.processes(options.workers, threads) if options.workers else engines.serial(options.threads)


def _predictions(options: argparse.Namespace) -> None:
    from coursekit import predictions

    print(f"{options.file}: {len(predictions.validate(options.file)):,} predictions, as they must be")


def _scorecard(options: argparse.Namespace) -> None:
    from coursekit import scorecard

    if options.into:
        scorecard.write_into(options.into)
    else:
        print(scorecard.markdown(), end="")


def _find(wanted: list[str], folder: Path, suffix: str) -> list[Path]:
    """Paths of the notebooks named by path, by name or by number ("1", "01"); all in `folder` when none is named."""
    known = sorted(folder.glob(f"[0-9][0-9]_*{suffix}"))
    if not wanted:
        if not known:
            raise NotebookError(f"no notebooks in {folder}{os.sep}; call this in the workbook's folder, or name a file")
        return known
    found = []
    for word in wanted:
        matches = [Path(word)] if Path(word).is_file() else [p for p in known if _is(word, p)]
        if len(matches) != 1:
            names = ", ".join(path.stem for path in known) or f"none in {folder}{os.sep}"
            raise UsageError(f"no such notebook {word!r}; there are: {names}")
        found += matches
    return found


def _is(word: str, path: Path) -> bool:
    number = path.stem[:2]
    return word in (path.stem, number, number.lstrip("0"), path.stem[3:])


if __name__ == "__main__":
    sys.exit(main())
