"""The papers and data sets of a notebook in full, from references.bib by pandoc's citeproc."""

import re
from pathlib import Path

from coursekit.errors import UsageError

BIBLIOGRAPHY = Path(__file__).with_name("references.bib")
DIV = re.compile(r"^</?div[^>]*>\n+", re.MULTILINE)


def keys() -> list[str]:
    """The names by which `references.bib` knows its works."""
    return sorted(re.findall(r"^@\w+\{(\w+),", BIBLIOGRAPHY.read_text(encoding="utf-8"), re.MULTILINE))


def listed(*works: str) -> str:
    """These works as Markdown, a paragraph for each, in the order of authors; UsageError for one that is unknown."""
    import pypandoc  # only here: a notebook without its list of works needs no pandoc

    if unknown := sorted(set(works) - set(keys())):
        raise UsageError(f"no {', '.join(unknown)} in references.bib; it has {', '.join(keys())}")
    document = "---\nnocite: '" + ", ".join(f"@{work}" for work in works) + "'\n---\n"
    options = ["--citeproc", f"--bibliography={BIBLIOGRAPHY}", "--wrap=none"]
    return DIV.sub("", pypandoc.convert_text(document, "gfm", format="markdown", extra_args=options)).strip()
