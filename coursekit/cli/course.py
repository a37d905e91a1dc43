"""The commands of a course: hand out the student edition, grade what comes back, pack what is handed in."""

import argparse
import os
import sys
from pathlib import Path

from coursekit.cli import arguments


def add_commands(commands, shared: argparse.ArgumentParser) -> None:
    """Add `student`, `grade` and `bundle` to the parsers of coursekit's command line."""
    student = commands.add_parser("student", parents=[shared], help="write the edition without solutions")
    student.add_argument("notebooks", nargs="*", help="numbers, names or paths; all of them when none is given")
    student.add_argument("-o", "--output", type=Path, default=Path("build/student"), metavar="DIR")
    student.add_argument("--gradescope", action="store_true", help="and the zip that grades it there")
    student.set_defaults(command=_student)

    grade = commands.add_parser("grade", parents=[shared], help="run what students handed in, apart, and check it")
    grade.add_argument("folder", type=Path, metavar="DIR", help="with their notebooks, or archives of them")
    grade.add_argument("-o", "--output", type=Path, metavar="FILE", help="the table as CSV (default: print it)")
    grade.add_argument(
        "--jobs", type=arguments.at_least_one, default=1, metavar="N", help="notebooks at a time (default 1)"
    )
    grade.add_argument("--limit", type=arguments.seconds, default=300, metavar="SECONDS", help="for one (default 300)")
    grade.add_argument(
        "--memory", type=arguments.at_least_one, default=8, metavar="GB", help="of a process (default 8)"
    )
    grade.set_defaults(command=_grade)

    bundle = commands.add_parser("bundle", parents=[shared], help="pack what is handed in into one zip")
    bundle.add_argument("notebooks", nargs="*", help="executed ones; those in notebooks/ when none is given")
    bundle.add_argument("--id", required=True, help="of the student, as 2025-12345")
    bundle.add_argument("--first", required=True, help="name")
    bundle.add_argument("--last", required=True, help="name")
    bundle.add_argument("-o", "--output", type=Path, metavar="FILE", help="default build/ID_FIRST_LAST.zip")
    bundle.add_argument("--report", type=Path, metavar="FILE", help="a PDF (default: made from these notebooks)")
    bundle.add_argument("--collaborators", help='for the report; "" for nobody (default: a line left open)')
    bundle.add_argument("--predictions", type=Path, metavar="FILE", help="default build/predictions.csv")
    bundle.add_argument("--include", action="append", default=[], metavar="PATH", help="more code in this folder")
    bundle.set_defaults(command=_bundle)


def _student(options: argparse.Namespace) -> None:
    from coursekit.classroom import autograder, student

    sources = arguments.find(options.notebooks, arguments.SOURCES, ".py")
    writers = [autograder, student] if options.gradescope else [student]
    targets = (writer.target_of(source, options.output) for source in sources for writer in writers)
    arguments.refuse_to_overwrite(targets, sources)
    for source in sources:
        if options.gradescope:
            print(autograder.write(source, options.output))
        print(student.write(source, options.output, options.gradescope))


def _grade(options: argparse.Namespace) -> None:
    from coursekit import files
    from coursekit.classroom import confine, grade

    handed_in = grade.submissions(options.folder)
    sources = arguments.find([], arguments.SOURCES, ".py")
    if options.output:
        arguments.refuse_to_overwrite([options.output], [*(submission.path for submission in handed_in), *sources])
    limits = confine.Limits(
        seconds=options.limit, cpu_seconds=int(2 * options.limit) + 1, memory_bytes=options.memory * 10**9
    )
    reach = "" if confine.without_network() else " and reach the network"
    print(f"warning: what you run here can read your files{reach}; grade in a container", file=sys.stderr)
    rows = []
    graded = grade.grade_all(handed_in, sources, limits, options.jobs)
    for submission, some in zip(handed_in, graded, strict=True):
        rows += some
        results = ", ".join(f"{row.exercise} {row.result}".strip() for row in some) or "no checks"
        print(f"{arguments.printable(submission.name)}  {results}", file=sys.stderr)
        if options.output:  # each time: an evening's work is not lost with the last notebook
            files.write_bytes(options.output, grade.table(rows).encode())
    if not options.output:
        print(grade.table(rows), end="")


def _bundle(options: argparse.Namespace) -> None:
    from coursekit import files
    from coursekit.classroom import bundle

    name = bundle.stem(options.id, options.first, options.last)
    paths = [Path(os.path.abspath(path)) for path in arguments.find(options.notebooks, arguments.COMMITTED, ".ipynb")]
    target = options.output or Path("build", f"{name}.zip")
    code = bundle.code(Path.cwd(), options.include)
    given = filter(None, (options.predictions or Path(bundle.PREDICTIONS), options.report))
    arguments.refuse_to_overwrite([target], [*paths, *code, *given])
    contents = bundle.collect(
        Path.cwd(),
        paths,
        f"{options.first} {options.last}",
        options.include,
        options.predictions,
        options.report,
        options.collaborators,
    )
    content = bundle.pack(contents, name)
    files.write_bytes(target, content)
    print(f"{target}  {len(contents)} files  {len(content) / 1e6:.1f} MB  sha256 {files.sha256(content)}")
