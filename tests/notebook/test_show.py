"""What a notebook's display calls put beside their outputs, for the report to read."""

import types

import pandas as pd
import pytest
import torch

from coursekit.analysis import plots
from coursekit.data.datasets import Dataset
from coursekit.notebook import show


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


def test_a_figure_loses_the_line_breaks_inside_its_tags_and_its_indentation():
    drawn = '<g>\n  <path d="M 1 2 \nL 3 4 \n"\n   id="a"/>\n  <!-- a -->\n</g>\n'
    assert show._compact(drawn) == '<g>\n<path d="M 1 2 L 3 4 " id="a"/>\n<!-- a -->\n</g>\n'


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
