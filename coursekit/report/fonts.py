"""Which characters of a report this machine can draw, asked of its fonts: Typst draws empty boxes in silence."""

import functools
import sys
import unicodedata

import matplotlib
from matplotlib import font_manager, ft2font

FOLDERS = [f"{matplotlib.get_data_path()}/fonts/ttf"]  # DejaVu, in every installation of matplotlib
PACKAGES = {
    "HANGUL": "fonts-nanum",
    "CJK": "fonts-noto-cjk",
    "HIRAGANA": "fonts-noto-cjk",
    "KATAKANA": "fonts-noto-cjk",
}


@functools.cache
def _drawn_by(path: str) -> frozenset[int]:
    return frozenset(ft2font.FT2Font(path).get_charmap())


def _uncommon(text: str) -> set[str]:
    """Printable characters that the fonts inside Typst and matplotlib lack."""
    known = _drawn_by(f"{FOLDERS[0]}/DejaVuSans.ttf")
    return {c for c in set(text) if ord(c) not in known and unicodedata.category(c)[0] not in "CZM"}


def cover(text: str) -> tuple[list[str], set[str]]:
    """Families of this machine's fonts that draw what the built-in ones cannot, and the characters that none draws."""
    families, left = [], _uncommon(text)
    for path in font_manager.findSystemFonts() if left else []:
        try:
            found = {c for c in left if ord(c) in _drawn_by(path)}
        except RuntimeError:  # a font file that FreeType cannot read
            continue
        if found:
            families.append(ft2font.FT2Font(path).family_name)
            left -= found
    return families, left


def warn(lost: set[str]) -> None:
    """Say on stderr which characters will be empty boxes, and what to install."""
    if lost:
        names = {unicodedata.name(c, "?").split()[0].split("-")[0] for c in lost}
        packages = sorted({PACKAGES[name] for name in names if name in PACKAGES}) or ["a font that has them"]
        shown = "".join(sorted(lost)[:20])
        print(f"warning: no font here draws {shown!r}; install {', '.join(packages)}", file=sys.stderr)
