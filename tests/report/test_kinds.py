"""Anybody's notebook exports: the faults that users met, by their kind, each with other members of it."""

import base64
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pypdfium2
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from coursekit.execution import redact
from coursekit.report import export, printed, typesetting


def pixels(kind="PNG", size=(40, 20)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, kind)
    return buffer.getvalue()


PNG = base64.b64encode(pixels()).decode()
SVG = "<svg xmlns='http://www.w3.org/2000/svg' width='80' height='30'><text x='5' y='20'>seen 0.97</text></svg>"


def text(*sources, **more):
    return new_notebook(cells=[new_markdown_cell(source, **more) for source in sources])


def shows(*bundles):
    outputs = [new_output("display_data", bundle) for bundle in bundles]
    return new_notebook(cells=[new_code_cell("cell_code", outputs=outputs)])


def prints(*texts):
    return new_notebook(cells=[new_code_cell("", outputs=[new_output("stream", text=each) for each in texts])])


@pytest.fixture
def made(read_pdf):
    """Both documents of a notebook: the body of the page, the words of the PDF, and what was said to be missing."""

    def make(notebook, folder=None, **options):
        with export.Report([export.Chapter("mine", notebook, folder)], **options) as report:
            page, pdf = report.html(), report.pdf()
        pages = [page.get_textpage().get_text_bounded() for page in read_pdf(pdf)]
        words = " ".join(re.sub(r"\d+ / \d+\s*$", "", each) for each in pages)
        words = " ".join(words.replace("\xa0", " ").split())
        return page.split("<main>")[1].split("</main>")[0], words, report.losses.lines()

    return make


def plain(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", "", html).split())


# --- another Markdown than Jupyter's ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["---", "***", "--- \n\n---"])
def test_markdown_a_rule_is_a_rule_and_swallows_no_cell(made, rule):
    cells = [
        new_markdown_cell(f"{rule}\n## First"),
        new_code_cell("def kept(x):\n    return x + 1"),
        new_markdown_cell(f"{rule}\n## Second"),
    ]
    page, words, lost = made(new_notebook(cells=cells))
    assert (page.count("<hr"), page.count("<table")) == (2 * max(1, rule.count("\n")), 0)
    assert "<h2" in page
    assert "def kept(x):" in words
    assert re.search(r"First.*return x \+ 1.*Second", words)
    assert lost == []


@pytest.mark.parametrize(
    "said",
    [
        "Thanks to @maria and @bob_2.",
        r"Copy it to C:\data\train and \\server\share",
        "Water is H~2~O, ~approx~ and x^2^",
        "A tag {.class} and [span]{.x} stay",
        "(@eq) and (@) are words; [@doe99] too",
        "Version 2.0.1\n: not a definition",
        "# of items: *5* # and #hash, <https://example.org/a_b>",
        "50% of $ and 5",
        "| not a table |",
        "::: note\n\ninside\n\n:::",
    ],
)
def test_markdown_what_only_pandoc_reads_is_text(made, said):
    page, words, lost = made(text(f"start\n\n{said}\n\nend"))
    wanted = re.sub(r"[*<>]|^# ", "", said.replace("\\\\", "\\")).split()
    for shown in (plain(page).replace("&lt;", "<").replace("&gt;", ">"), words):
        assert [word for word in wanted if word not in shown] == []
        assert shown.endswith("end")
    assert lost == []


def test_markdown_a_table_needs_no_empty_line_before_it(made):
    page, words, _ = made(text("Numbers:\n| one | two |\n|---|--:|\n| 3 | 4 |"))
    assert page.count("<td") == 2
    assert "text-align: right" in page
    assert "|" not in words


def test_markdown_code_keeps_its_backticks(made):
    source = 'doc = """\n```\ninner\n```\n"""'
    page, words, _ = made(new_notebook(cells=[new_code_cell(source)]))
    assert page.count("<pre") == 1
    assert "``` inner ```" in words


def test_markdown_footnotes_tasks_and_strikes_are_read(made):
    page, words, lost = made(
        text("One[^a] ~~gone~~\n\n- [x] done\n- [ ] open\n\n[^a]: the note", "Two[^a]\n\n[^a]: other")
    )
    assert "<del>gone</del>" in page
    for shown in (plain(page), words):
        assert all(word in shown for word in ("done", "open", "the note", "other"))
    assert ("☒ done" in words, page.count("checkbox")) == (True, 2)
    assert lost == []


# --- mathematics by MathJax's rules -----------------------------------------------------------------------------------

FORMULAS = {
    "spaces": "Let $ \\theta $ be",
    "an empty line": "so\n\n$$\n\n\\sigma = 1\n\n$$\n\nend",
    "an environment in a line": "where \\begin{equation}\nE = 2\n\\end{equation} holds",
    "gather": "\\begin{gather}\np = q \\\\ r = s\n\\end{gather}",
    "align*": "\\begin{align*}\na &= b \\\\ c &= d\n\\end{align*}",
    "alignat": "\\begin{alignat}{2} a &= b \\end{alignat}",
    "multline": "\\begin{multline} a \\\\ b \\end{multline}",
    "eqnarray": "\\begin{eqnarray} a &=& b \\end{eqnarray}",
    "a label and a tag": "$$ x = 1 \\label{eq:x} \\tag{3} $$",
    "lines without an environment": "$$ a \\\\ b $$",
    "columns without one": "$$ a &= b $$",
    "old fonts": "${\\bf w} + {\\cal L} + {\\rm d}x$",
    "a font to the end": "$\\rm{if}\\ x$",
    "over": "${a + b \\over c}$",
    "a bar in a table": "| f |\n|---|\n| $|x|$ |",
    "in a list": "- one\n\n  $$\n  x\n  $$\n- two",
    "in a quotation": "> $$\n> x\n> = y\n> $$",
    "double backslashes": "\\\\(x^2\\\\) and more",
    "in HTML": "<div>is $x^2$ here</div>",
    "in bold": "**the $x$**s",
    "determinants": "$\\begin{vmatrix} a & b \\end{vmatrix} \\begin{Vmatrix} c \\end{Vmatrix}$",
    "norms": "$\\|w\\|_2^2$ ",
    "an operator": "$\\mathop{\\rm argmin}_x f$",
    "an operator in text": "$\\mathop{\\textrm{sgn}}(x)$",
    "an empty root": "$\\sqrt{}$",
    "a comment": "$$ x % not seen\n + y $$",
    "text with a formula": "$y \\text{ if $x > 0$}$",
}


@pytest.mark.parametrize("kind", FORMULAS)
def test_mathematics_is_read_as_mathjax_reads_it(made, kind):
    page, words, lost = made(text(FORMULAS[kind]))
    assert page.count("<math") == 1
    assert not re.search(
        r"\$|\\(begin|end|bf|rm|cal|label)\b", re.sub(r"(?s)<annotation.*?</annotation>", "", page) + words
    )
    assert lost == []


@pytest.mark.parametrize(
    "kind", ["`$x$`", "```\n$x$\n```", "    $x$\n", "costs \\$5 and \\$6", "<code>$x$</code>", "5 $"]
)
def test_mathematics_is_none_where_a_dollar_is_meant(made, kind):
    page, words, _ = made(text(kind))
    assert "<math" not in page
    assert "$" in words


DEFINITIONS = {
    "newcommand": (r"\newcommand{\R}{\mathbb{R}}", r"x \in \R^n", "ℝ"),
    "newcommand with arguments": (r"\newcommand\E[2][p]{E_{#1} + #2}", r"\E{y} + \E[q]{z}", "𝑞"),
    "def": (r"\def\v#1{\mathbf{#1}}", r"\v x + \v{y}", "𝐱"),
    "operator": (r"\DeclareMathOperator*{\argmin}{arg\,min}", r"\argmin_x f", "arg"),
    "let": (r"\let\then=\Rightarrow", r"a \then b", "⇒"),
    "renewed": (r"\newcommand{\a}{x}\renewcommand{\a}{\beta}", r"\a", "𝛽"),
    "in terms of another": (r"\newcommand{\b}{\mathbf{b}}\newcommand{\c}{\b_1}", r"\c", "𝐛"),
}


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_mathematics_macros_hold_from_their_cell_on(made, kind):
    definition, used, seen = DEFINITIONS[kind]
    page, words, lost = made(text(f"${definition}$", f"Let ${used}$."))
    assert page.count("<math") == 1
    assert seen in words
    assert "\\" not in words
    assert lost == []


def test_mathematics_a_macro_that_names_itself_ends(made):
    _page, words, lost = made(text(r"$\def\x{\x\x}\x$ after"))
    assert "after" in words
    assert any("shown as TeX" in line for line in lost)


def test_mathematics_that_is_not_understood_stays_tex_and_is_named(made):
    page, words, lost = made(text("first", r"is $\unheard{x}$ here"))
    assert r"\unheard{x}" in words
    assert r"\unheard{x}" in plain(page)
    assert lost == [r"mine cell 2: a formula is shown as TeX: \unheard{x}"]


@pytest.mark.parametrize(
    "latex", [r"\begin{equation}z=3\end{equation}", r"\[z=3\]", r"$\displaystyle z=3$", r"$$z=3$$"]
)
def test_mathematics_of_an_output_is_read_too(made, latex):
    page, words, lost = made(shows({"text/latex": latex, "text/plain": "PLAIN"}))
    assert page.count("<math") == 1
    assert "PLAIN" not in words
    assert lost == []


@pytest.mark.parametrize("sign", ["$", "$$"])
def test_mathematics_that_is_wider_than_the_page_stays_on_it(read_pdf, sign):
    terms = " + ".join(f"x_{{{i}}}" for i in range(40))
    wide = rf"{sign}\begin{{align}}y &= {terms}\end{{align}}{sign}"
    [page] = read_pdf(export.to_pdf([("mine", text(wide))]))
    assert max(item.get_bounds()[2] for item in page.get_objects()) < page.get_size()[0] - 55


# --- what was deleted is translated, or named -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("html", "shown", "tag"),
    [
        ("10<sup>-3</sup> and x<sub>i</sub>", "10<sup>-3</sup>", "sup"),
        ("one<br>two<br/>three", "one", "br"),
        ("<pre>\nlr = 0.1\n  epochs = 5\n</pre>", "lr = 0.1\n  epochs = 5", "pre"),
        ("<ul><li>one<ul><li>inner</li></ul></li><li>two</li></ul>", "inner", "ul"),
        ("<ol start=3><li>one</li></ol>", "one", "ol"),
        (
            "<table><tr><th>a</th><th>b</th></tr><tr><td rowspan=2>1</td><td>2</td></tr><tr><td>3</td></tr></table>",
            "3",
            "table",
        ),
        ("<blockquote>said</blockquote>", "said", "blockquote"),
        ("<center><h3>middle</h3></center>", "middle", "h3"),
        ("<dl><dt>term</dt><dd>meaning</dd></dl>", "meaning", "dl"),
        ("<font color=red>red</font> <span style='x'>span</span> <kbd>Ctrl</kbd>", "red span", "p"),
        ("<details><summary>More</summary>\n\n**hidden** text\n\n</details>", "<strong>hidden</strong>", "details"),
        ("<p align=center>lone <b>bold</b></p>", "<strong>bold</strong>", "p"),
        ("<b><p>block in bold</p></b>", "<strong>block in bold</strong>", "strong"),
        ("<a href='https://example.org'><div>boxed</div></a>", "boxed", "a"),
        ("<mark>x</mark><del>y</del><ins>z</ins><q>w</q>", "y", "del"),
        ("<button>Press</button> <label>name</label>", "Press", "p"),
        ("<figure><img src='data:image/png;base64,PNG'><figcaption>cap</figcaption></figure>", "cap", "figure"),
        ("use <EOS> and List<String> here", "&lt;EOS&gt;", "p"),
        ("<iframe src='https://example.org/film'></iframe>", "https://example.org/film", "a"),
    ],
)
@pytest.mark.parametrize("where", ["text", "output"])
def test_html_is_translated_in_text_and_in_outputs(made, html, shown, tag, where):
    html = html.replace("PNG", PNG)
    if where == "output":
        html = re.sub(r"\n\n\*\*(\w+)\*\*(.*?)\n\n", r"<p><b>\1</b>\2</p>", html)
    page, words, lost = made(text(html) if where == "text" else shows({"text/html": html}))
    assert shown in page
    assert f"<{tag}" in page
    for word in re.findall(r"[A-Za-z]{3,}", re.sub(r"<[^>]*>|&\w+;", " ", shown)):
        assert word in words
    assert [line for line in lost if "page inside" not in line] == []


def test_html_a_table_keeps_each_cell_whatever_it_spans(made):
    odd = "<table><thead><tr><th colspan=3>head</th></tr></thead><tr><td rowspan=9>a1</td><td>b1</td></tr>"
    odd += "<tr><td colspan=7>c1</td></tr><tr></tr></table>"
    page, words, lost = made(text(odd))
    for cell in ("head", "a1", "b1", "c1"):
        assert cell in plain(page)
        assert cell in words
    assert lost == []


def test_pictures_of_all_kinds_are_there(made, tmp_path):
    (tmp_path / "a net.png").write_bytes(pixels())
    (tmp_path / "old.bmp").write_bytes(pixels("BMP"))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "d.svg").write_text(SVG)
    said = (
        "![one](attachment:i.png) <img src='attachment:i.png'> ![three](a%20net.png) ![four](./sub/d.svg) "
        f"<img src='old.bmp'><img src='data:image/png;base64,{PNG}' width='90'> "
        f"![seven](data:image/svg+xml;utf8,{SVG.replace(' ', '%20')})"
    )
    notebook = text(said, attachments={"i.png": {"image/png": PNG}})
    page, words, lost = made(notebook, tmp_path)
    assert page.count('<img src="data:image/') == 7
    assert 'width="90"' in page
    assert "seen 0.97" in words  # text of a drawing is text in the PDF
    assert lost == []


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("gone.png", "picture gone.png is not found"),
        ("../secret.png", "picture ../secret.png is not in the notebook's folder"),
        ("sub/link.png", "picture sub/link.png is not in the notebook's folder"),
        ("/etc/hostname", "picture /etc/hostname is not in the notebook's folder"),
        ("file:///etc/hostname", "picture file:///etc/hostname is not in the notebook's folder"),
        ("notes.txt", "picture notes.txt cannot be read as a picture"),
        ("torn.png", "picture torn.png cannot be read as a picture"),
        ("data:image/png;base64,AAAA", "a picture inside the text cannot be read as a picture"),
        ("attachment:none.png", "attachment none.png cannot be read as a picture"),
        ("https://example.org/x.png", "picture https://example.org/x.png is on the web and is not fetched"),
    ],
)
def test_pictures_that_cannot_be_shown_are_their_words_and_named(made, tmp_path, source, reason):
    folder = tmp_path / "mine"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(pixels())
    (folder / "sub" / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "notes.txt").write_text("CANARY")
    (folder / "torn.png").write_bytes(pixels()[:-30])
    page, words, [lost] = made(text(f"before ![the words]({source}) after"), folder)
    assert "before the words after" in words
    assert "<img" not in page
    assert lost.startswith(f"mine cell 1: {reason}")


def test_pictures_of_the_repository_that_a_notebook_came_with_are_its_own(made, tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / "img").mkdir()
    (tmp_path / "book").mkdir()
    (tmp_path / "img" / "a.png").write_bytes(pixels())
    page, _, lost = made(text("![a](../img/a.png)"), tmp_path / "book")
    assert (page.count("<img"), lost) == (1, [])


def test_a_button_that_is_a_picture_on_the_web_is_its_words_in_its_link(made):
    page, _, lost = made(text("[![Open it](https://example.org/badge.svg)](https://example.org/run)"))
    assert '<a href="https://example.org/run">Open it</a>' in page
    assert lost == []


def test_pictures_larger_than_the_page_are_made_smaller(read_pdf):
    tall, wide = (base64.b64encode(pixels(size=size)).decode() for size in ((400, 4000), (4000, 300)))
    notebook = text(f"![t](data:image/png;base64,{tall}) ![w](data:image/png;base64,{wide})")
    for page in read_pdf(export.to_pdf([("mine", notebook)])):
        for item in page.get_objects():
            if item.type == pypdfium2.raw.FPDF_PAGEOBJ_IMAGE:
                left, bottom, right, top = item.get_bounds()
                assert left > 55
                assert bottom > 30
                assert right < page.get_size()[0] - 55
                assert top < page.get_size()[1] - 30


OUTPUTS = {
    "plotly beside its picture": ({"text/html": "<div><script>draw()</script></div>", "image/png": PNG}, "<img", None),
    "a chart beside its name": (
        {"text/html": "<div id='v'></div><script>x()</script>", "text/plain": "alt.Chart(...)"},
        "alt.Chart(...)",
        "left out of an output: a script; its text stands there",
    ),
    "a film": (
        {
            "text/html": "<video><source src='data:video/mp4;base64,AA'></video>",
            "text/plain": "<IPython.core.display.HTML object>",
        },
        "[not shown: a video]",
        "not shown: a video",
    ),
    "a drawing": ({"text/html": SVG, "text/plain": "<HTML>"}, "<img", None),
    "a data frame with buttons": (
        {"text/html": "<div><table><tr><td>0.5</td></tr></table><button></button><script>y</script></div>"},
        "0.5",
        None,
    ),
    "only a style": (
        {"text/html": "<style>p {}</style>", "text/plain": "<IPython.core.display.HTML object>"},
        "cell_code",
        None,
    ),
    "a kind that nobody knows": (
        {"application/x-mine": "?"},
        "[not shown: an output (application/x-mine)]",
        "not shown: an output (application/x-mine)",
    ),
    "a picture that is none beside text": (
        {"image/png": "no base64!", "text/plain": "<Figure>"},
        "&lt;Figure&gt;",
        "a picture of an output (image/png) cannot be read",
    ),
    "JSON": ({"application/json": {"a": 1}}, "&quot;a&quot;: 1", None),
}


def test_outputs_of_one_endless_line_go_on_on_the_next_page(made):
    numbers = " ".join(str(i) for i in range(10_000, 14_000))
    unbroken = "".join(f"{i}," for i in range(20_000, 22_000))
    _, words, lost = made(prints(f"{numbers}\n{unbroken}\n"))
    assert (words.count("13999"), words.replace(" ", "").count("21999"), lost) == (1, 1, [])


@pytest.mark.parametrize("kind", OUTPUTS)
def test_outputs_show_their_best_form_or_say_what_is_not_shown(made, kind):
    bundle, shown, reason = OUTPUTS[kind]
    page, _words, lost = made(shows(bundle))
    assert shown in page
    assert ([line for line in lost if reason in line] != []) if reason else (lost == [])


# --- Typst's refusals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "See [later]().",
        "See [x](#nowhere) and <a href=''>y</a>",
        "* item\n# Heading",
        "<div class='alert'>\n\n# Note\n\n</div>",
        "> # Quoted",
        "- # In a list\n\n  more",
        "| # a |\n|---|\n| x |",
        "<table><tr><td><h1>cell</h1></td></tr></table>",
        "[long](https://example.org/" + "x" * 9000 + ")",
        "<a id='same'></a><a id='same'></a>[to](#same)",
        "# Same\n\n# Same\n\n[to](#same) [to](#Same)",
        "<h1 id='a \" b #x'>T</h1>[go](#a%20%22%20b%20#x)",
        '#panic() #import "x" $ ` ``` \\ @x <y> // /* = - + 1. [ ] { }',
        "<" * 50 + "div" + ">" * 50,
        "> " * 60 + "deep",
        "".join("  " * i + "- x\n" for i in range(39)) + "  " * 39 + "- deep",
        "<div>" * 3000 + "deep",
        "<svg xmlns='http://www.w3.org/2000/svg'><image href='none.png'/></svg>",
        "$" + "{" * 300 + "x" + "}" * 300 + "$",
        "\u202eabc \U000e0041 \ufdd0 7 \ufdd1 \x00 \x0b \x1b[31m",
    ],
)
def test_typst_refuses_no_text(made, source):
    page, words, _ = made(text("before", source, "behind"))
    assert words.removeprefix("mine ").startswith("before")
    assert words.endswith("behind")
    assert "behind" in page
    said = re.findall(
        r"deep|later|Heading|Note|Quoted|In a list|cell|long|Same|panic|seen", re.sub(r"<svg.*", "", source)
    )
    assert [word for word in said if word not in words or word not in page] == []


def test_typst_a_cell_that_it_refuses_is_found_and_set_as_plain_text(made, monkeypatch):
    compiled = typesetting._compiled

    def refuses(text, *rest):
        if "bomb" in re.sub(r"#raw\(block: true.*", "", text):
            raise typesetting.Refused("a reason")
        return compiled(text, *rest)

    monkeypatch.setattr(typesetting, "_compiled", refuses)
    sources = ["# one", "a **bomb** here", "three", "four [to](#one)", "another bomb"]
    page, words, lost = made(text(*sources))
    assert "one a bomb here three four to another bomb" in words
    assert "<strong>bomb</strong>" in page
    assert lost == ["mine cells 2, 5: set as plain text in the PDF (Typst: a reason)"]


# --- patterns of our own notebooks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        "multi-task-learning-with-shared-encoders",
        "mask-rcnn-resnet50-fpn-coco",
        "sk-learn-pipelines-for-text-classification",
        "risk-2024-ADJUSTED-returns-and-more",
        "xxAKIAABCDEFGHIJKLMNOP",
        "pre_hf_transfer_of_models_to_disk",
    ],
)
def test_patterns_a_part_of_a_word_is_no_token(said):
    assert redact.text(said) == (said, [])


@pytest.mark.parametrize("path", ["/usr/bin/python3", "/usr/local/lib/python3.12/x.py", "/opt/conda/bin/pip"])
def test_patterns_where_every_machine_has_its_programs_is_no_secret(path, monkeypatch):
    monkeypatch.setattr(sys, "base_prefix", str(Path(path).parents[1]))
    monkeypatch.setattr(sys, "prefix", str(Path(path).parents[1]))
    assert redact.text(f"see {path}") == (f"see {path}", [])


WARNED = [
    ("epoch 1\nt.py:7: FutureWarning: changes\n\nepoch 2 loss 0.5\n", "epoch 1\n\nepoch 2 loss 0.5"),
    ("t.py:9: DeprecationWarning: old\n   class   accuracy\n   cat     0.81\n", "   class   accuracy\n   cat     0.81"),
    ("t.py:9: FutureWarning: old\n  loss 0.5\n", "  loss 0.5"),
    ("t.py:9: FutureWarning: old\n  warnings.warn('old')\nkept\n", "kept"),
    ("t.py:9: PendingDeprecationWarning: old\n  model.fit(x,\nkept\n", "kept"),
    ("t.py:9: FutureWarning: a\nt.py:9: FutureWarning: b\n  x = f(1)\n0.9\n", "0.9"),
    ("t.py:9: UserWarning: mind\n  f()\n", "t.py:9: UserWarning: mind\n  f()"),
    ("my FutureWarning: of tomorrow\n", "my FutureWarning: of tomorrow"),
]


@pytest.mark.parametrize(("printed_text", "kept"), WARNED)
def test_patterns_only_the_warnings_go_and_they_are_named(made, printed_text, kept):
    _page, words, lost = made(prints(printed_text))
    assert " ".join(kept.split()) == words.removeprefix("mine ")
    assert lost == ["mine cell 1: warnings of libraries (deprecation, future) are left out"] * (
        "Warning: " in printed_text and "mind" not in printed_text and "tomorrow" not in printed_text
    )


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("first\r\nsecond\r\n", "first\nsecond"),
        ("step 0\rstep 1\rstep 2\r", "step 2"),
        ("10%\r100%\r\nfinal\n", "100%\nfinal"),
        ("long line\rshort", "shortline"),
        ("1/9\b\b\b9/9\n", "9/9"),
        ("\x1b[31mred\x1b[0m \x1b]0;title\x07x\n", "red x"),
        ("a\x00b\x07\n", "ab"),
        ("\r\n\r\nend", "\n\nend"),
    ],
)
def test_patterns_a_terminal_is_read_as_one(said, shown):
    assert printed.clean(said) == shown


def test_patterns_what_was_printed_as_an_error_does_not_go_on_in_a_line_of_the_result(made):
    printed_text = [("stdout", "sum = "), ("stdout", "1"), ("stderr", "a warning"), ("stdout", "2")]
    outputs = [new_output("stream", name=name, text=text) for name, text in printed_text]
    page, *_ = made(new_notebook(cells=[new_code_cell("", outputs=outputs)]))
    assert [plain(block) for block in re.findall(r"<pre.*?</pre>", page, re.DOTALL)] == ["sum = 1", "a warning", "2"]


@pytest.mark.parametrize(
    "tag", ["exercise", "setup", "key", "solution", "claim", "remove-cell", "hide-input", "figure"]
)
def test_patterns_somebody_elses_tags_hide_nothing(made, tag):
    def cell(name):
        return new_code_cell(f"{name} = 1", outputs=[new_output("execute_result", {"text/plain": f"'out of {name}'"})])

    cells = [cell("first"), cell("second"), cell("third")]
    cells[1].metadata["tags"] = [tag]
    _page, words, lost = made(new_notebook(cells=cells))
    for name in ("first", "second", "third"):
        assert f"{name} = 1" in words
        assert f"out of {name}" in words
    assert lost == []


@pytest.mark.parametrize(
    ("sources", "title"),
    [
        (["<div align='right'>May</div>\n\n# The *real* title", "# Part two"], "The real title"),
        (["Real\n====", "# Other"], "Real"),
        (["<h1 align='center'>In <b>HTML</b></h1>"], "In HTML"),
        (["## Only a section"], "mine"),
        (["```\n# a comment\n```", "text"], "mine"),
        (["# With $x^2$ & <b>"], "With $x^2$ &"),
    ],
)
def test_patterns_a_report_is_called_as_its_notebook(sources, title, read_pdf):
    notebook = text(*sources)
    pdf = read_pdf(export.to_pdf([("mine", notebook)]))
    assert pdf.get_metadata_dict()["Title"] == title
    assert re.search(r"<title>(.*?)</title>", export.to_html([("mine", notebook)]))[1].replace("&amp;", "&") == title


def test_patterns_nothing_of_ours_is_in_somebody_elses_report(made):
    _page, words, _ = made(text("# Mine", "# Again", "text"))
    assert words == "Mine Again text"
    whole = export.to_html([("mine", text("# Mine"))])
    assert not re.search(
        r"Contents|Abstract|Collaboration|MIT licence|Deep learning|Notebooks", whole.split("</style>")[-1]
    )
    _, asked, _ = made(text("# Mine"), author="A. Author", collaborators="Bo")
    assert re.search(r"A. Author.*Worked with: Bo", asked)
    assert "MIT licence" not in asked


def test_a_cell_of_a_type_to_come_is_left_out(tmp_path):
    cells = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# Seen"},
        {"cell_type": "future cell", "id": "b", "metadata": {}},
    ]
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 99, "metadata": {}, "cells": cells}))
    command = [sys.executable, "-m", "nbconvert", "--to", "coursekit_html", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    assert "Seen" in (tmp_path / "n.html").read_text()


def test_a_raw_cell_is_shown(made):
    raw = nbformat.v4.new_raw_cell("raw *words* $x")
    page, words, _ = made(new_notebook(cells=[raw]))
    assert "raw *words* $x" in words
    assert "raw *words* $x" in page


@pytest.mark.parametrize(
    "line",
    [
        "x = np.array([" + ",".join(map(str, range(90))) + "])",
        " " * 55 + "np.expand_dims(transition_probabilities_given_action, axis=2)",
        "path = '" + "/deep_folder" * 12 + "'",
        "y" * 300,
        "    " + "f(" * 60 + ")" * 60,
    ],
)
@pytest.mark.parametrize("place", ["code", "output"])
def test_a_long_line_stays_between_the_margins_and_whole(line, place, read_pdf):
    output = [new_output("stream", text=f"{line}\n")] if place == "output" else []
    cell = new_code_cell(line if place == "code" else "", outputs=output)
    [page] = read_pdf(export.to_pdf([("mine", new_notebook(cells=[cell]))]))
    words = page.get_textpage()
    assert "".join(line.split()) in "".join(words.get_text_bounded().split())
    for i in range(words.count_rects()):
        assert words.get_rect(i)[2] < page.get_size()[0] - 50


# --- tables as wide as the page ---------------------------------------------------------------------------------------


def test_a_table_in_parts_has_its_caption_once_and_its_first_column_in_each(made):
    frame = pd.DataFrame([[0.5] * 45], columns=[f"column_{i}" for i in range(45)], index=["the_row"])
    about = {"coursekit": {"caption": "What is counted."}}
    output = new_output("display_data", {"text/html": frame.to_html()}, metadata=about)
    _, words, _ = made(new_notebook(cells=[new_code_cell("", outputs=[output])]))
    assert words.count("What is counted.") == 1
    assert words.count("the_row") > 2


@pytest.mark.parametrize("columns", [12, 20, 45])
@pytest.mark.parametrize("levels", [1, 2])
def test_a_wide_table_leaves_no_margin_and_covers_nothing(columns, levels, read_pdf):
    names = [f"column_{i}" for i in range(columns)]
    frame = pd.DataFrame([[i * 1.2345678 for i in range(columns)]] * 3, columns=names)
    if levels == 2:
        frame.columns = pd.MultiIndex.from_product([["group"], names])
    seen = []
    for page in read_pdf(export.to_pdf([("mine", shows({"text/html": frame.to_html()}))])):
        text, width = page.get_textpage(), page.get_size()[0]
        boxes = [text.get_rect(i) for i in range(text.count_rects())]
        assert all(left > 50 and right < width - 50 for left, _, right, _ in boxes)
        for i, (left, bottom, right, top) in enumerate(boxes):
            for other in boxes[i + 1 :]:
                wide, high = min(right, other[2]) - max(left, other[0]), min(top, other[3]) - max(bottom, other[1])
                assert not (wide > 1 and high > 2), text.get_text_bounded(*other)
        seen += text.get_text_bounded().split()
    assert [name for name in names if name not in seen] == []
