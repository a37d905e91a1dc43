"""What a cell printed, as a terminal shows it in the end: no colours, of a progress bar its last state, not all."""

import codeop
import re
import warnings

LINES_SHOWN = 40  # of a cell's printed output
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")
NOISE = re.compile(r".*:\d+: \w*(?:Deprecation|Future)Warning: ")  # as Python's warnings begin
KEYWORDS = re.compile(r"(?:import|from|return|raise|yield|assert|with|for|while|if|elif|except|del)\b|[\w.\[\]'\"]+ = ")


def clean(text: str) -> str:
    """Text without what steers a terminal."""
    lines = ESCAPES.sub("", text).replace("\r\n", "\n").split("\n")
    return "\n".join(CONTROLS.sub("", _overwritten(_erased(line))) for line in lines).rstrip()


def _erased(line: str) -> str:
    """Each backspace takes away the character before it."""
    if "\b" not in line:
        return line
    kept: list[str] = []
    for character in line:
        if character != "\b":
            kept.append(character)
        elif kept and kept[-1] != "\r":
            kept.pop()
    return "".join(kept)


def _overwritten(line: str) -> str:
    """After a carriage return a line is written over, from its begin."""
    shown = ""
    for part in line.split("\r"):
        shown = part + shown[len(part) :]
    return shown


def without_noise(text: str) -> tuple[str, int]:
    """Without the deprecation and future warnings of libraries, and how many there were."""
    kept, count, follows = [], 0, False
    for line in text.split("\n"):
        if NOISE.match(line):
            count, follows = count + 1, True
        elif not (follows and _is_source(line)):
            kept.append(line)
            follows = False
        else:
            follows = False
    return "\n".join(kept), count


def _is_source(line: str) -> bool:
    """Below a warning Python prints the line of code that caused it, with two spaces before it; a result is none."""
    said = line[2:]
    if not line.startswith("  ") or said[:1].isspace() or not ("(" in said or KEYWORDS.match(said)):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            codeop.compile_command(said)
    except (SyntaxError, ValueError, OverflowError):
        return bool(re.match(r"[\w.]+\(.*,\s*$", said))  # the first line of a long call
    return True


def shorten(text: str, lines_shown: int = LINES_SHOWN) -> tuple[str, int]:
    """The first lines of a long print-out with how many more there were, and that number."""
    lines = text.split("\n")
    more = max(0, len(lines) - lines_shown)
    return "\n".join([*lines[:lines_shown], f"… {more} more lines"] if more else lines), more
