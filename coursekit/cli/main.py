"""The command line: run notebooks and sweeps, make the report, say whether this machine can; Colab, a course."""

import argparse
import sys
import time
from pathlib import Path

from coursekit import __version__
from coursekit.cli import arguments, course, sweep
from coursekit.errors import CoursekitError, NotebookError, StorageError, UsageError


def main(words: list[str] | None = None) -> int:
    """Run one command; the exit code is 0, or what `coursekit.errors` says for the error that stopped it."""
    words = sys.argv[1:] if words is None else words
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file on Windows may not hold every character that we print
            stream.reconfigure(errors="backslashreplace")
    for word in words:
        if not arguments.is_text(word):  # or the first file or page that it is written into is a traceback
            print(f"error: {word!a} is not UTF-8; rename the file, or write the words again", file=sys.stderr)
            return UsageError.exit_code
    options = _parser().parse_args(words)
    try:
        return options.command(options) or 0
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except (CoursekitError, OSError) as error:
        if options.debug:
            raise
        print(f"error: {arguments.printable(str(error))}", file=sys.stderr)
        return getattr(error, "exit_code", StorageError.exit_code)


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--debug", action="store_true", help="show the traceback of an error")
    running = argparse.ArgumentParser(add_help=False)
    running.add_argument("notebooks", nargs="*", help="numbers, names or paths; all of them when none is given")
    running.add_argument(
        "--profile", choices=("full", "sample"), default="full", help="published protocols, or seconds on drawn data"
    )
    running.add_argument("--source", choices=("auto", "real", "sample"), help="where the data come from")
    running.add_argument(
        "--jobs",
        type=arguments.at_least_one,
        metavar="N",
        help="notebooks at a time (default: one per core, where the memory allows it)",
    )
    running.add_argument(
        "--limit", type=arguments.seconds, default=7200, metavar="SECONDS", help="for one notebook (default 7200)"
    )

    parser = argparse.ArgumentParser(prog="coursekit", description="Run the deep-learning workbook and report it.")
    parser.add_argument("--version", action="version", version=f"coursekit {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", parents=[shared, running], help="execute notebooks")
    run.add_argument(
        "-o", "--output", type=Path, default=arguments.BUILT, metavar="DIR", help=f"default {arguments.BUILT}"
    )
    run.add_argument("--figures", type=Path, metavar="DIR", help="also write every captioned figure there")
    run.set_defaults(command=_run)

    export = commands.add_parser("report", parents=[shared, running], help="make PDF and HTML from executed notebooks")
    export.add_argument("--run", action="store_true", help=f"execute them first, into {arguments.BUILT}")
    export.add_argument(
        "-o", "--output", type=Path, default=Path("build/workbook"), metavar="FILE", help="without suffix"
    )
    export.add_argument("--format", choices=("pdf", "html", "both"), default="both")
    export.add_argument("--each", action="store_true", help="a report for each notebook, FILE-01_name and so on")
    export.add_argument(
        "--code", choices=("all", "key", "none"), default="key", help="all code, what matters (default), or none"
    )
    export.add_argument("--author", default="", help="printed on the cover")
    export.add_argument("--collaborators", help='printed on the last page; "" for nobody (default: a line to fill in)')
    export.add_argument("--title", help="printed on the cover")
    export.add_argument("--strict", action="store_true", help="end with 4 when anything was left out of the report")
    export.set_defaults(command=_report)

    check = commands.add_parser("predictions", parents=[shared], help="say whether a predictions.csv is as it must be")
    check.add_argument("file", type=Path, metavar="FILE")
    check.set_defaults(command=_predictions)

    compare = commands.add_parser("scorecard", parents=[shared], help="print our numbers next to the published ones")
    compare.add_argument("--into", type=Path, metavar="FILE", help="put it between the marks of this file instead")
    compare.set_defaults(command=_scorecard)

    sweep.add_commands(commands, shared)
    course.add_commands(commands, shared)

    address = commands.add_parser(
        "colab", parents=[shared], help="set the address that the notebooks open from on Colab"
    )
    address.add_argument(
        "url", metavar="URL", help="https://github.com/OWNER/NAME, or …/tree/BRANCH; none takes it away"
    )
    address.set_defaults(command=_colab)

    doctor = commands.add_parser("doctor", parents=[shared], help="say whether the workbook can run here")
    doctor.set_defaults(command=_doctor)
    return parser


def _run(options: argparse.Namespace) -> None:
    _execute(options, options.output, options.figures)


def _execute(options: argparse.Namespace, folder: Path, figures: Path | None = None) -> list[Path]:
    from tqdm import tqdm

    from coursekit import files
    from coursekit.execution import notebooks

    sources = arguments.find(options.notebooks, arguments.SOURCES, ".py")
    pairs = [(source, folder / f"{source.stem}.ipynb") for source in sources]
    arguments.refuse_to_overwrite((target for _, target in pairs), sources)
    if figures:
        files.probe(figures)
    jobs = min(len(sources), options.jobs or notebooks.side_by_side())
    # The last one takes as long as two others. Begun before those it ends with them, and no core stands idle meanwhile.
    turns = [*pairs[:-3], pairs[-1], *pairs[-3:-1]] if jobs > 1 else pairs
    order = [source for source, _ in turns]
    done = notebooks.run_all(order, folder, options.profile, jobs, data_source=options.source, limit_s=options.limit)
    for (_, target), notebook in zip(turns, done, strict=True):
        tqdm.write(f"{target}  {notebook.metadata.coursekit.seconds:.1f} s")
        if figures:
            notebooks.save_figures(notebook, figures)
    return [target for _, target in pairs]


def _report(options: argparse.Namespace) -> None:
    from coursekit import files
    from coursekit.report import export

    folder, suffix = (arguments.SOURCES, ".py") if options.run else (arguments.COMMITTED, ".ipynb")
    sources = arguments.find(options.notebooks, folder, suffix)
    base = options.output.with_suffix("") if options.output.suffix in (".pdf", ".html") else options.output
    if base.name in ("", ".."):
        raise UsageError(f"-o {options.output} is a folder; name a file in it")
    suffixes = [suffix for suffix in (".html", ".pdf") if options.format in ("both", suffix[1:])]
    bases = [base.with_name(f"{base.name}-{path.stem}") for path in sources] if options.each else [base]
    arguments.refuse_to_overwrite((_with(suffix, path) for path in bases for suffix in suffixes), sources)
    paths = _execute(options, arguments.BUILT) if options.run else sources
    start = time.perf_counter()
    notebooks = export.read(paths)
    more = dict(author=options.author, collaborators=options.collaborators, code=options.code)
    left_out = 0
    for path, part in zip(bases, [[one] for one in notebooks] if options.each else [notebooks], strict=True):
        with export.Report(part, options.title or "", **more) as report:
            for suffix in suffixes:
                content = report.pdf() if suffix == ".pdf" else report.html().encode()
                files.write_bytes(_with(suffix, path), content)
                print(f"{path}{suffix}  {len(content) / 1e6:.1f} MB  {time.perf_counter() - start:.1f} s")
        report.losses.warn()
        left_out += len(report.losses.lines())
    if left_out and options.strict:
        raise NotebookError("the report is written, but not all of the notebooks is in it: see the warnings above")


def _with(suffix: str, path: Path) -> Path:
    """The path with a suffix more; `with_suffix` would take away what a name has after its last dot."""
    return path.with_name(path.name + suffix)


def _colab(options: argparse.Namespace) -> None:
    from coursekit.execution import source

    paths = arguments.find([], arguments.COMMITTED, ".ipynb")
    url = None if options.url == "none" else options.url
    source.set_address(url, Path(), paths)
    for path in paths:
        print(f"{path}  {'badge and first cell' if source.badge(path.stem, url) else 'first cell'}")


def _doctor(options: argparse.Namespace) -> int:
    from coursekit.cli import doctor

    return doctor.main()


def _predictions(options: argparse.Namespace) -> None:
    from coursekit.classroom import predictions

    print(f"{options.file}: {len(predictions.validate(options.file)):,} predictions, as they must be")


def _scorecard(options: argparse.Namespace) -> None:
    from coursekit.scorecard import compare

    if options.into:
        compare.write_into(options.into)
    else:
        print(compare.markdown(), end="")
