"""The words that a learner reads: no word of the list, no internal code, no endless sentence."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WORDS = re.compile(
    r"\b(?:"
    r"anew|whoever|whom|by heart|in any case|stands? beside|rightly|what is (?:held|left|told)|nobody'?s"
    r"|none of them is|as it stands|goes? on (?:with|in)"
    r"|is no (?:\w+ )?(?:such|name|address|run|sandbox|bug)|there is no (?:name|such)"
    r"|so many|for ever|comes? to (?:know|nothing)|beside (?:ours|each other|the published)|the way back"
    r"|bends?(?! over)|(?:is|are) told|taken (?:out|anew|up)"
    r")\b",
    re.IGNORECASE,
)
CODES = re.compile(r"\b[SREP]\d+(?:\.\w+)+\b|\b[RE]\d{1,2}\b(?! ?\()|\bS[0-4]\b")
LONGEST = 45  # words of a sentence
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NOTEBOOKS = sorted((ROOT / "notebooks" / "src").glob("*.py"))
MODULES = sorted((ROOT / "coursekit").rglob("*.py"))


def strings(code: str) -> list[str]:
    """What the code says in strings of four words or more."""
    constants = (node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant))
    return [value for value in constants if isinstance(value, str) and value.count(" ") >= 3]


def texts_of_notebook(path: Path) -> list[str]:
    texts = []
    for cell in re.split(r"(?m)^(?=# %%)", path.read_text(encoding="utf-8")):
        if "[markdown]" in cell.split("\n", 1)[0]:
            texts.append(re.sub(r"(?m)^# ?", "", cell.split("\n", 1)[1]))
        else:
            texts += strings(cell)
    return texts


def prose(text: str) -> str:
    """Without code, formulas and tables."""
    return re.sub(r"```.*?```|`[^`]*`|\$[^$]*\$|^\|.*?$", " ", text, flags=re.DOTALL | re.MULTILINE)


def faults(text: str, codes: bool = True, long: bool = True) -> list[str]:
    plain = prose(text)
    found = [match[0] for match in WORDS.finditer(plain)]
    found += [match[0] for match in CODES.finditer(plain)] if codes else []
    if long:
        sentences = re.split(r"(?<=[.!?:;])\s+|\n\s*\n|\n\s*[-*#|>]", plain)
        found += [" ".join(sentence.split()[:8]) + " …" for sentence in sentences if len(sentence.split()) > LONGEST]
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_is_plain_english(path):
    found = faults(
        path.read_text(encoding="utf-8"), codes=path.stem not in ("reliability", "CONTRIBUTING", "architecture")
    )
    assert found == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_plain_english(path):
    assert [fault for text in texts_of_notebook(path) for fault in faults(text)] == []


def test_messages_and_docstrings_are_plain_english():
    found = {
        path.relative_to(ROOT).as_posix(): [
            fault for text in strings(path.read_text(encoding="utf-8")) for fault in faults(text, codes=False)
        ]
        for path in MODULES
    }
    assert {path: each for path, each in found.items() if each} == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Whoever reads this.", ["Whoever"]),
        ("for every seed, `so many`, $anew$", []),
        ("It is told, and the curve bends.", ["is told", "bends"]),
        ("The number S2.1A and E11.", ["S2.1A", "E11"]),
        ("a " * 46 + ".", ["a a a a a a a a …"]),
    ],
)
def test_what_is_found(text, found):
    assert faults(text) == found
