"""Nothing is lost in silence: words, pictures, formulas and table cells of notebooks, counted in and out."""

import base64
import io
import re

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell
from PIL import Image

from coursekit.report import export
from tests.report import accounting

buffer = io.BytesIO()
Image.new("RGB", (30, 20), "olive").save(buffer, "PNG")
PNG = base64.b64encode(buffer.getvalue()).decode()
SVG = "<svg xmlns='http://www.w3.org/2000/svg' width='60' height='20'><rect width='9' height='9'/></svg>"
FRAME = pd.DataFrame({"precision": [0.91, 0.82], "recall": [0.73, 0.64]}, index=["alpha", "omega"])
WIDE = pd.DataFrame([[1.5] * 24] * 2, columns=[f"feature_{i}" for i in range(24)])


def code(source, *outputs):
    return new_code_cell(source, outputs=list(outputs))


def display(**bundle):
    return new_output(
        "display_data", {name.replace("__", "/").replace("_xml", "+xml"): v for name, v in bundle.items()}
    )


LESSON = r"""# Lesson on nets

Ask @teacher at C:\data\nets about 10~x~ and `code_with_$signs$`:
| symbol | meaning |
|---|---|
| $|w|$ | magnitude |
| `a|b` | weird |

---
## Section after rule

1. First
   - nested **bold**
   $$
   \begin{aligned} y &= Wx \\ z &= y^2 \end{aligned}
   $$
2. Second <kbd>Ctrl</kbd>+<kbd>C</kbd> and 10<sup>-3</sup>

> Quoted with $ \alpha $
> # Heading inside

<details><summary>Answer</summary>

folded *text* with $\beta$

</details>

Unknown <EOS> token, [link](), [other](#Section-after-rule), ![attached](attachment:a.png)
"""
PAGE = f"""<div style="color:red"><h3>Styled</h3>
<table><tr><td colspan="2">wide cell</td></tr><tr><td>left</td><td>right</td></tr></table>
<ul><li>point<li>other point</ul><pre>
fixed   width
</pre><img src="data:image/png;base64,{PNG}"><p>tail $\\gamma$</div>"""
CORPUS = {
    "a lesson": [
        new_markdown_cell(LESSON, attachments={"a.png": {"image/png": PNG}}),
        code("def forward(x):\n    return x @ W  # ```\n", display(text__html=FRAME.to_html(), text__plain="PLAIN")),
        new_markdown_cell(r"$\newcommand{\vx}{\mathbf{x}}$ Macros"),
        new_markdown_cell(r"then $\vx$ and \begin{equation} E = 1 \end{equation} and $$\vx \|w\|_2$$"),
    ],
    "outputs of all kinds": [
        code("show()", display(text__html=PAGE)),
        code("plot()", display(image__png=PNG, text__plain="<Figure>"), display(**{"image__svg_xml": SVG})),
        code("print()", new_output("stream", text="first line\r\nepoch 1\repoch 2\r\nlast \x1b[31mline\x1b[0m\n")),
        code(
            "fail()", new_output("error", ename="ValueError", evalue="bad", traceback=["Traceback", "ValueError: bad"])
        ),
        code("value", new_output("execute_result", {"text/plain": "array([1.5, 2.5])"})),
        code("markdown()", display(text__markdown="*rendered* $x$\n\n- item\n---\n", text__plain="PLAIN")),
        code("latex()", display(text__latex=r"$\displaystyle x^{2}$", text__plain="x**2")),
        code(
            "chart()",
            display(text__html="<div id='v'></div><script>draw('hidden words')</script>", text__plain="Chart()"),
        ),
        new_raw_cell("raw words"),
    ],
    "wide things": [
        code("wide", display(text__html=WIDE.to_html())),
        code("long", new_output("stream", text=" ".join(f"word{i}" for i in range(3000)))),
        new_markdown_cell("Address https://example.org/" + "/".join(f"part{i}" for i in range(60))),
        new_markdown_cell("$$" + "+".join(f"x_{{{i}}}" for i in range(60)) + "$$"),
    ],
    "losses that are named": [
        new_markdown_cell("![gone picture](gone.png) <iframe src='data:text/html,x'>old words</iframe> stays"),
        code("film()", display(text__html="<video src='data:video/mp4;base64,AA'>no film</video>")),
        code("noise()", new_output("stream", text="\n".join(f"line {i}" for i in range(90)))),
        code("odd()", new_output("display_data", {"application/x-odd": "unseen"})),
        code("script()", new_output("display_data", {"application/javascript": "draw()"})),
    ],
}


def check(notebook):
    """What stands in the notebook stands in both documents, but for cells that a warning names."""
    account = accounting.account(notebook)
    expected = accounting.Holds()
    for number, cell in enumerate(notebook.cells, 1):
        expected += accounting.of_cell(cell) if number not in account.named else accounting.Holds()
    assert account.lost(expected, account.html) == []
    assert account.lost(expected, account.pdf, account.pdf_text) == []
    for shown in (account.html, account.pdf):
        assert shown.formulas >= expected.formulas
        assert shown.pictures >= expected.pictures
        assert shown.table_cells >= expected.table_cells
    return account


@pytest.mark.parametrize("name", CORPUS)
def test_what_goes_in_comes_out_or_is_named(name):
    account = check(new_notebook(cells=CORPUS[name]))
    if name == "losses that are named":
        assert sorted(account.named) == [1, 2, 3, 4, 5]
    else:
        assert set(account.named) <= {8}  # of the outputs: the chart that is a script


def test_all_of_them_in_one_notebook():
    account = check(new_notebook(cells=[cell for cells in CORPUS.values() for cell in cells]))
    assert len(account.named) == 6


def test_the_account_notices_what_is_lost():
    cells = [new_markdown_cell("kept **dropped** kept $x$ ![p](attachment:a)", attachments={"a": {"image/png": PNG}})]
    account = accounting.account(new_notebook(cells=cells))
    expected = accounting.of_cell(cells[0])
    assert (expected.words["dropped"], expected.formulas, expected.pictures) == (1, 1, 1)
    page = account.page.replace("dropped", "")
    assert account.lost(expected, accounting.of_html(page.split("<main>")[1])) == ["dropped"]
    assert account.lost(expected, accounting.Holds(), account.pdf_text.replace("dropped", "")) == ["dropped"]


WORDS = st.sampled_from(["alpha", "beta", "gamma delta", "x_1", "C:\\dir", "@name", "50%", "a*b", "5 < 6 & 7", "ünï"])
INLINE = st.recursive(
    WORDS | st.sampled_from(["`co$de`", "$x^2$", "<br>", "[l](#a)", "10<sup>2</sup>", "\\*", "~~s~~", "<EOS>"]),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(" ".join)
        | inner.map(lambda text: f"**{text}**")
        | inner.map(lambda text: f"*{text}*")
        | inner.map(lambda text: f"[{text}](https://example.org)")
        | inner.map(lambda text: f"<span>{text}</span>")
    ),
    max_leaves=5,
)
BLOCK = st.one_of(
    INLINE,
    INLINE.map(lambda text: f"## {text}"),
    INLINE.map(lambda text: f"> {text}"),
    st.lists(INLINE, min_size=1, max_size=3).map(lambda items: "\n".join(f"- {item}" for item in items)),
    st.lists(INLINE, min_size=1, max_size=3).map(lambda items: "\n".join(f"1. {item}" for item in items)),
    st.lists(INLINE, min_size=2, max_size=2).map(
        lambda cells: f"| {cells[0]} | {cells[1]} |\n|---|---|\n| one | two |"
    ),
    INLINE.map(lambda text: f"<div>\n\n{text}\n\n</div>"),
    st.sampled_from(
        [
            "---",
            "$$\n\ny = 1\n\n$$",
            "\\begin{align}\na &= b\n\\end{align}",
            "```\n$code$ <x>\n```",
            "    four $x",
            "***",
        ]
    ),
)


@given(st.lists(BLOCK, min_size=1, max_size=5), st.sampled_from(["\n\n", "\n"]))
@example(["---", "## a", "---"], "\n")
def test_no_markdown_loses_a_word_or_a_formula(blocks, between):
    cell = new_markdown_cell(between.join(blocks))
    expected = accounting.of_cell(cell)
    with export.Report([("n", new_notebook(cells=[cell]))]) as report:
        shown = accounting.of_html(report.html().split("<main>")[1])
    if not report.losses:
        lost = [word for word, n in (expected.words - shown.words).items() if shown.words[word] < n]
        assert lost == []
        assert shown.formulas >= expected.formulas


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_makes_both_documents(text):
    with export.Report([("n", new_notebook(cells=[new_markdown_cell(text), code(text)]))]) as report:
        assert report.html()
        assert report.pdf().startswith(b"%PDF-")
    assert not [line for line in report.losses.lines() if "plain text" in line]


@given(st.text(st.sampled_from("<>/abdivtrp h1=\"' &;!-$\\n*_`#[]()|"), max_size=40))
def test_any_html_makes_a_page(html):
    with export.Report(
        [("n", new_notebook(cells=[code("x", display(text__html=html)), new_markdown_cell(html)]))]
    ) as report:
        page = report.html()
    assert re.search("<main>", page)
    assert not [line for line in report.losses.lines() if "plain text" in line]
