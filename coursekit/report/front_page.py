"""What a report says before its first chapter: facts, a notice and an abstract, read from what the notebooks carry."""

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import unescape

from nbformat import NotebookNode

from coursekit import __version__
from coursekit.errors import NotebookError
from coursekit.notebook.outputs import captioned
from coursekit.report import cells, markdown

Notebooks = Sequence[tuple]  # (name, notebook) or (name, notebook, folder), as `export.Chapter`
NAMED = 3  # published numbers, at most, that the abstract names and does not only count
VERDICTS = (  # of the scorecard: as the abstract says it of one number, and of several
    ("reproduced", "lies within the tolerance set beforehand", "lie within the tolerance set beforehand"),
    ("outside", "lies outside", "lie outside"),
    ("no tolerance", "has no tolerance", "have no tolerance"),
    ("not run", "was not run", "were not run"),
)


@dataclass(frozen=True)
class Cover:
    """The first page: all of it plain text. `running`: what the head of a page says, for each notebook."""

    title: str
    author: str
    facts: list[tuple[str, str]]
    notice: str
    abstract: list[str]
    keywords: list[str]
    running: list[str]


def of(notebooks: Notebooks, title: str, author: str) -> Cover:
    """Title and author as given; the rest is what the notebooks say they ran on, measured and found."""
    runs = [notebook.metadata.get("coursekit", {}) for _, notebook, *_ in notebooks]
    ours = any(cells.is_ours(notebook) for _, notebook, *_ in notebooks)
    sources = {name: str(source) for run in runs for name, source in run.get("sources", {}).items()}

    def said(key: str) -> str:
        return ", ".join(dict.fromkeys(str(run[key]) for run in runs if key in run))

    versions = {"coursekit": said("coursekit") or __version__, "torch": said("torch"), "Python": said("python")}
    seconds = sum(run.get("seconds", 0) for run in runs)
    facts = [
        *((f"Data: {name}", source) for name, source in sources.items()),
        ("Device", said("device")),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items() if version)),
        ("Notebooks", f"{len(runs)}" + (f", run in {seconds:.0f} s" if seconds else "")),
        ("Date", datetime.date.today().isoformat()),
    ]
    sample = "Made from sample data: no number in this report says anything about the real data sets."
    notices = [sample] if any(source.startswith("sample data") for source in sources.values()) else []
    notices += [
        f"Not complete: {name} {run['failure']}."
        for (name, *_), run in zip(notebooks, runs, strict=True)
        if "failure" in run
    ]
    return Cover(
        title=title,
        author=author,
        facts=[(name, value) for name, value in facts if value and ours],
        notice=" ".join(notices),
        abstract=abstract(notebooks),
        keywords=[*["deep learning"] * ours, *(heading(notebook) or name for name, notebook, *_ in notebooks)],
        running=["sample data" if run.get("profile") == "sample" else "" for run in runs],
    )


def chapter(name: str) -> int:
    """The chapter number that a notebook's file name starts with; 1 where it starts with none."""
    number = re.match(r"\d+", name)
    return int(number[0]) if number else 1


def heading(notebook: NotebookNode) -> str:
    """A notebook's first heading of the first level, without its number; empty where there is none."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (title := _title(cell.get("source", ""))):
            return re.sub(r"^\d+\s*·\s*", "", title)
    return ""


def _title(text: str) -> str:
    if not re.search(r"^ {0,3}(# |=+ *$)|<h1", text, re.MULTILINE):  # it is read with care only if there may be one
        return ""
    html, formulas = markdown.to_html(text)
    found = re.search(r"<h1[^>]*>(.*?)</h1>", html, re.DOTALL)
    words = unescape(re.sub(r"<[^>]*>", "", found[1])) if found else ""
    return " ".join(markdown.MARK.sub(lambda mark: formulas[int(mark[1])].source, words).split())


def abstract(notebooks: Notebooks) -> list[str]:
    """Paragraphs: what the notebooks found, how their numbers compare with the published ones, what was asserted.

    All of it comes from what the notebooks carry; nothing where they carry none of it.
    """
    every = [said for _, notebook, *_ in notebooks for _, said in captioned(notebook)]
    headlines = [said["headline"] for said in every if said.get("headline")]
    claims = [claim for said in every for claim in said.get("claims", [])]
    checked = sum(bool(claim.get("checked")) for claim in claims)
    asserted = (
        _counted(checked, "statement of the text is", "statements of the text are") + " asserted in code beside it."
    )
    if left := len(claims) - checked:
        asserted += f" {_counted(left, 'other needs', 'others need')} more than sample data allow."
    return [" ".join(headlines)] * bool(headlines) + _compared(notebooks) + [asserted] * bool(claims)


def _compared(notebooks: Notebooks) -> list[str]:
    """The scorecard in one paragraph, from the scores that travel with the notebooks."""
    scores = {str(s.get("id")): s for _, nb, *_ in notebooks for _, said in captioned(nb) if (s := said.get("score"))}
    if not scores:
        return []
    from coursekit.scorecard import compare  # takes torch along, which a report of other notebooks does not need
    from coursekit.scorecard.measured import Score
    from coursekit.scorecard.published import PUBLISHED

    chapters = {chapter(name) for name, *_ in notebooks}
    wanted = [published for published in PUBLISHED.values() if published.notebook in chapters]
    try:
        rows = [compare.judge(p, Score(**scores[p.id]) if p.id in scores else None) for p in wanted]
    except (TypeError, ValueError) as error:
        raise NotebookError("a score in the outputs is not a score of ours; execute the notebook again") from error
    parts = []
    for verdict, one, many in VERDICTS:
        names = [row.published.name for row in rows if row.verdict == verdict]
        listed = f" ({', '.join(names)})" if len(names) <= NAMED else ""
        parts += [f"{len(names)}{listed} {one if len(names) == 1 else many}"] if names else []
    count = _counted(len(rows), "number", "numbers")
    return [f"Of {count} that the source courses published for these exercises, {'; '.join(parts)}."]


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
