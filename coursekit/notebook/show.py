"""What a notebook's cells show: source code, figures and tables with captions, findings, where the data come from.

Outputs carry what the report needs (caption, width, run) in their metadata, so the report never parses code.
"""

import inspect
import io
import os
import platform
import re
import textwrap
from html import escape

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.figure import Figure
from PIL import Image

from coursekit import __version__, settings
from coursekit.analysis import plots
from coursekit.data.datasets import Dataset
from coursekit.notebook import references
from coursekit.training import threads

PAGE_WIDTH = 10.4  # inches of a figure that fills the width of a page: with two panels, letters are as large as code
RUN = "run"  # output metadata that the runner gathers: profile, device, data sources


def setup(name: str = "") -> str:
    """Set the figures' style, say on what this notebook runs, and return the profile.

    `name` is the folder of the results store that keeps what this notebook trains.
    """
    if name:
        os.environ["COURSEKIT_NOTEBOOK"] = name
    plots.set_theme()
    quickest = threads.choose()
    name = settings.device_name()
    if quickest < threads.MOST:
        name = f"CPU (1 of {threads.MOST} threads, the quicker now)"
    run = dict(profile=settings.profile(), device=name, torch=torch.__version__, python=platform.python_version())
    sample = "sample data · " * (run["profile"] == "sample")
    line = f"{sample}{name} · torch {run['torch']} · coursekit {__version__}"
    _show({"text/plain": line}, {RUN: run | {"coursekit": __version__}})
    return run["profile"]


def show_data(*datasets: Dataset) -> None:
    """One line per data set: sizes, classes, and where the pixels come from."""
    lines = "\n".join(f"- {dataset}" for dataset in datasets)
    if any(dataset.is_sample for dataset in datasets):
        lines += "\n\n**Sample data: the numbers below say nothing about the real data sets.**"
    sources = {dataset.name: dataset.source for dataset in datasets}
    _show({"text/markdown": lines, "text/plain": lines}, {RUN: {"sources": sources}})


def show_source(*objects) -> None:
    """The code of functions and classes of the tested package."""
    code = "\n\n".join(textwrap.dedent(inspect.getsource(item)).rstrip() for item in objects)
    _show({"text/markdown": f"```python\n{code}\n```", "text/plain": code}, {"source": True})


def show_figure(fig: Figure, name: str, caption: str, pixels: bool = False) -> None:
    """Show a figure with its caption and close it; `name` is its file under figures/.

    Lines are drawn as SVG. `pixels` makes a PNG of 130 dpi and 128 colours instead: smaller for pictures and for many
    thousand points.
    """
    kind, mime = ("png", "image/png") if pixels else ("svg", "image/svg+xml")
    buffer = io.BytesIO()
    options = dict(dpi=130) if pixels else dict(metadata={"Date": None})
    width = min(100, round(100 * fig.get_tightbbox().width / PAGE_WIDTH))
    fig.savefig(buffer, format=kind, bbox_inches="tight", **options)
    plt.close(fig)
    content = buffer.getvalue()
    content = _in_few_colours(content) if pixels else _on_one_line(content.decode())
    _show({mime: content, "text/plain": caption}, {"figure": name, "caption": caption, "width": width})
    _show_caption(caption, name)


def _in_few_colours(png: bytes) -> bytes:
    """A PNG with a palette of 128 colours: less than half the size, and the same to the eye."""
    smaller = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB").quantize(128, method=Image.Quantize.MAXCOVERAGE)
    picture.save(smaller, "png", optimize=True, dpi=(150, 150))
    return smaller.getvalue()


def _on_one_line(svg: str) -> str:
    """SVG without comments and line breaks: a notebook keeps each line with its own quotes and indentation."""
    return " ".join(re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL).split())


def show_table(frame: pd.DataFrame, caption: str, name: str = "") -> None:
    """Show a table with its caption; values are printed as they are, so format them first.

    `name` is what links call it: in a report, [the table](#01-sweep) becomes "Table 1.2". Figures have theirs anyway.
    """
    named = frame.index.name is not None  # a named index is a column of the table
    frame = frame.reset_index() if named else frame
    bundle = {"text/html": frame.to_html(border=0, index=not named), "text/plain": frame.to_string(index=not named)}
    _show(bundle, {"caption": caption} | ({"table": name} if name else {}))
    _show_caption(caption, name)


def show_references(*works: str) -> None:
    """The works of these names in `references.bib` in full, at the end of a notebook."""
    text = references.listed(*works)
    _show({"text/markdown": text, "text/plain": text}, {"references": list(works)})


def _show_caption(caption: str, name: str) -> None:
    """The caption below, on a screen; a report prints its own. Links lead here."""
    anchor = f'<a id="{name}"></a>' if name else ""
    _show({"text/markdown": f"{anchor}*{caption}*", "text/plain": ""}, {"live": True})


def finding(text: str, when: bool = True, headline: str = "") -> None:
    """What the run shows, its numbers formatted from variables; `when` is False where sample data cannot show it.

    `headline` says the chapter's main result in one plain sentence, for the abstract of a report.
    """
    if not when:
        text, headline = "none on sample data: it needs the published protocol.", ""
    said = {"finding": True} | ({"headline": headline} if headline else {})
    _show({"text/markdown": f"> **Finding.** {text}", "text/plain": text}, said)


class _Claims(list):
    """The claims of the cell that runs now, and their one output."""

    cell: object = None
    output = None


_claims = _Claims()


def claim(holds: bool, text: str, when: bool = True) -> None:
    """Assert what a finding says; `when` is False on sample data. All claims of a cell are one line that unfolds.

    Raises AssertionError when it does not hold.
    """
    global _claims
    assert holds or not when, f"claim does not hold: {text}"
    shell = _shell()
    if shell is None or _claims.cell != shell.execution_count:
        _claims = _Claims()
        _claims.cell = shell and shell.execution_count
    _claims.append({"text": text, "checked": bool(when)})
    _claims.output = _show(_unfolding(_claims), {"claims": list(_claims)}, _claims.output)


def _unfolding(claims: list[dict]) -> dict:
    """How many checks passed; in a browser a click shows them."""
    passed = sum(each["checked"] for each in claims)
    counts = [f"{passed} check{'s' * (passed != 1)} passed"] * bool(passed)
    counts += [f"{len(claims) - passed} not made on sample data"] * (passed < len(claims))
    line = ", ".join(counts)
    rows = "".join(f"<li>{escape(each['text'], quote=False)}</li>" for each in claims)
    listed = "\n".join(f"- {each['text']}" for each in claims)
    return {
        "text/html": f"<details><summary>{line}</summary><ul>{rows}</ul></details>",
        "text/plain": f"{line}:\n{listed}",
    }


def show_score(text: str, score: dict | None) -> None:
    """One line on a number that went onto the scorecard; the score itself travels with the output."""
    _show({"text/plain": text}, {"score": score})


def show_verdict(text: str, markdown: str, verdict: dict) -> None:
    """What a check of a learner's code says; piece and status travel with the output."""
    _show({"text/markdown": markdown, "text/plain": text}, {"check": verdict})


def _shell():
    """The notebook's shell; None where this is no notebook."""
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    return get_ipython()


def _show(bundle: dict, metadata: dict, output=None):
    """Display in a notebook, or replace what an `output` shows; returns the output.

    Where there is no notebook the text is printed, so that a notebook's source runs as a plain script.
    """
    if _shell() is None:
        if bundle["text/plain"]:
            print(bundle["text/plain"])
        return None
    from IPython.display import display

    metadata = {"coursekit": metadata}
    if output is None:
        return display(bundle, raw=True, metadata=metadata, display_id=True)
    output.update(bundle, raw=True, metadata=metadata)
    return output
