"""Secrets and the paths of this machine, removed from what a notebook's cells have shown before a file is written."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from nbformat import NotebookNode

SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|KEY(_|$)", re.IGNORECASE)
SHORTEST = 8  # characters: "1" or "none" in such a variable is no secret, and stands everywhere
# A token does not begin inside a word, and one whose letters may be a word's (sk-learn-…) has digits and capitals too.
TOKENS = re.compile(
    r"(?:(?<![A-Za-z0-9])|(?<=\dm))(?:hf_[A-Za-z0-9]{20,}|gh[oprsu]_[A-Za-z0-9]{30,}|github_pat_\w{20,}|AKIA[A-Z0-9]{16}(?![A-Za-z0-9])"
    r"|(?:(?<![\w-])|(?<=\dm))sk-(?=[\w-]*\d)(?=[\w-]*[A-Z])[\w-]{20,}|xox[abprs]-(?=[\w-]*\d)[\w-]{10,}|AIza[\w-]{30,})"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(-----END [A-Z ]*PRIVATE KEY-----)?"
)
SYSTEM = ("/usr", "/opt", "/bin", "/Library", "/System", "C:\\Program Files", "C:\\Windows")  # says nothing of anybody
PICTURES = ("image/png", "image/jpeg")  # in base64


def outputs(cell: NotebookNode) -> list[str]:
    """Take secrets and paths out of a code cell's outputs, in place; returns what kinds of secret were there.

    A secret is the value of an environment variable that is named like one, or what looks like a well-known token.
    Paths below the working folder become relative, those of this Python too, and the home folder is "~".
    """
    found: list[str] = []
    cell.outputs = _mapped(cell.outputs, lambda text: _without_paths(_without_secrets(text, found)))
    return list(dict.fromkeys(found))


def source(cell: NotebookNode) -> list[str]:
    """Take secrets out of what a cell says itself, in place; returns what kinds were there."""
    found: list[str] = []
    cell.source = _without_secrets(cell.source, found)
    return list(dict.fromkeys(found))


def text(text: str) -> tuple[str, list[str]]:
    """A text without secrets and paths, and what kinds of secret were there."""
    found: list[str] = []
    text = _without_paths(_without_secrets(text, found))
    return text, list(dict.fromkeys(found))


def warn(where: str, kinds: list[str]) -> None:
    """Say on stderr what was removed, and where."""
    if kinds:
        print(f"warning: {where}: {', '.join(kinds)} removed; make a new one if it was shown before", file=sys.stderr)


def _mapped(value, change: Callable[[str], str]):
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    if isinstance(value, dict):
        changed = {change(key): item if key in PICTURES else _mapped(item, change) for key, item in value.items()}
        return type(value)(changed)
    return value


def _without_secrets(text: str, found: list[str]) -> str:
    # The longest first: of a secret that holds another one, the rest would stay.
    secrets = [(name, value) for name, value in os.environ.items() if len(value) >= SHORTEST and value in text]
    for name, value in sorted(secrets, key=lambda item: len(item[1]), reverse=True):
        if SECRET_NAME.search(name):
            text = text.replace(value, f"[{name} removed]")
            found.append(name)
    if TOKENS.search(text):
        text = TOKENS.sub("[token removed]", text)
        found.append("a token")
    return text


def _without_paths(text: str) -> str:
    home = str(Path.home())
    for folder in sorted({os.getcwd(), sys.prefix, sys.base_prefix, home}, key=len, reverse=True):
        if folder in text and _is_deep(folder):
            end, short = (r"(?![\w-])", "~") if folder == home else (r"[/\\]", "")
            # A path does not begin inside a word; an "m" before it may be the end of a colour's code.
            text = re.sub(r"(?<![A-Za-ln-z0-9_])" + re.escape(folder) + end, short, text)
    return text


def _is_deep(folder: str) -> bool:
    """Not the root of a disk, or of nothing, nor where every machine has its programs."""
    return len(Path(folder).parts) > 1 and not folder.startswith(SYSTEM)
