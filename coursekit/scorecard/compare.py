"""Our numbers next to the published ones: each notebook records what it measured, the last one shows them all.

A notebook calls `record` where it has a number; `show` puts table and picture of all of them into a notebook. Nothing
is ever recorded from sample data.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from coursekit import files, notebook, settings
from coursekit.analysis import plots
from coursekit.errors import UsageError
from coursekit.runs.store import Result
from coursekit.scorecard import measured
from coursekit.scorecard.measured import Score
from coursekit.scorecard.published import PUBLISHED, Published

VERDICTS = ("reproduced", "outside", "no tolerance", "not run")
MARK = "<!-- scorecard: written by `coursekit scorecard --into` -->"
OVER_SEEDS = {"mean": np.mean, "median": np.median, "best": np.max}


@dataclass(frozen=True)
class Row:
    """A line of the scorecard: published, ours (None: not run), deviations in units of the tolerance, and a verdict."""

    published: Published
    score: Score | None
    ours: np.ndarray
    std: np.ndarray
    deviations: np.ndarray
    verdict: str


def record(
    id: str,
    values: Iterable[float] | Iterable[Sequence[float]],
    runs: Iterable[Result] = (),
    *,
    when: bool = True,
    epochs: int | None = None,
    seeds: int | None = None,
    device: str | None = None,
    note: str = "",
) -> None:
    """Put what was measured for a published number on the scorecard, and say in one line how it compares.

    `values`: a number for each seed, or a series for each seed where a series was published. `runs`: the results that
    they were read from; device, epochs and sample data are taken from those. What is no Experiment needs `epochs`;
    where there are no runs, give `when=REAL`, and `device` where it is not the machine's. `seeds` where it is not the
    number of values. `note` is shown beside the verdict. Only the published protocol is recorded: nothing is written
    for sample data, and for runs with fewer epochs or images. Raises UsageError for an id that is not in PUBLISHED, or
    when nothing says how many epochs were run.
    """
    if id not in PUBLISHED:
        raise UsageError(f"no published number {id!r}; the ids are in coursekit/scorecard/published.py")
    runs, published = list(runs), PUBLISHED[id]
    drawn = any(run.provenance["source"].startswith("sample data") for run in runs)
    epochs = min((run.experiment["epochs"] for run in runs if "epochs" in run.experiment), default=epochs)
    if published.epochs is not None and epochs is None:
        raise UsageError(f"{id}: say from which runs it is, or how many epochs were run")
    if settings.profile() == "sample" or drawn or not when:
        notebook.show_score(f"scorecard: {published.name}: not recorded, this run is not on the real data", None)
        return
    images = [run.experiment["train_size"] for run in runs if run.experiment.get("train_size") is not None]
    if images or (published.epochs or 0) > (epochs or 0):
        cut = f"{min(images):,} images" if images else f"{epochs} of {published.epochs} epochs"
        notebook.show_score(f"scorecard: {published.name}: not recorded, {cut} are less than was published", None)
        return
    values = [np.atleast_1d(value).astype(float).tolist() for value in values]
    made_on = device or ", ".join(sorted({run.provenance["device"] for run in runs})) or settings.device_name()
    score = Score(id, values, seeds or len(values), made_on, sorted(run.key[:8] for run in runs), note)
    score = Score(**files.as_read(asdict(score)))
    measured.save(score)
    row = judge(published, score)
    text = f"scorecard: {published.name}: {_ours(row)}, published {_published(published)}: {_verdict(row)}"
    notebook.show_score(text, asdict(score))


def judge(published: Published, score: Score | None) -> Row:
    """Compare one score with the published number; the verdict is a word or two.

    "reproduced" (every value inside its tolerance), "outside", "no tolerance" (none was agreed), "not run".
    """
    if score is None:
        nothing = np.array([])
        return Row(published, None, nothing, nothing, nothing, "not run")
    values = np.array(score.values, float)
    ours = OVER_SEEDS[published.over_seeds](values, axis=0)
    std = values.std(axis=0, ddof=1) if len(values) > 1 else np.full(len(ours), math.nan)
    deviations = published.deviations(ours)
    agreed = deviations[~np.isnan(deviations)]
    verdict = "no tolerance" if not len(agreed) else "reproduced" if (abs(agreed) <= 1).all() else "outside"
    return Row(published, score, ours, std, deviations, verdict)


def rows() -> list[Row]:
    """All published numbers in order."""
    return [judge(published, measured.load(id)) for id, published in PUBLISHED.items()]


def table() -> pd.DataFrame:
    """The scorecard as text, one line for each published number."""
    lines = {
        row.published.name: {
            "notebook": f"{row.published.notebook:02d}",
            "published": _published(row.published),
            "ours": _ours(row) if row.score else "–",
            "seeds": str(row.score.seeds) if row.score else "–",
            "verdict": _verdict(row),
        }
        for row in rows()
    }
    return pd.DataFrame(lines).T.rename_axis("published number")


def total(found: Iterable[Row]) -> str:
    """How often each verdict was given, in words."""
    verdicts = [row.verdict for row in found]
    return ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in VERDICTS if verdict in verdicts)


def markdown() -> str:
    """All published numbers as a table in Markdown, below the counts."""
    lines = table().reset_index().rename(columns={"verdict": "verdict, largest deviation in tolerances"})
    body = [list(lines.columns), ["---"] * lines.shape[1], *lines.to_numpy().tolist()]
    text = "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in body)
    return f"Of {len(PUBLISHED)} published numbers: {total(rows())}.\n\n{text}\n"


def write_into(path: Path) -> None:
    """Put `markdown` between the two marks of a file; raises UsageError where they are not."""
    files.write_between(path, MARK, markdown(), "the scorecard")


def show(name: str = "08-scorecard") -> None:
    """The scorecard as table and figure; what the verdicts add up to stands in the captions."""
    found = rows()
    counts = total(found)
    sample = " Sample data are not recorded: these are real runs." if settings.profile() == "sample" else ""
    devices = sorted({row.score.device for row in found if row.score})
    notebook.show_table(
        table(),
        f"All {len(found)} published numbers, with tolerance, next to ours: {counts}. Of a series the first and the "
        "last epoch are shown. The verdict names how many epochs are outside and the largest deviation, in tolerances. "
        "The published ResNet has 38 layers, ours 20. "
        f"Devices: {', '.join(devices) or '–'}.{sample}",
        name=f"{name}-table",
    )
    notebook.show_figure(
        _picture(found),
        name,
        "Our number minus the published one, in tolerances; each epoch of a series is one marker. Inside the grey band "
        f"means reproduced. On the right: the notebooks. In all: {counts}.{sample}",
    )


def _picture(found: list[Row]) -> Figure:
    """The deviations in two columns with a line between notebooks; a number that was not run has a word in its row."""
    half = -(-len(found) // 2)
    fig, axes = plots.figure(1, 2, height=1.2 + 0.2 * half)
    shared = dict(linestyle="", markersize=5)
    shades = plots.colors(["reproduced", "outside"])
    style = {
        "reproduced": dict(marker="o", color=shades["reproduced"], alpha=0.7) | shared,
        "outside": dict(marker="D", color=shades["outside"], alpha=0.7) | shared,
    }
    for ax, part in zip(axes, (found[:half], found[half:]), strict=True):
        plots.deviations({row.published.name: (row.deviations, style.get(row.verdict, {})) for row in part}, ax)
        ax.tick_params(axis="y", labelsize=10)
        ax.set_ylim(half - 0.4, -0.6)  # rows of both columns are level
        for place, row in enumerate(part):
            if row.verdict not in style:
                ax.text(0, place, row.verdict, ha="center", va="center", fontsize=9, color="0.4", backgroundcolor="0.9")
        _notebooks(ax, [row.published.notebook for row in part])
    seen = [verdict for verdict in style if any(row.verdict == verdict for row in found)]
    handles = [Line2D([], [], label=verdict, **style[verdict]) for verdict in seen]
    fig.legend(handles=handles, loc="outside upper center", ncols=2)
    return fig


def _notebooks(ax: Axes, numbers: Sequence[int]) -> None:
    """The number of each notebook to the right of its rows, and a line between two notebooks."""
    first = 0
    for number, group in itertools.groupby(numbers):
        end = first + len(list(group))
        if end < len(numbers):
            ax.axhline(end - 0.5, color="0.5", linewidth=0.8)
        middle = (first + end - 1) / 2
        ax.text(1.02, middle, f"{number:02d}", transform=ax.get_yaxis_transform(), va="center", fontsize=10)
        first = end


def _verdict(row: Row) -> str:
    """The verdict and what it rests on: how many values are outside, the largest deviation, and the note."""
    if row.verdict not in ("reproduced", "outside"):
        return row.verdict
    agreed = row.deviations[~np.isnan(row.deviations)]
    count = f"{(abs(agreed) > 1).sum()}/{len(agreed)}, " if row.verdict == "outside" and len(agreed) > 1 else ""
    note = f" ({row.score.note})" if row.score.note else ""
    return f"{row.verdict}, {count}{agreed[np.argmax(abs(agreed))]:+.1f}{note}"


def _ours(row: Row) -> str:
    if row.published.over_seeds != "mean" and len(row.ours) == 1:
        return f"{_texts(row.ours)} ({row.published.over_seeds})"
    only = len(row.ours) == 1 and not math.isnan(row.std[0])
    return _texts(row.ours) + (f" ± {_texts(row.std)}" if only else "")


def _published(published: Published) -> str:
    number = published.in_words or _texts(published.values)
    agreed = f" {published.agreed}" if published.agreed.startswith("±") else f" ({published.agreed})"
    return number + agreed + (f", again {_texts(published.repeats)}" if published.repeats else "")


def _texts(numbers: Sequence[float]) -> str:
    """Four decimals, fewer where the numbers are large; of a long series the first and the last."""
    largest = max(abs(number) for number in numbers)
    decimals = 0 if largest >= 1000 else 1 if largest >= 10 else 4
    texts = [f"{number:,.{decimals}f}" for number in numbers]
    return f"{texts[0]} … {texts[-1]}" if len(texts) > 4 else ", ".join(texts)
