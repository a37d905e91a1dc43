"""Every work that a notebook cites stands in full at its end, with a link that leads to it."""

import re
from pathlib import Path

import pytest

from coursekit.errors import UsageError
from coursekit.notebook import references

SOURCES = sorted((Path(__file__).parents[2] / "notebooks" / "src").glob("*.py"))
CODE = "".join(path.read_text(encoding="utf-8") for path in Path(references.__file__).parents[1].rglob("*.py"))
ONE_AUTHOR = re.compile(r"\b([A-Z][\wé’-]+) ((?:19|20)\d\d)\b")  # or a name and a year
CITATION = re.compile(r"\b([A-Z][\wé’-]+) (?:et al\.|(?:&|and) [A-Z][\w’-]+),? ((?:19|20)\d\d)\b")


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_what_a_notebook_cites_and_loads_is_what_it_lists(source):
    text = source.read_text(encoding="utf-8")
    [listed] = re.findall(r"^show_references\(([^)]*)\)", text, re.M)
    listed, loaded = set(re.findall(r'"(\w+)"', listed)), set(re.findall(r'data\.load\("(\w+)"\)', text))
    assert cited_in(text) | loaded <= listed
    assert listed <= cited_in(text + CODE) | loaded, "a work that neither its text nor the code that it shows cites"


def cited_in(text: str) -> set[str]:
    alone = {f"{author.lower()}{year}" for author, year in ONE_AUTHOR.findall(text)} & set(references.keys())
    return alone | {f"{author.lower()}{year}" for author, year in CITATION.findall(text)}


def test_every_work_is_cited_somewhere():
    everything = CODE + "".join(source.read_text(encoding="utf-8") for source in SOURCES)
    assert cited_in(everything) <= set(references.keys())
    assert set(references.keys()) - cited_in(everything) == {"cifar10", "letters", "mnist"}


def test_every_work_has_its_authors_title_year_and_link():
    paragraphs = references.listed(*references.keys()).split("\n\n")
    assert len(paragraphs) == len(references.keys()) == len(set(references.keys()))
    for paragraph in paragraphs:
        assert re.fullmatch(r"[A-Z].+\. (?:(?:19|20)\d\d|n\.d)\. .+ <https://\S+>\.", paragraph)


def test_each_is_listed_once_however_often_it_is_named():
    assert references.listed("he2016", "he2016") == references.listed("he2016")
    assert "Deep Residual Learning for Image Recognition" in references.listed("he2016")


def test_an_unknown_work_is_one_line():
    with pytest.raises(UsageError, match=r"^no nobody1999 in references.bib; it has .*cifar10, .*he2016"):
        references.listed("he2016", "nobody1999")
