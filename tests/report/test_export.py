import base64
import io
import re
import subprocess
import sys

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pypdfium2
import pytest
from nbconvert.exporters import get_export_names, get_exporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from coursekit.errors import NotebookError
from coursekit.report import cells, export, fonts, tree
from coursekit.report.losses import Losses

MATHS = r"""# 03 · Mathematics

$$\begin{vmatrix} a & b \\ c & d \end{vmatrix} \odot \otimes \bigcap_i A_i$$

\begin{align}
x &= 1 \\
y &= 2
\end{align}

A list right after a paragraph:
- first
- second

![badge](https://example.org/badge.svg)

> **Finding.** It is $\sigma(z)$.

````python
print("```")
````
"""


def svg() -> str:
    figure, ax = plt.subplots()
    ax.plot([1, 2])
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    return buffer.getvalue()


def shown(bundle: dict, **said):
    return new_output("display_data", bundle, metadata={"coursekit": said})


def code(source="x", *outputs, tags=()):
    return new_code_cell(source, outputs=list(outputs), execution_count=1, metadata={"tags": list(tags)})


@pytest.fixture
def notebook():
    frame = pd.DataFrame({"loss": ["0.1 ± 0.02", "<b>&"]}, index=["ReLU", "tanh"])
    run = {"profile": "sample", "device": "CPU", "sources": {"mnist": "sample data drawn by code"}}
    cells = [
        new_markdown_cell(MATHS),
        code("secret_setup = 1", tags=["setup"]),
        code(
            "plt.plot(hidden_input)",
            shown({"image/svg+xml": svg()}, caption="Loss by epoch ($L$).", width=80),
            tags=["figure"],
        ),
        code("table", shown({"text/html": frame.to_html(), "text/plain": "PLAIN"}, caption='The "best" table.')),
        code("show", shown({"text/markdown": "*live caption*", "text/plain": ""}, live=True)),
        code("printing", new_output("stream", text="\n".join(f"line {i}" for i in range(100)) + "\n")),
        code("warned", new_output("stream", text="/x/y.py:1: FutureWarning: old\n  old()\nkept\n", name="stderr")),
        code("bar", new_output("stream", text="\r 0%|  |\r100%|##|\n", name="stderr")),
    ]
    return new_notebook(cells=cells, metadata={"coursekit": run})


def blocks_of(notebook, folder, name="03_test", **options) -> list:
    """The blocks of a notebook's cells, before they are numbered."""
    return [block for cell in cells.read(name, notebook, folder, Losses(), **options) for block in cell.blocks]


def text_in(notebook, folder, **options) -> str:
    return tree.text_of(blocks_of(notebook, folder, **options))


def test_the_tree_keeps_what_a_reader_needs(notebook, tmp_path):
    text = text_in(notebook, tmp_path)
    assert "Mathematics" in text
    assert "03 ·" not in text
    assert "Loss by epoch L." in text.replace("(", "").replace(")", "")
    [figure] = [item for item in tree.nodes(blocks_of(notebook, tmp_path)) if item["t"] == "Figure"]
    [image] = [item for item in tree.nodes(figure) if item["t"] == "Image"]
    assert dict(image["c"][0][2])["width"] == "80%"
    for gone in ("secret_setup", "hidden_input", "live caption", "PLAIN", "line 40", "FutureWarning", " 0%|"):
        assert gone not in text
    for kept in ("line 39", "… 60 more lines", "kept", "100%|##|"):
        assert kept in text


def test_the_notebook_itself_is_left_alone(notebook):
    before = nbformat.writes(notebook)
    export.to_html([("03_test", notebook)])
    assert nbformat.writes(notebook) == before


def test_pdf_has_cover_numbered_captions_and_no_remote_image(notebook, text_of):
    pdf = export.to_pdf([("03_test", notebook)], title="A *title* #1", author="Ağca Şükrü $x$")
    assert pdf.startswith(b"%PDF-")
    text = text_of(pdf)
    for expected in ("A *title* #1", "Ağca Şükrü $x$", "sample data", "Made from sample data", "3 Mathematics"):
        assert expected in text
    for expected in ("Figure 3.1. Loss by epoch", "Table 3.1. The “best” table", "0.1 ± 0.02", "<b>&", "badge"):
        assert expected in text


def test_html_is_one_file_with_mathml_and_no_script(notebook):
    text = export.to_html([("03_test", notebook)], title="T & T", author="<script>*x*</script>")
    assert "<math" in text
    assert "data:image/svg+xml" in text
    assert "T &amp; T" in text
    assert "<script" not in text
    assert "&lt;script&gt;*x*&lt;/script&gt;" in text
    assert not re.search(r'(src|href)="https?://', text.replace('href="https://example.org', ""))
    assert "Made from sample data" in text
    assert "line 40" not in text


PIXELS = {
    "image/png": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==",
    "image/jpeg": "/9j/4AAQSkZJRgABAQEAYABgAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAx"
    "NDQ0Hyc5PTgyPC4zNDL/wAALCAABAAEBAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAFAABAAAAAAAAAAAAAAAAAAAACf/E"
    "ABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AVN//2Q==",
}
SHOWN = {  # in the order in which a report prefers them, and the kind of node that each becomes, with a word of it
    "text/html": ("<i>as html</i>", "Emph", "as html"),
    "text/markdown": ("**as markdown**", "Strong", "as markdown"),
    "image/svg+xml": ("<svg xmlns='http://www.w3.org/2000/svg'/>", "Image", ""),
    "image/png": (PIXELS["image/png"], "Image", ""),
    "image/jpeg": (PIXELS["image/jpeg"], "Image", ""),
    "text/latex": ("$as_{latex}$", "Math", "as_{latex}"),
    "text/plain": ("as plain text", "CodeBlock", "as plain text"),
}


@pytest.mark.parametrize("kind", ["display_data", "execute_result"])
@pytest.mark.parametrize("best", range(len(SHOWN)))
def test_of_an_output_a_report_shows_the_best_form_and_no_other(kind, best, tmp_path):
    forms = dict(reversed(list(SHOWN.items())[best:]))  # the worst stands first
    output = new_output(kind, {mime: content for mime, (content, *_) in forms.items()})
    blocks = blocks_of(new_notebook(cells=[code("", output)]), tmp_path)
    mime, (_, node, words) = list(SHOWN.items())[best]
    assert [item["t"] for item in tree.nodes(blocks) if item["t"] in {kind for _, kind, _ in SHOWN.values()}] == [node]
    assert tree.text_of(blocks) == words
    suffixes = [path.suffix for path in tmp_path.iterdir()]
    assert suffixes == ([{"svg+xml": ".svg", "png": ".png", "jpeg": ".jpg"}[mime[6:]]] if node == "Image" else [])


@pytest.mark.parametrize("mime", PIXELS)
def test_a_picture_of_pixels_is_in_both_documents(mime, read_pdf):
    notebook = new_notebook(cells=[code("x", shown({mime: PIXELS[mime]}, caption="What is seen.", width=20))])
    assert f'src="data:{mime};base64,' in export.to_html([("01_a", notebook)])
    pages = list(read_pdf(export.to_pdf([("01_a", notebook)])))
    pictures = [item for page in pages for item in page.get_objects() if item.type == pypdfium2.raw.FPDF_PAGEOBJ_IMAGE]
    assert len(pictures) == 1


def test_what_went_wrong_on_purpose_is_shown_without_its_colours(text_of):
    lines = ["\x1b[31mTraceback\x1b[39m (most recent call last)", "Cell 1", "\x1b[31mValueError\x1b[39m: too few"]
    error = new_output("error", ename="ValueError", evalue="too few", traceback=lines)
    printed = new_output("stream", text="\x1b[1mbold\x1b[0m words\n")
    echo = new_output("execute_result", {"text/plain": "\x1b[32mgreen\x1b[39m value"})
    notebook = new_notebook(cells=[code("x", printed, error, echo, tags=["key", "raises-exception"])])
    for text in (export.to_html([("01_a", notebook)]), text_of(export.to_pdf([("01_a", notebook)]))):
        assert "\x1b" not in text
        assert "[31m" not in text
        for line in ("Traceback (most recent call last)", "Cell 1", "ValueError: too few", "bold words", "green value"):
            assert line in text


def test_what_was_printed_as_an_error_is_shown_and_tables_and_formulas_as_such():
    printed = new_output("stream", name="stderr", text="a warning of mine\n")
    formula = new_output("display_data", {"text/latex": r"$\frac{1}{2}$", "text/plain": "PLAIN"})
    text = export.to_html([("01_a", new_notebook(cells=[code("x", printed, formula)]))])
    assert "a warning of mine" in text
    assert "<mfrac>" in text
    assert "PLAIN" not in text


def test_cells_and_outputs_that_are_tagged_away_are_not_shown(tmp_path):
    def said(words):
        return new_output("stream", text=f"{words}\n")

    tagged = [
        code("first = 1", said("all gone"), tags=["remove-cell"]),
        new_markdown_cell("no text", metadata={"tags": ["remove-cell"]}),
        code("second = 2", said("no output"), tags=["remove-output", "key"]),
        code("third = 3", said("shown"), tags=["hide-input", "key"]),
        code("fourth = 4", said("shown too"), tags=["key"]),
    ]
    text = text_in(new_notebook(cells=tagged, metadata={"coursekit": {}}), tmp_path)
    words = ("first", "all gone", "no text", "second", "no output", "third", "shown\n", "fourth", "shown too")
    assert [word for word in words if word in text] == ["second", "shown\n", "fourth", "shown too"]


@pytest.mark.parametrize("make", [export.to_html, export.to_pdf])
def test_a_notebook_without_a_cell_is_an_empty_chapter(make):
    assert make([("01_a", new_notebook()), ("02_b", new_notebook(cells=[new_markdown_cell("# Two")]))])


@pytest.mark.parametrize("drawn", [0, 1])
def test_one_set_of_sample_data_in_one_notebook_is_noticed(drawn):
    sources = [{"mnist": "MNIST"}, {"cifar10": "CIFAR-10", "letters": "Letters"}]
    books = [new_notebook(metadata={"coursekit": {"sources": dict(some)}}) for some in sources]
    named = list(zip(("01_a", "02_b"), books, strict=True))
    assert "sample data" not in export.to_html(named)
    name = next(iter(sources[drawn]))
    books[drawn].metadata.coursekit.sources[name] = "sample data drawn by code"
    html = " ".join(export.to_html(named).split())
    assert "Made from sample data: no number in this report says anything about the real data sets." in html


def test_scripts_and_styles_in_outputs_do_not_reach_a_report():
    page = "<style>p {}</style><script>alert(1)</script><p onclick='x()'>kept</p><img src='x' onerror='alert(2)'>"
    notebook = new_notebook(cells=[code("x", new_output("display_data", {"text/html": page}))])
    text = export.to_html([("01_test", notebook)])
    assert "kept" in text
    assert not re.search(r"<script|alert|onclick|onerror", text)


def boxes(pdf: pypdfium2.PdfDocument, word: str) -> tuple[list[float], list[float]]:
    """Left and lower edge of the word, and the left edges of all characters of its line."""
    for page in pdf:
        text = page.get_textpage()
        found = text.search(word).get_next()
        if found:
            left, bottom, *_ = text.get_charbox(found[0])
            every = [text.get_charbox(i) for i in range(text.count_chars())]
            return [left, bottom], [box[0] for box in every if abs(box[1] - bottom) < 3]
    raise AssertionError(f"{word} is on no page")


def test_a_long_line_of_code_or_output_goes_on_further_right_than_it_began():
    source = "class Long:\n    total = " + " + ".join(f"number_{i:02d}" for i in range(12))
    printed = new_output("stream", name="stdout", text="    " + " ".join(f"printed_{i:02d}" for i in range(16)) + "\n")
    pdf = pypdfium2.PdfDocument(export.to_pdf([("01_a", new_notebook(cells=[code(source, printed)]))], code="all"))
    for first, last in (("total", "number_11"), ("printed_00", "printed_15")):
        (began, upper), (edge, lower) = boxes(pdf, first)[0], (boxes(pdf, last)[1], boxes(pdf, last)[0][1])
        assert lower < upper  # on a line below
        assert min(edge) > began + 10
    pdf.close()


@pytest.mark.parametrize("name", ["coursekit_pdf", "coursekit_html"])
def test_exporters_are_registered_and_in_the_export_menu(name, notebook):
    assert name in get_export_names()
    exporter = get_exporter(name)()
    assert exporter.export_from_notebook
    assert re.fullmatch(r"\w+", name)  # JupyterLab's route knows no hyphen
    content, resources = exporter.from_notebook_node(notebook, {"metadata": {"name": "03_test"}})
    assert content
    assert resources["output_extension"] == {"coursekit_pdf": ".pdf", "coursekit_html": ".html"}[name]


def test_nbconvert_writes_the_pdf(tmp_path, notebook):
    path = tmp_path / "03_test.ipynb"
    nbformat.write(notebook, path)
    command = [sys.executable, "-m", "nbconvert", "--to", "coursekit_pdf", str(path), "--output-dir", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "03_test.pdf").read_bytes().startswith(b"%PDF-")


def test_pictures_of_two_notebooks_do_not_overwrite_each_other():
    svgs = [f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='9'/>" for width in (7, 8)]
    shows = [code("x", shown({"image/svg+xml": drawn}, caption="c", width=10)) for drawn in svgs]
    page = export.to_html(
        [(name, new_notebook(cells=[cell])) for name, cell in zip(("a b", "a_b"), shows, strict=True)]
    )
    pictures = [base64.b64decode(data).decode() for data in re.findall(r"svg\+xml;base64,([^\"]+)", page)]
    assert [re.search(r'width="(\d)"', picture)[1] for picture in pictures] == ["7", "8"]


def test_what_is_no_notebook_is_one_line(tmp_path):
    path = tmp_path / "x.ipynb"
    path.write_text("no json\nat all")
    with pytest.raises(NotebookError, match="not a readable notebook") as caught:
        export.read([path])
    assert "\n" not in str(caught.value)


def test_characters_without_a_font_are_named(monkeypatch, capsys):
    monkeypatch.setattr(fonts.font_manager, "findSystemFonts", lambda: [])
    families, lost = fonts.cover("Ağca 김 ∑ α ✓")
    assert (families, lost) == ([], {"김"})
    fonts.warn(lost)
    assert "no font here draws '김'; install fonts-nanum" in capsys.readouterr().err
    fonts.warn(set())
    assert capsys.readouterr().err == ""


def test_a_system_font_is_used_where_it_helps(monkeypatch):
    monkeypatch.setattr(fonts.font_manager, "findSystemFonts", lambda: ["/fonts/nanum.ttf"])
    drawn = fonts._drawn_by
    monkeypatch.setattr(fonts, "_drawn_by", lambda path: frozenset([ord("김")]) if "nanum" in path else drawn(path))
    monkeypatch.setattr(fonts.ft2font, "FT2Font", lambda path: type("Font", (), {"family_name": "Nanum"}))
    assert fonts.cover("김山") == (["Nanum"], {"山"})
