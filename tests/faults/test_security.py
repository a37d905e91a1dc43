"""FAULTS S1, S3 to S5: files that hold code, notebooks that print secrets, pages that run scripts."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import html5lib
import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from coursekit import files
from coursekit.errors import NotebookError, StorageError
from coursekit.execution import notebooks, redact
from coursekit.report import export
from coursekit.runs import store
from coursekit.runs.store import Result

ROOT = Path(__file__).parents[2]
CANARY = "canary-7f3a-secret"
TOKEN = "hf_" + "Canary" * 6


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


# --- S1 (checkpoints: tests/test_checkpoint.py; data: tests/test_data.py) ---------------------------------------------


def test_s1_kept_weights_with_code_are_refused_although_their_digest_is_right(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    torch.save({"weight": Evil()}, buffer)
    digest = {"weights_sha256": files.sha256(buffer.getvalue())}
    result = Result("ab" * 32, "", "ok", {}, [], [], {}, digest)
    files.write_bytes(store.path(result).with_suffix(".pt"), buffer.getvalue())
    with pytest.raises(StorageError, match=r"\.pt contains code, refused; delete it") as caught:
        store.load_weights(result)
    assert caught.value.exit_code == 5
    assert not Path("evil").exists()


def test_s1_nothing_of_ours_unpickles():
    paths = [path for place in ("coursekit", "notebooks/src", "benchmarks") for path in (ROOT / place).rglob("*.py")]
    assert len(paths) > 40
    for path in paths:
        text = path.read_text()
        if path.name == "worker.py":  # what the process that started it hands over in memory; never a file
            text = text.replace("return pickle.loads(call)()", "", 1)
        assert not re.search(r"pickle\.loads?\(|allow_pickle=True|weights_only=False|Unpickler\(", text), path
        for call in re.findall(r"torch\.load\((.*)\)", text):
            assert "weights_only=True" in call, path
        for call in re.findall(r"np\.load\((.*?)\)", text):
            assert "allow_pickle=False" in call or path.parts[-2] == "src", path


# --- S3, S4 -----------------------------------------------------------------------------------------------------------

LEAKING = f"""
# %%
import os, sys
from pathlib import Path
from IPython.display import HTML, display
print("process", os.getpid(), os.getsid(0))
os.environ["COURSEKIT_TEST"] = "changed"

# %%
print(os.environ["HF_TOKEN"], "{TOKEN}", Path.home() / "diary.txt", Path.cwd() / "data" / "x.npz", os.__file__)
display(HTML(f"<p>{{os.environ['HF_TOKEN']}} in {{Path.home()}}</p>"))

# %%
raise ValueError(f"no {{os.environ['HF_TOKEN']}} in {{Path.home()}}/private")
"""


@pytest.fixture(scope="module")
def leaked(tmp_path_factory):
    """A notebook that prints what it should not, executed: its file, the error's text, stderr, its home folder."""
    folder = tmp_path_factory.mktemp("leaks")
    home = folder / "home" / "kim-canary"
    home.mkdir(parents=True)
    source, target = folder / "leaking.py", folder / "out" / "leaking.ipynb"
    source.write_text(LEAKING.lstrip())
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"HF_TOKEN": CANARY, "UNSHOWN": "canary-of-a-plain-name", "HOME": str(home)}.items():
            patch.setenv(name, value)
        patch.chdir(folder)
        with pytest.raises(NotebookError) as caught:
            notebooks.run(source, target, "sample")
    return target, str(caught.value), home


def test_s3_a_notebook_runs_in_a_process_of_its_own(leaked):
    [output] = nbformat.read(leaked[0], 4).cells[0].outputs
    _, process, session = output.text.split()
    assert int(process) != os.getpid()
    assert int(session) != os.getsid(0)
    assert "COURSEKIT_TEST" not in os.environ


def text_of(pdf: bytes) -> str:
    """Everything in a PDF that can be read: its uncompressed streams, and its words where poppler is there."""
    found = [pdf.decode("latin-1")]
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        try:
            found.append(zlib.decompress(stream).decode("latin-1"))
        except zlib.error:
            continue
    if shutil.which("pdftotext"):
        done = subprocess.run(["pdftotext", "-", "-"], input=pdf, capture_output=True, check=True)
        found.append(done.stdout.decode())
    return "\n".join(found)


def test_s4_secrets_and_the_home_folder_are_in_no_file(leaked, record_property, monkeypatch):
    path, error, home = leaked
    report = export.read([path])
    texts = {
        "ipynb": path.read_text(),
        "html": export.to_html(report),
        "pdf": text_of(export.to_pdf(report)),
        "error": error,
    }
    outputs = "".join(part for part in texts["ipynb"].split('"source": ') if not part.startswith("["))
    for kind, text in texts.items():
        for secret in (CANARY, "canary-of-a-plain-name", "kim-canary", str(home.parent)):
            assert secret not in text, kind
        assert TOKEN not in text or kind == "ipynb", kind  # there it stands in the source, as its author wrote it
    assert TOKEN not in outputs
    assert "[HF_TOKEN removed] [token removed] ~/diary.txt data/x.npz lib/python" in texts["ipynb"]
    assert error == "leaking.py cell 3: ValueError: no [HF_TOKEN removed] in ~/private"
    record_property("injected", "a secret, a token and a home folder, printed and raised")
    record_property("lost", "none of them in ipynb, HTML or PDF")


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_s4_what_a_cell_showed_before_its_kernel_died_is_cleaned_too(tmp_path):
    source, target = tmp_path / "dying.py", tmp_path / "out.ipynb"
    die = "import os, time\ntime.sleep(1)\nos.kill(os.getpid(), 9)"
    source.write_text(f"# %%\nprint('{TOKEN[:5]}' + '{TOKEN[5:]}', 'shown', flush=True)\n{die}\n")
    with pytest.raises(NotebookError, match="the kernel died"):
        notebooks.run(source, target, "sample")
    assert nbformat.read(target, 4).cells[0].outputs[0].text == "[token removed] shown\n"


def test_s4_a_notebook_executed_elsewhere_is_cleaned_for_the_report_and_its_cell_named(monkeypatch, capsys):
    monkeypatch.setenv("KAGGLE_KEY", CANARY)
    output = new_output("stream", text=f"key {CANARY}\n")
    cells = [new_markdown_cell(f"mine is {TOKEN}"), new_code_cell("x", outputs=[output], execution_count=1)]
    notebook = new_notebook(cells=cells)
    text = export.to_html([("02_theirs", notebook)])
    assert CANARY not in text
    assert TOKEN not in text
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "warning: 02_theirs cell 1: a token removed; make a new one if it was shown before"
    assert lines[1] == "warning: 02_theirs cell 2: KAGGLE_KEY removed; make a new one if it was shown before"
    assert CANARY in notebook.cells[1].outputs[0].text, "the notebook itself is left alone"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/w/book/a/b.py:3: UserWarning", "a/b.py:3: UserWarning"),
        ("File \x1b[32m/w/book/a.py\x1b[39m in", "File \x1b[32ma.py\x1b[39m in"),
        ("file:///home/kim/x", "file://~/x"),
        ("/home/kim and /home/kim.", "~ and ~."),
        ("/home/kimberly /data/home/kim2 /home/kim-2", "/home/kimberly /data/home/kim2 /home/kim-2"),
        ("/other/w/bookshelf", "/other/w/bookshelf"),
    ],
)
def test_s4_paths_become_relative_and_nothing_else_changes(text, expected, monkeypatch):
    monkeypatch.setattr(redact.os, "getcwd", lambda: "/w/book")
    monkeypatch.setattr(redact.Path, "home", lambda: Path("/home/kim"))
    assert redact._without_paths(text) == expected


def test_s4_short_values_and_a_home_at_the_root_change_nothing(monkeypatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    monkeypatch.setattr(redact.Path, "home", lambda: Path("/"))
    cell = new_code_cell("x", outputs=[new_output("stream", text="false / true"), new_output("display_data", PIXELS)])
    assert redact.outputs(cell) == []
    assert cell.outputs[0].text == "false / true"
    assert cell.outputs[1].data == PIXELS


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        *((name, True) for name in ("HF_TOKEN", "AWS_SECRET", "DB_PASSWORD", "db_passwd", "MY_CREDENTIALS")),
        *((name, True) for name in ("WANDB_API_KEY", "KEY_OF_MINE", "openai_key")),
        *((name, False) for name in ("KEYBOARD", "LOGNAME_OF", "PASTA")),
    ],
)
def test_s4_a_variable_is_a_secret_by_its_name(name, is_secret, monkeypatch):
    monkeypatch.setenv(name, CANARY)
    text, kinds = redact.text(f"it is {CANARY}.")
    assert (text, kinds) == ((f"it is [{name} removed].", [name]) if is_secret else (f"it is {CANARY}.", []))


@pytest.mark.parametrize(("length", "removed"), [(7, False), (8, True)])
def test_s4_a_value_of_eight_characters_is_long_enough_for_a_secret(length, removed, monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "7f3acanary"[:length])
    assert (redact.text("7f3acanary")[1] == ["SOME_TOKEN"]) == removed


WELL_KNOWN = {
    "Hugging Face": "hf_" + 5 * "aB3d",
    **{f"GitHub, {kind}": f"gh{kind}_" + 9 * "aB3d" for kind in "oprsu"},
    "GitHub, fine-grained": "github_pat_" + 5 * "aB3_",
    "OpenAI": "sk-" + 5 * "aB-3",
    "AWS": "AKIA" + 4 * "AB3D",
    **{f"Slack, {kind}": f"xox{kind}-" + 3 * "12-a" for kind in "abprs"},
    "Google": "AIza" + 8 * "aB-3",
    "a private key": "-----BEGIN RSA PRIVATE KEY-----\nMIIaB3/+d==\nQ\n-----END RSA PRIVATE KEY-----",
    "half a private key": "-----BEGIN PRIVATE KEY-----\nMIIaB3/+d==",
}


@pytest.mark.parametrize("kind", WELL_KNOWN)
def test_s4_well_known_tokens_are_removed_wherever_they_stand(kind):
    token = WELL_KNOWN[kind]
    text, kinds = redact.text(f"a={token} and '{token}'; {token}")
    assert not set(token.splitlines()) & set(re.split(r"['\s]", text)), "a part of it is left"
    assert text.startswith("a=[token removed]")
    assert kinds == ["a token"]
    if "half" not in kind:  # of which nobody knows where it ends
        assert text == "a=[token removed] and '[token removed]'; [token removed]"


def test_s4_all_secrets_of_a_text_are_removed_each_time_and_each_kind_is_told_once(monkeypatch):
    monkeypatch.setenv("FIRST_KEY", CANARY)
    monkeypatch.setenv("OTHER_KEY", "another-one")
    text, kinds = redact.text(f"{CANARY} another-one {TOKEN} {CANARY}{CANARY} {TOKEN} another-one")
    first, other, token = "[FIRST_KEY removed]", "[OTHER_KEY removed]", "[token removed]"
    assert text == f"{first} {other} {token} {first}{first} {token} {other}"
    assert sorted(kinds) == ["FIRST_KEY", "OTHER_KEY", "a token"]


@pytest.mark.parametrize("names", [("SHORT_KEY", "WHOLE_KEY"), ("WHOLE_KEY", "SHORT_KEY")])
def test_s4_of_a_secret_that_begins_with_another_nothing_is_left(names, monkeypatch):
    values = {"SHORT_KEY": CANARY, "WHOLE_KEY": f"{CANARY}-and-more"}
    for name in names:  # in the order of the environment
        monkeypatch.setenv(name, values[name])
    assert redact.text(f"{CANARY}-and-more, {CANARY}")[0] == "[WHOLE_KEY removed], [SHORT_KEY removed]"


def test_s4_whatever_kind_of_output_holds_a_secret_loses_it(monkeypatch):
    monkeypatch.setenv("SOME_KEY", CANARY)
    mimes = ("text/plain", "text/html", "text/markdown", "text/latex", "image/svg+xml", "application/javascript")
    outputs = [
        new_output("stream", text=f"to {CANARY}\n"),
        new_output("stream", name="stderr", text=f"to {CANARY}\n"),
        *(new_output("display_data", {mime: f"<p>{CANARY}</p>"}) for mime in mimes),
        new_output("display_data", {"application/json": {"list": [{"inside": CANARY}], CANARY: 1}}),
        new_output("execute_result", {"text/plain": "3"}, metadata={"coursekit": {"caption": f"With {CANARY}."}}),
        new_output("error", ename="Error", evalue=f"no {CANARY}", traceback=["one", f"\x1b[32m{CANARY}\x1b[39m"]),
    ]
    cell = new_code_cell("x", outputs=outputs)
    assert redact.outputs(cell) == ["SOME_KEY"]
    text = json.dumps(cell.outputs)
    assert CANARY not in text
    assert text.count("[SOME_KEY removed]") == 2 + len(mimes) + 2 + 1 + 2
    assert cell.outputs[-2].data == {"text/plain": "3"}
    nbformat.validate(new_notebook(cells=[cell]))


def test_s4_the_base64_of_pictures_is_left_as_it_is(monkeypatch):
    monkeypatch.setenv("SOME_KEY", "AAECAwQF")  # by chance, a part of the picture
    data = {"image/png": "iVBOAAECAwQF", "image/jpeg": "/9j/AAECAwQF"}
    cell = new_code_cell("x", outputs=[new_output("display_data", dict(data))])
    assert redact.outputs(cell) == []
    assert cell.outputs[0].data == data


PIXELS = {"image/png": "aGZfQ2FuYXJ5", "text/plain": "<Figure>"}


# --- S5 ---------------------------------------------------------------------------------------------------------------

PAGE = r"""# T {onclick="evil()"}

<script>evil()</script> <img src=x onerror="evil()"> <svg onload="evil()"><script>evil()</script></svg>

<details onclick="evil()" title="><script>evil()"><summary>Answer</summary>

folded **text**

</details>

<b onclick="evil()">bold</b> <span onclick="evil()" style="background:url(http://127.0.0.1:9/evil)">span</span>

[link](javascript:evil()) [page](data:text/html,evil) <a href="java&#10;script:evil()">a</a> [good](https://example.org)

<div onmouseover="evil()">block</div> <iframe src="http://127.0.0.1:9/evil"></iframe> <object data="SECRET"></object>

<meta http-equiv="refresh" content="0;url=http://evil/"> <link rel=stylesheet href="SECRET">

```{=html}
<script>evil()</script>
```

`<script>evil()</script>`{=html} `#panic("evil")`{=typst}

```{=typst}
#panic("evil")
```

![x](SECRET) ![y](http://127.0.0.1:9/evil.png) ![z](data:image/svg+xml;base64,PHN2Zy8+){.inline-svg onload="evil()"}

---
header-includes: <script>evil()</script>
css: SECRET
---

x<sub>2</sub>
"""
OUTPUT = """<SCRIPT>evil()</SCRIPT><p onclick="evil()">kept</p><iframe src="file://SECRET"></iframe>
<a href="javascript:evil()">link</a><table onclick="evil()"><tr onclick="evil()"><td onclick="evil()">cell</td></tr>
</table><svg><script>evil()</script></svg><object data="SECRET"></object><img src="SECRET">"""
DRAWN = '<svg xmlns="http://www.w3.org/2000/svg" onload="evil()"><script>evil()</script></svg>'


@pytest.fixture
def evil(tmp_path):
    """A notebook that tries everything, and a file on this machine that it would like to show."""
    secret = tmp_path / "secret.svg"
    secret.write_text(f"<svg xmlns='http://www.w3.org/2000/svg'><text>{CANARY}</text></svg>")
    bundles = ({"text/html": OUTPUT}, {"text/markdown": PAGE}, {"image/svg+xml": DRAWN}, {"text/latex": r"$\evil$"})
    outputs = [
        new_output("display_data", {mime: text.replace("SECRET", str(secret)) for mime, text in bundle.items()})
        for bundle in bundles
    ]
    cells = [new_markdown_cell(PAGE.replace("SECRET", str(secret))), new_code_cell("x", outputs=outputs)]
    return [("01_evil", new_notebook(cells=cells))]


def test_s5_a_page_runs_and_fetches_nothing(evil):
    page = export.to_html(evil)
    for element in html5lib.parse(page, namespaceHTMLElements=False).iter():
        assert element.tag not in ("script", "iframe", "object", "embed", "base", "link", "form", "input"), element.tag
        assert element.get("http-equiv") is None
        for name, value in element.attrib.items():
            assert not name.startswith("on"), name
            assert name != "style" or "url" not in value
            if name in ("href", "src", "action", "data", "srcset"):
                assert re.match(r"https?://example\.org|#|data:image/" if name == "href" else "data:image/", value) or (
                    (element.tag == "a" and value == "http://127.0.0.1:9/evil.png")  # led to, not fetched
                    or (element.tag == "a" and value == "http://127.0.0.1:9/evil")
                ), value
    assert CANARY not in page
    for kept in ("folded <strong>text</strong>", "<details>", "<strong>bold</strong>", "kept", "cell", "<sub>2</sub>"):
        assert kept in page
    pictures = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)', page)
    assert len(pictures) == 6  # in the text, in the text of an output twice, in its HTML, and of an output itself
    assert all(b"evil" not in base64.b64decode(picture) for picture in pictures)
    assert '<a href="https://example.org">good</a>' in page


def test_s5_nor_does_a_pdf(evil):
    pdf = text_of(export.to_pdf(evil))
    assert CANARY not in pdf
    assert "javascript:" not in pdf
    assert "folded text" in pdf or not shutil.which("pdftotext")


def test_s5_only_our_marks_reach_typst_as_they_are():
    code = "#metadata(7) <chapter>"
    marked = new_markdown_cell(
        f"# One\n\n```{{=typst}}\n{code}\n```\n\n{code} // cell 9\n\n<p id='x\")#panic()'>{code}</p>"
    )
    with export.Report([("03_x", new_notebook(cells=[marked], metadata={"coursekit": {}}))]) as report:
        report.pdf()
        body = (report.folder / "report.typ").read_text()
    outside_code = re.sub(r"```.*?```", "", body.partition("#metadata(1)")[2], flags=re.DOTALL)
    assert code not in outside_code.replace(f"\\{code}", "")
    assert outside_code.count("#metadata(2) <chapter>") == 1
    assert "#panic" not in outside_code


def test_s5_no_notebook_is_ever_signed():
    for path in (ROOT / "coursekit").rglob("*.py"):
        assert not re.search(r"Notary|nbformat\.sign|trusted", path.read_text()), path


def test_s5_javascript_outputs_have_no_place_in_a_report(capsys):
    cell = new_code_cell("x", outputs=[new_output("display_data", {"application/javascript": "evil()"})])
    assert "evil" not in export.to_html([("01_x", new_notebook(cells=[cell]))])
    assert capsys.readouterr().err == "warning: 01_x cell 1: an output that is a script is left out\n"
