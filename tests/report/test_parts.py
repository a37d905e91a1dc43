"""What a report is made of: how much code, numbers and links to them, cover and abstract, last page; one or each."""

import re

import nbformat
import pandas as pd
import pytest
from nbconvert.exporters import get_exporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from coursekit.cli import main
from coursekit.report import cells as report_cells
from coursekit.report import export, front_page, tree
from coursekit.report.losses import Losses
from coursekit.scorecard.published import PUBLISHED

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
SHOWN_SOURCE = {"text/markdown": "```python\ndef from_package(): ...\n```", "text/plain": "PLAIN"}


def shown(bundle: dict, **said):
    return new_output("display_data", bundle, metadata={"coursekit": said})


def figure(name="", caption="What is seen."):
    return shown({"image/png": PIXEL, "text/plain": caption}, figure=name, caption=caption, width=20)


def table(name="", caption="What is counted."):
    html = pd.DataFrame({"a": ["1"]}).to_html(border=0)
    return shown({"text/html": html, "text/plain": "1"}, table=name, caption=caption)


def code(source, *outputs, tags=()):
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def echo(text):
    return new_output("execute_result", {"text/plain": text})


def book(*cells, **kit):
    return new_notebook(cells=[new_markdown_cell("# 07 · Title"), *cells], metadata={"coursekit": kit})


@pytest.fixture
def cells():
    return [
        code("import in_setup", tags=["setup"]),
        code("PARAMETERS = 1", tags=["parameters"]),
        code("key_line = 1", echo("'echo of key'"), tags=["key"]),
        code("plumbing = 1", echo("'echo of plumbing'"), new_output("stream", text="printed\n")),
        code("show_source(f)", shown(SHOWN_SOURCE, source=True)),
        code("drawing()", figure("07-a"), tags=["figure"]),
        code("claim(True)", shown({"text/plain": "✓ holds"}, claims=[{"text": "", "checked": True}]), tags=["claim"]),
    ]


ALL = {"PARAMETERS", "key_line", "plumbing = 1", "from_package", "echo of key", "echo of plumbing"}


@pytest.mark.parametrize(
    ("mode", "kept"), [("all", ALL), ("key", {"key_line", "from_package", "echo of key"}), ("none", set())]
)
@pytest.mark.parametrize("make", [export.to_html, export.to_pdf])
def test_code_that_was_asked_for_and_no_other(cells, mode, kept, make, text_of):
    made = make([("07_x", book(*cells))], code=mode)
    text = text_of(made) if isinstance(made, bytes) else re.sub(r"<[^>]+>", "", made)
    assert {word for word in ALL if word in text} == kept
    for word in ("in_setup", "show_source", "drawing", "claim("):
        assert word not in text
    for word in ("printed", "What is seen."):
        assert word in text


def test_a_notebook_that_marks_no_code_keeps_its_code():
    text = export.to_html([("mine", book(code("mine = 1", echo("2"))))], code="key")
    assert "mine" in text
    assert "mine = 1" not in re.sub(r"<[^>]+>", "", export.to_html([("mine", book(code("mine = 1")))], code="none"))


def text_in(notebook, folder, **options) -> str:
    read = report_cells.read("07_x", notebook, folder, Losses(), **options)
    return "\n".join(tree.text_of(cell.blocks) for cell in read)


def test_a_learners_own_code_is_shown_and_ours_is_enough_where_it_stands_beside_it(cells, tmp_path):
    stub = "def mine():\n    # BEGIN SOLUTION\n    return 42\n    # END SOLUTION"
    exercise = code(stub, new_output("stream", text="right\n"), tags=["exercise"])
    handed_in = text_in(book(*cells, exercise), tmp_path)
    assert "def mine():\n    return 42" in handed_in
    ours = code("show_source(ours)", shown(SHOWN_SOURCE, source=True), tags=["solution"])
    solved = text_in(book(*cells, exercise, ours), tmp_path)
    assert "mine" not in solved
    assert "right" in solved
    everything = text_in(book(*cells, exercise, ours), tmp_path, code="all")
    assert "return 42" in everything
    assert "SOLUTION" not in everything


def test_the_export_menu_takes_the_code_that_matters_and_an_option_says_otherwise(cells):
    exporter = get_exporter("coursekit_html")
    text = exporter().from_notebook_node(book(*cells))[0]
    assert "key_line" in text
    assert "plumbing = 1" not in re.sub(r"<[^>]+>", "", text)
    assert "plumbing = 1" in re.sub(r"<[^>]+>", "", exporter(code="all").from_notebook_node(book(*cells))[0])
    assert "<h1>Title</h1>" in text


def test_claims_are_left_to_the_abstract_and_scores_are_one_block(tmp_path):
    claims = shown({"text/plain": "2 checks passed"}, claims=[{"checked": True}] * 2)
    lines = [shown({"text/plain": f"score {i}"}, score=None) for i in range(3)]
    cell = code("", claims, *lines[:2], new_output("stream", text="between\n"), lines[2])
    [read] = report_cells.read("07_x", new_notebook(cells=[cell]), tmp_path, Losses())
    assert [block["c"][-1] for block in read.blocks] == ["score 0\nscore 1", "between", "score 2"]


def links(html: str) -> list[tuple[str, str]]:
    body = html.split("<main>")[1]
    return [
        (target, " ".join(text.split())) for target, text in re.findall(r'<a\s+href="#([^"]*)">(.*?)</a>', body, re.S)
    ]


def test_a_link_to_a_figure_or_a_table_says_its_number():
    text = new_markdown_cell("See [the curves](#07-b), [the table](#07-t), [before](#06-a) and [nowhere](#gone).")
    one = ("06_x", new_notebook(cells=[new_markdown_cell("# 06 · One"), code("x", figure("06-a")), code("x", table())]))
    two = ("07_y", book(text, code("x", figure("07-a"), figure("07-b")), code("x", table(), table("07-t"))))
    html = export.to_html([one, two])
    assert links(html) == [("07-b", "Figure 7.2"), ("07-t", "Table 7.2"), ("06-a", "Figure 6.1")]
    assert "nowhere" in html
    numbers = [
        number.replace("\xa0", " ") for number in re.findall(r"<strong>((?:Figure|Table)\xa0.*?)</strong>", html)
    ]
    assert sorted(numbers) == [f"{kind} {n}." for kind in ("Figure", "Table") for n in ("6.1", "7.1", "7.2")]
    alone = export.to_html([two])
    assert links(alone) == [("07-b", "Figure 7.2"), ("07-t", "Table 7.2")]
    assert "before" in alone  # its figure is in another report: the link is its text


def test_the_same_in_pdf_where_a_link_that_leads_nowhere_would_be_an_error(text_of):
    text = new_markdown_cell("See [the curves](#07-b), [here](#section) and [nowhere](#gone).\n\n## Section")
    twice = code("x", figure("07-b"), figure("07-b"), figure("section"))
    pages = text_of(export.to_pdf([("07_y", book(text, twice))]))
    assert "See Figure 7.1, here and nowhere." in " ".join(pages.split())
    assert "7.1 Section" in pages
    assert all(f"Figure 7.{n}. What is seen." in pages for n in (1, 2, 3))


def test_a_line_in_italics_below_a_table_is_its_caption():
    html = export.to_html(
        [("07_x", book(new_markdown_cell("| a |\n|---|\n| 1 |\n\n*Numbers of $x$.*\n\n*Other* text.")))]
    )
    caption = re.search(r"<caption>(.*?)</caption>", html, re.DOTALL)[1]
    assert re.sub(r"<[^>]+>", "", caption).startswith("Table\xa07.1. Numbers of")
    assert "<em>Other</em> text" in html
    assert html.count("Numbers of") == 1


def test_on_paper_an_answer_is_not_folded(text_of):
    text = "1. Ask\n\n   <details><summary>Answer</summary>It is $x$.\n   And more.</details>"
    pages = text_of(export.to_pdf([("07_x", book(new_markdown_cell(text)))]))
    assert "Answer. It is 𝑥. And more." in " ".join(pages.split())
    html = export.to_html([("07_x", book(new_markdown_cell(text)))])
    assert re.search(r"<details>\s*<summary>", html)


def score(id, values, **more):
    return dict(id=id, values=values, seeds=1, device="CPU", runs=[]) | more


def test_the_abstract_is_read_from_scores_claims_and_headlines():
    parameters = PUBLISHED["S2.3B.parameters"]
    others = [p for p in PUBLISHED.values() if p.notebook == 6 and p.id != parameters.id]
    cell = code(
        "x",
        shown({"text/plain": "x"}, score=score(parameters.id, [list(parameters.values)])),
        shown({"text/plain": "x"}, score=score(others[0].id, [[5.0]])),
        shown({"text/plain": "x"}, score=None),
        shown({"text/plain": "x"}, claims=[{"text": "", "checked": True}, {"text": "", "checked": False}]),
        shown({"text/plain": "x"}, finding=True, headline="Nets *learn*."),
    )
    found = front_page.abstract([("06_x", book(cell))])
    assert found[0] == "Nets *learn*."
    assert found[1].startswith(f"Of {len(others) + 1} numbers that the source courses published")
    assert f"1 ({parameters.name}) lies within" in found[1]
    assert f"1 ({others[0].name}) lies outside" in found[1]
    assert f"{len(others) - 1} were not run" in found[1]
    assert found[2].startswith("1 statement of the text is asserted in code beside it. 1 other needs")
    html = export.to_html([("06_x", book(cell))])
    assert "Nets *learn*." in html.split("<main>")[0]


def test_claims_and_headlines_of_all_chapters_are_counted():
    def found(checked, left, headline):
        claims = [*checked * [True], *left * [False]]
        outputs = [shown({"text/plain": "x"}, claims=[{"text": "", "checked": each}]) for each in claims]
        return code("x", *outputs, shown({"text/plain": "x"}, finding=True, headline=headline))

    one, two = found(2, 0, "Nets learn."), found(1, 2, "Others do not.")
    said = front_page.abstract([("01_x", book(one)), ("02_y", book(two))])
    assert said == [
        "Nets learn. Others do not.",
        "3 statements of the text are asserted in code beside it. 2 others need more than sample data allow.",
    ]


def test_the_cover_counts_the_notebooks_and_the_time_of_all_of_them():
    facts = [
        dict(front_page.of([(f"0{n}_x", book(**kit)) for n, kit in enumerate(kits)], "", "").facts)["Notebooks"]
        for kits in ([{"seconds": 60.4}, {"seconds": 30}], [{}, {"seconds": 30}, {}], [{}])
    ]
    assert facts == ["2, run in 90 s", "3, run in 30 s", "1"]


def test_without_anything_to_say_there_is_no_abstract():
    assert front_page.abstract([("mine", book())]) == []
    assert "Abstract" not in export.to_html([("mine", book())])


def test_sources_and_collaboration_close_the_report(text_of):
    notebooks = [("01_x", book(new_markdown_cell("Text."), sources={"mnist": "MNIST"}, profile="full"))]
    page = text_of(export.to_pdf(notebooks, author="Ann *O*", collaborators="Bo #1")).split(
        "Collaboration and sources"
    )[-1]
    for expected in ("Author: Ann *O*", "Worked with: Bo #1", "Each chapter lists the papers"):
        assert expected in " ".join(page.split())
    assert "Worked with: nobody" in text_of(export.to_pdf(notebooks, collaborators=""))
    assert "Worked with: ____" in text_of(export.to_pdf(notebooks))


def test_a_report_for_each_notebook(tmp_path, monkeypatch, capsys):
    for name in ("01_a", "02_b"):
        nbformat.write(book(code("x = 1")), tmp_path / f"{name}.ipynb")
    paths = [str(tmp_path / f"{name}.ipynb") for name in ("01_a", "02_b")]
    assert (
        main.main(["report", *paths, "--each", "--format", "html", "-o", str(tmp_path / "w"), "--author", "Kim"]) == 0
    )
    files = sorted(path.name for path in tmp_path.glob("w*"))
    assert files == ["w-01_a.html", "w-02_b.html"]
    assert "<h1>Title</h1>" in (tmp_path / "w-02_b.html").read_text()
    assert "Kim" in (tmp_path / "w-01_a.html").read_text()


def test_a_page_for_phones_and_for_paper():
    html = export.to_html([("07_x", book(code("x", table(), figure())))])
    assert '<meta name="viewport" content="width=device-width' in html
    style = "".join(re.findall(r"<style[^>]*>(.*?)</style>", html, re.DOTALL))
    assert "@media print" in style
    assert re.search(r"table \{[^}]*overflow-x: auto", style)
    assert re.search(r"img \{ max-width: 100%", style)
