"""What a notebook's display calls put beside their outputs, for the report to read."""

import io
import re
import types

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from coursekit.analysis import plots
from coursekit.data.datasets import Dataset
from coursekit.notebook import outputs, show


@pytest.fixture
def shown(monkeypatch):
    """Bundles and metadata in the order in which they were shown."""
    found = []
    monkeypatch.setattr(show, "_show", lambda bundle, said, output=None: found.append((bundle, said)))
    return found


def test_a_figure_carries_its_name_caption_and_width_and_a_screen_gets_an_anchor(shown):
    show.show_figure(plots.figure()[0], "01-x", "What is seen.")
    (bundle, said), (live, only) = shown
    assert set(bundle) == {"image/svg+xml", "text/plain"}
    assert (said["figure"], said["caption"]) == ("01-x", "What is seen.")
    assert 0 < said["width"] <= 100
    assert live["text/markdown"] == '<a id="01-x"></a>*What is seen.*'
    assert only == {"live": True}


def test_a_figure_is_as_wide_as_what_is_drawn_beside_its_axes_too(shown):
    fig, (ax,) = plots.figure()
    fig.set_layout_engine("none")
    fig.set_size_inches(2, 2)
    ax.text(2, 0.5, "beside")
    show.show_figure(fig, "01-x", "What is seen.")
    bundle, said = shown[0]
    points = float(re.search(r'<svg[^>]* width="([\d.]+)pt"', bundle["image/svg+xml"])[1])
    assert points / 72 > 3
    assert said["width"] == pytest.approx(100 * points / 72 / show.PAGE_WIDTH, abs=5)


def test_a_drawing_is_one_line_without_comments_and_draws_all_that_it_did(shown):
    fig = plots.figure()[0]
    fig.axes[0].set_title("a title")
    show.show_figure(fig, "01-x", "What is seen.")
    drawn = shown[0][0]["image/svg+xml"]
    assert "\n" not in drawn
    assert "<!--" not in drawn
    squeezed = show._on_one_line('<svg>\n <!-- a\nb -->\n <path d="M 0 1\nL 2 3"/>\n</svg>\n')
    assert squeezed == '<svg> <path d="M 0 1 L 2 3"/> </svg>'


def test_a_picture_is_a_png_of_few_colours_that_are_those_it_was_drawn_with(shown):
    fig = plt.figure(figsize=(1, 1), facecolor=(0.2, 0.4, 0.8))
    show.show_figure(fig, "01-x", "What is seen.", pixels=True)
    picture = Image.open(io.BytesIO(shown[0][0]["image/png"]))
    assert picture.mode == "P"
    assert len(picture.getcolors()) <= 128
    assert picture.convert("RGB").getpixel((5, 5)) == (51, 102, 204)


def test_a_table_has_a_name_where_it_is_given_one(shown):
    frame = pd.DataFrame({"a": [1]})
    show.show_table(frame, "What is counted.")
    show.show_table(frame, "What is counted.", name="01-t")
    assert [said for _, said in shown if "caption" in said] == [
        {"caption": "What is counted."},
        {"caption": "What is counted.", "table": "01-t"},
    ]
    assert [bundle["text/markdown"] for bundle, said in shown if said == {"live": True}] == [
        "*What is counted.*",
        '<a id="01-t"></a>*What is counted.*',
    ]


def test_a_claim_that_does_not_hold_is_raised_and_shows_nothing(shown):
    with pytest.raises(AssertionError, match=r"^claim does not hold: it is so$"):
        show.claim(False, "it is so")
    assert shown == []


@pytest.fixture
def cell(monkeypatch):
    """A notebook's shell that runs cell 1."""
    shell = types.SimpleNamespace(execution_count=1)
    monkeypatch.setattr(show, "_shell", lambda: shell)
    return shell


def test_the_claims_of_a_cell_are_one_output_that_counts_them(shown, cell):
    show.claim(True, "a < b")
    show.claim(True, "this too")
    cell.execution_count = 2
    show.claim(True, "of the next cell")
    texts = [bundle["text/plain"] for bundle, _ in shown]
    assert texts == [
        "1 check passed:\n- a < b",
        "2 checks passed:\n- a < b\n- this too",
        "1 check passed:\n- of the next cell",
    ]
    assert shown[1][1] == {"claims": [{"text": "a < b", "checked": True}, {"text": "this too", "checked": True}]}
    assert "<summary>2 checks passed</summary><ul><li>a &lt; b</li>" in shown[1][0]["text/html"]


def test_a_claim_that_is_not_checked_says_so(shown, cell):
    show.claim(False, "it needs more", when=False)
    show.claim(True, "it is so")
    (first, _), (bundle, said) = shown
    assert first["text/plain"].startswith("1 not made on sample data:")
    assert bundle["text/plain"].startswith("1 check passed, 1 not made on sample data:")
    assert [each["checked"] for each in said["claims"]] == [False, True]


def dataset(name: str, source: str) -> Dataset:
    images, labels = torch.zeros(4, 2, 2, dtype=torch.uint8), torch.zeros(4, dtype=torch.uint8)
    return Dataset(name, images, labels, images[:1], labels[:1], ("a", "b"), source, "0" * 64)


REAL, DRAWN = dataset("mnist", "MNIST, verified"), dataset("letters", "sample data drawn by code")


@pytest.mark.parametrize(
    ("datasets", "notice"), [([REAL], False), ([DRAWN], True), ([REAL, DRAWN], True), ([DRAWN, REAL], True)]
)
def test_sample_data_are_noticed_wherever_they_stand(datasets, notice, shown):
    show.show_data(*datasets)
    [(bundle, said)] = shown
    lines = bundle["text/markdown"].splitlines()
    assert lines[: len(datasets)] == [f"- {each}" for each in datasets]
    assert ("Sample data: the numbers below say nothing about the real data sets" in lines[-1]) == notice
    assert bundle["text/plain"] == bundle["text/markdown"]
    assert said == {"run": {"sources": {each.name: each.source for each in datasets}}}


def test_the_data_of_all_cells_are_gathered_with_what_else_they_say_of_their_run(shown):
    show.show_data(REAL)
    show.show_data(DRAWN)
    said = [{"run": {"profile": "cpu"}}, *(said for _, said in shown), {"caption": "of a table"}]
    cells = [new_code_cell(outputs=[new_output("display_data", metadata={"coursekit": each})]) for each in said]
    sources = {"mnist": "MNIST, verified", "letters": "sample data drawn by code"}
    assert outputs.gather_run(new_notebook(cells=cells)) == {"profile": "cpu", "sources": sources}


def test_a_finding_that_the_profile_cannot_show_is_not_told(shown):
    show.finding("It is so.")
    show.finding("It is so.", when=False)
    assert ["It is so." in bundle["text/markdown"] for bundle, _ in shown] == [True, False]
    assert all(bundle["text/markdown"].startswith("> **Finding.** ") for bundle, _ in shown)
    assert all(said == {"finding": True} for _, said in shown)


def test_a_headline_is_for_the_abstract_only_where_the_finding_holds(shown):
    show.finding("It is so.", headline="So.")
    show.finding("It is so.", when=False, headline="So.")
    show.finding("It is so.")
    assert [said.get("headline") for _, said in shown] == ["So.", None, None]
    assert "none on sample data" in shown[1][0]["text/plain"]
