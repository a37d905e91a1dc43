"""What a notebook's display calls put beside their outputs, for the report to read."""

import pandas as pd
import pytest

from coursekit import notebook, plots


@pytest.fixture
def shown(monkeypatch):
    """Bundles and metadata in the order in which they were shown."""
    found = []
    monkeypatch.setattr(notebook, "_show", lambda bundle, said: found.append((bundle, said)))
    return found


def test_a_figure_carries_its_name_caption_and_width_and_a_screen_gets_an_anchor(shown):
    notebook.show_figure(plots.figure()[0], "01-x", "What is seen.")
    (bundle, said), (live, only) = shown
    assert set(bundle) == {"image/svg+xml", "text/plain"}
    assert (said["figure"], said["caption"]) == ("01-x", "What is seen.")
    assert 0 < said["width"] <= 100
    assert live["text/markdown"] == '<a id="01-x"></a>*What is seen.*'
    assert only == {"live": True}


def test_a_table_has_a_name_where_it_is_given_one(shown):
    frame = pd.DataFrame({"a": [1]})
    notebook.show_table(frame, "What is counted.")
    notebook.show_table(frame, "What is counted.", name="01-t")
    assert [said for _, said in shown if "caption" in said] == [
        {"caption": "What is counted."},
        {"caption": "What is counted.", "table": "01-t"},
    ]
    assert [bundle["text/markdown"] for bundle, said in shown if said == {"live": True}] == [
        "*What is counted.*",
        '<a id="01-t"></a>*What is counted.*',
    ]


def test_a_headline_is_for_the_abstract_only_where_the_finding_holds(shown):
    notebook.finding("It is so.", headline="So.")
    notebook.finding("It is so.", when=False, headline="So.")
    notebook.finding("It is so.")
    assert [said.get("headline") for _, said in shown] == ["So.", None, None]
    assert "none in this profile" in shown[1][0]["text/plain"]
