"""The report of the eight committed notebooks, as one would hand it in: read back page by page."""

import re
from pathlib import Path

import pytest

from coursekit.report import export, front_page
from coursekit.scorecard import compare

ROOT = Path(__file__).parents[2]
PATHS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
NUMBER = re.compile(r"\b(?:Figure|Table)[ \xa0](\d+)\.(\d+)\.")


@pytest.fixture(scope="module")
def notebooks():
    return export.read(PATHS)


@pytest.fixture(scope="module")
def html(notebooks):
    return export.to_html(notebooks, "T", "A")


@pytest.fixture(scope="module")
def pdf(notebooks):
    return export.to_pdf(notebooks, "T", "A")


@pytest.fixture(scope="module")
def pages(pdf, read_pdf):
    """The lines of each page, without its head and its foot."""
    texts = [page.get_textpage().get_text_bounded().replace("\xa0", " ") for page in read_pdf(pdf)]
    return [[line.strip() for line in text.splitlines() if line.strip()] for text in texts]


def headings(html: str) -> list[tuple[int, str]]:
    """Level and words of the numbered and the last headings."""
    found = re.findall(r"<h([123])[^>]* id=[^>]*>(.*?)</h\1>", html, re.DOTALL)
    return [(int(level), " ".join(re.sub(r"<[^>]+>", "", text).replace("’", "'").split())) for level, text in found]


def captions(html: str, kind: str) -> list[str]:
    tag = {"Figure": "figcaption", "Table": "caption"}[kind]
    return [
        re.sub(r"<[^>]+>", "", text)
        for text in re.findall(rf"<{tag}(?: [^>]*)?>(.*?)</{tag}>", html, re.DOTALL)
        if kind in text
    ]


@pytest.mark.parametrize("kind", ["Figure", "Table"])
def test_every_figure_and_table_has_a_caption_and_a_number_of_its_own(html, kind):
    texts = captions(html, kind)
    assert len(texts) == len(re.findall(rf"<{'figure' if kind == 'Figure' else 'table'}[ >]", html)) > 40
    numbers = [tuple(map(int, NUMBER.match(text).groups())) for text in texts]
    chapters = sorted({chapter for chapter, _ in numbers})
    assert chapters == list(range(1, 9))
    for chapter in chapters:
        of_chapter = [number for c, number in numbers if c == chapter]
        assert of_chapter == list(range(1, len(of_chapter) + 1))
    assert all(len(text.split()) > 4 for text in texts), "a caption says what there is to see"


def test_both_documents_have_the_same_numbers(html, pages):
    in_html = {
        match[0] for kind in ("Figure", "Table") for text in captions(html, kind) for match in [NUMBER.match(text)]
    }
    in_pdf = [match[0] for lines in pages for line in lines for match in [NUMBER.match(line)] if match]
    assert sorted(set(in_pdf)) == sorted({number.replace("\xa0", " ") for number in in_html})


def test_every_link_inside_leads_somewhere(html):
    targets = re.findall(r'href="#([^"]+)"', html)
    assert len(targets) > 100  # the table of contents
    ids = re.findall(r'id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(targets) <= set(ids)


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks" / "src").glob("*.py")), ids=lambda path: path.stem)
def test_what_a_notebook_refers_to_is_a_figure_or_table_of_it(path):
    text = path.read_text()
    names = re.findall(r"\]\(#([^)]+)\)", text)
    assert names
    for name in names:
        assert f'"{name}"' in text, name


def test_sections_are_bookmarks(html, pdf, read_pdf):
    titles = [title for _, title in headings(html)]
    bookmarks = list(read_pdf(pdf).get_toc())
    assert [" ".join(item.get_title().split()) for item in bookmarks] == titles
    assert [item.level + 1 for item in bookmarks] == [level for level, _ in headings(html)]
    assert titles[0] == "1 An MLP from scratch"
    assert titles[-1] == "Collaboration and sources"
    assert titles[-2].endswith(" References")


def test_the_file_says_what_it_is(pdf, read_pdf, notebooks):
    said = read_pdf(pdf).get_metadata_dict()
    assert (said["Title"], said["Author"]) == ("T", "A")
    assert said["Keywords"].split(", ")[:3] == ["deep learning", "An MLP from scratch", "Activations and XOR"]
    assert said["Subject"] == " ".join(front_page.abstract(notebooks))
    assert len(pdf) < 15e6


def test_no_text_leaves_the_margins(pdf, read_pdf):
    for number, page in enumerate(read_pdf(pdf), 1):
        text, (width, height) = page.get_textpage(), page.get_size()
        for i in range(text.count_rects()):
            left, bottom, right, top = text.get_rect(i)
            inside = left > 55 and right < width - 55 and bottom > 30 and top < height - 30  # margins: 60 points
            assert inside, f"page {number}: {text.get_text_bounded(left, bottom, right, top)!r}"


def test_no_text_lies_on_other_text(pdf, read_pdf):
    for number, page in enumerate(read_pdf(pdf), 1):
        text = page.get_textpage()
        boxes = sorted((text.get_rect(i) for i in range(text.count_rects())), key=lambda box: box[1])
        for i, (left, bottom, right, top) in enumerate(boxes):
            for other in boxes[i + 1 :]:
                if other[1] >= top:
                    break
                wide, high = min(right, other[2]) - max(left, other[0]), min(top, other[3]) - other[1]
                on = wide > 3 and high > 0.6 * min(top - bottom, other[3] - other[1]) > 2
                assert not on, f"page {number}: {text.get_text_bounded(*other)!r}"


def test_no_page_ends_with_a_heading(pages, html):
    titles = {title for _, title in headings(html)}
    for number, lines in enumerate(pages[3:], 4):
        assert lines[-1].startswith(f"{number} / ")
        assert lines[-2] not in titles, f"page {number}"


def test_no_raw_tex_and_no_markup(pages):
    text = "\n".join(line for lines in pages for line in lines)
    assert not re.search(r"\$\$|\\(frac|begin|sum|mathrm|sqrt|hat|partial)\b|</?(details|summary|table|div)\b", text)
    assert "](#" not in text
    assert "\N{REPLACEMENT CHARACTER}" not in text


def test_every_character_has_a_font(notebooks, capsys):
    export.to_pdf(notebooks[1:2])
    assert capsys.readouterr().err == ""


def test_the_head_names_the_chapter(pages):
    middle = next(lines for lines in pages if any(line.startswith("Table 4.1.") for line in lines))
    assert middle[0].startswith("4 Gradient flow")
    assert "sample data" not in middle[0] + middle[1]


def test_the_abstract_counts_as_the_scorecard_does(notebooks, monkeypatch):
    monkeypatch.setenv("COURSEKIT_RESULTS", str(ROOT / "results"))
    verdicts = [row.verdict for row in compare.rows()]
    text = " ".join(front_page.abstract(notebooks))
    assert f"Of {len(verdicts)} numbers" in text
    for verdict, words in (("reproduced", "lie"), ("outside", "lie outside")):
        assert f"{verdicts.count(verdict)} {words}" in text or verdicts.count(verdict) < 4
