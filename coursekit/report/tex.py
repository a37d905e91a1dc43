"""TeX as MathJax reads it, in the words that pandoc's reader of formulas knows: macros, old fonts, environments."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

TOKEN = re.compile(r"\\(?:[A-Za-z]+|.|$)|%.*?(?:\n|$)|.", re.DOTALL)
LONGEST = 20_000  # tokens that a formula may grow to: a macro may name itself
FONTS = {"bf": "mathbf", "rm": "mathrm", "it": "mathit", "sf": "mathsf", "tt": "mathtt", "cal": "mathcal"}
FONTS |= {"frak": "mathfrak", "Bbb": "mathbb", "scr": "mathscr", "boldmath": "mathbf", "bold": "mathbf"}
ENDS_A_RUN = (
    "&",
    r"\\",
    r"\left",
    r"\right",
    r"\middle",
    r"\begin",
    r"\end",
    r"\cr",
)  # a font stops at one and goes on
SIZES = {rf"\{size}{side}" for size in ("big", "Big", "bigg", "Bigg") for side in ("", "l", "r", "m")}
SIZES |= {r"\left", r"\right", r"\middle"}
INFIX = {r"\over": (r"\frac{", "}{", "}"), r"\atop": (r"\substack{", r"\\", "}")}
DEFINITIONS = {"newcommand", "renewcommand", "providecommand", "def", "gdef", "let", "DeclareMathOperator"}
DIMENSION = re.compile(r"\s*=?\s*-?[\d.]*\s*(?:pt|em|ex|mu|cm|mm|in|pc|px)?")
# What MathJax knows and pandoc's reader does not, as macros: number of arguments, and what stands for them.
KNOWN: dict[str, tuple[int, str]] = {
    **dict.fromkeys(
        ["nonumber", "notag", "centering", "mathstrut", "strut", "displaylimits", "hfil", "normalsize", "small"],
        (0, ""),
    ),
    **dict.fromkeys(
        ["footnotesize", "scriptsize", "tiny", "large", "Large", "LARGE", "huge", "Huge", "textstyle"], (0, "")
    ),
    **dict.fromkeys(["label", "require", "vspace", "hphantom", "vphantom", "hdashline"], (1, "")),
    **dict.fromkeys(
        ["rlap", "llap", "smash", "mathclap", "mathllap", "mathrlap", "mathinner", "mathnormal", "mit"], (1, "{#1}")
    ),
    **dict.fromkeys(["textcolor", "class", "style", "cssId", "href", "colorbox", "raise", "lower"], (2, "{#2}")),
    **dict.fromkeys(["hbox", "textnormal", "textup", "textmd", "textsc", "emph", "textsl"], (1, r"\text{#1}")),
    **dict.fromkeys(["dbinom", "tbinom"], (2, r"\binom{#1}{#2}")),
    "thinspace": (0, r"\,"),
    **dict.fromkeys(["hfill", "hfilll", "thickspace"], (0, r"\quad ")),
    "tag": (1, r"\qquad\text{(#1)}"),
    "eqref": (1, r"\text{(#1)}"),
    "ref": (1, r"\text{#1}"),
    "fbox": (1, r"\boxed{\text{#1}}"),
    "cfrac": (2, r"\frac{#1}{#2}"),
    "mathbbm": (1, r"\mathbb{#1}"),
    "textsuperscript": (1, r"^{\text{#1}}"),
    **dict.fromkeys(("!", "negthinspace", "negmedspace", "negthickspace"), (0, "")),  # pandoc makes an em of each
    ";": (0, r"\:"),
    "displaylines": (1, r"\begin{gathered}#1\end{gathered}"),
    "eqalign": (1, r"\begin{aligned}#1\end{aligned}"),
    "cr": (0, r"\\"),
    "newline": (0, r"\\"),
    "par": (0, " "),
    "lVERT": (0, r"\Vert "),
    "idotsint": (0, r"\int\cdots\int "),
    "varlimsup": (0, r"\overline{\lim}"),
    "varliminf": (0, r"\underline{\lim}"),
    "injlim": (0, r"\operatorname*{inj\,lim}"),
    "projlim": (0, r"\operatorname*{proj\,lim}"),
    "colonequals": (0, r"\mathrel{:=}"),
    "xlongequal": (1, r"\overset{#1}{=}"),
    "xmapsto": (1, r"\overset{#1}{\mapsto}"),
    "thickapprox": (0, r"\approx "),
    "surd": (0, r"\sqrt{\,}"),
    "degree": (0, "°"),
    "S": (0, "§"),
    "P": (0, "¶"),
    "copyright": (0, "©"),
    "And": (0, r"\&"),
    "LaTeX": (0, r"\text{LaTeX}"),
    "TeX": (0, r"\text{TeX}"),
}
WRAPPERS = re.compile(r"\\(?:begin|end)\{(?:equation|displaymath|math|subequations)\*?\}")
ALIGNED = re.compile(r"\\(begin|end)\{(?:align|flalign|eqnarray|alignat|alignedat|IEEEeqnarray)\*?\}")
GATHERED = re.compile(r"\\(begin|end)\{(?:gather|multline)\*?\}")
OTHERS = {"dcases": "cases", "tabular": "array", "smallmatrix": "matrix", "psmallmatrix": "pmatrix"}
BARS = {"vmatrix": (r"\left|", r"\right|"), "Vmatrix": (r"\left\Vert ", r"\right\Vert ")}


@dataclass
class Macros:
    """What the cells of a notebook have defined so far: MathJax keeps it for the whole page."""

    known: dict[str, tuple[int, str | None, list[str]]] = field(default_factory=dict)

    def translate(self, tex: str) -> str:
        """The formula in pandoc's words; empty where it only defines something."""
        tokens = [token for token in TOKEN.findall(tex) if token[0] != "%"]
        tokens = _norms(tokens)
        expanded = _spaced(self._expanded(tokens))
        return _in_lines(_environments(_group(_spaced(list(_fonts(expanded))))))

    def _expanded(self, tokens: list[str]) -> list[str]:
        """Without definitions, and with what they stand for."""
        left, done = tokens[::-1], []
        while left:
            if len(left) + len(done) > LONGEST:
                return tokens
            token = left.pop()
            name = token[1:] if token[0] == "\\" else ""
            if name in DEFINITIONS:
                self._define(name, left)
            elif name in self.known:
                count, default, body = self.known[name]
                given = [_optional(left) or default] if default is not None else []
                given += [_argument(left) for _ in range(count - len(given))]
                left += _filled(body, given)[::-1]
            elif name in ("kern", "mkern", "hskip", "mskip"):
                rest = DIMENSION.sub("", "".join(left[:-41:-1]), count=1)
                del left[-40:]
                left += [*TOKEN.findall(rest)[::-1]]
                done += [r"\,"]
            elif name in ("hspace", "mspace"):
                done += [] if "-" in _argument(left) else [r"\quad", " "]
            elif name in KNOWN:
                count, body = KNOWN[name]
                left += _filled(TOKEN.findall(body), [_argument(left) for _ in range(count)])[::-1]
            elif name == "verb" and left:
                end = left.pop()
                said = iter(left.pop, end) if end in left else iter(())
                done += [r"\text{", *said, "}"]
            else:
                done.append(token)
        return done

    def _define(self, kind: str, left: list[str]) -> None:
        starred = bool(left) and left[-1] == "*" and bool(left.pop())
        name = _argument(left).strip().removeprefix("\\")
        if kind == "let":
            _skip(left, "=")
            self.known[name] = (0, None, TOKEN.findall(_argument(left)))
        elif kind == "DeclareMathOperator":
            body = rf"\operatorname{'*' * starred}{{{_argument(left)}}}"
            self.known[name] = (0, None, TOKEN.findall(body))
        elif kind.endswith("def"):
            pattern = []
            while left and left[-1] != "{":
                pattern.append(left.pop())
            self.known[name] = (pattern.count("#"), None, TOKEN.findall(_argument(left)))
        else:
            count = _optional(left) or "0"
            default = _optional(left)
            body = TOKEN.findall(_argument(left))
            if kind != "providecommand" or name not in self.known:
                self.known[name] = (int(count) if count.isdecimal() else 0, default, body)
        self.known.pop("", None)


def _norms(tokens: list[str]) -> list[str]:
    """\\| is a relation to Typst, with indices above and below: it opens and closes a norm, or is a bar."""
    tokens = [r"\Vert" if token == r"\|" else token for token in tokens]
    bars = [i for i, token in enumerate(tokens) if token == r"\Vert" and not (i and tokens[i - 1] in SIZES)]
    while len(bars) > 1:
        first, second, *bars = bars
        if _is_balanced(tokens[first + 1 : second]):
            tokens[first], tokens[second] = r"\lVert", r"\rVert"
        else:
            bars.insert(0, second)
    return tokens


def _is_balanced(tokens: list[str]) -> bool:
    depth = 0
    for token in tokens:
        depth += (token in "([{") - (token in ")]}")
        if depth < 0 or token in ENDS_A_RUN:
            return False
    return depth == 0 and bool(tokens)


def _skip(left: list[str], *more: str) -> None:
    while left and (left[-1].isspace() or left[-1] in more):
        left.pop()


def _argument(left: list[str]) -> str:
    """The next token, or what stands in the next pair of braces."""
    _skip(left)
    first = left.pop() if left else ""
    if first != "{":
        return first
    depth, said = 1, []
    while left and depth:
        said.append(left.pop())
        depth += (said[-1] == "{") - (said[-1] == "}")
    return "".join(said[: -1 if not depth else None])


def _optional(left: list[str]) -> str | None:
    """What stands in the next pair of square brackets, if that is what comes next."""
    before = left[:]
    _skip(left)
    if not left or left[-1] != "[" or "]" not in left:
        left[:] = before
        return None
    left.pop()
    return "".join(iter(left.pop, "]"))


def _filled(body: list[str], given: list[str]) -> list[str]:
    filled = [" "] * bool(body and body[0][:1].isalpha())  # \R of "\R x" ends a command before it
    for token in TOKEN.findall("".join(_numbered(body, given))):
        filled.append(token)
    return filled


def _numbered(body: list[str], given: list[str]) -> Iterator[str]:
    tokens = iter(body)
    for token in tokens:
        number = next(tokens, "") if token == "#" else ""
        if number.isdecimal() and 0 < int(number) <= len(given):
            yield given[int(number) - 1]
        else:
            yield token + number
            if token[0] == "\\" and token[1:].isalpha():
                yield " "


def _spaced(tokens: list[str]) -> list[str]:
    """With a space where a letter would otherwise become a part of the command before it."""
    spaced: list[str] = []
    for token in tokens:
        if spaced and spaced[-1][0] == "\\" and spaced[-1][1:].isalpha() and token[:1].isalpha():
            spaced.append(" ")
        spaced.append(token)
    return spaced


def _fonts(tokens: list[str]) -> Iterator[str]:
    """{\\bf x} as {\\mathbf{x}}: an old font command holds to the end of its group."""
    fonts, is_open = [""], False
    for token in tokens:
        name = token[1:] if token[0] == "\\" else ""
        stops = is_open and (token in ENDS_A_RUN or token in "{}" or name in FONTS)
        if stops:
            yield "}"
            is_open = False
        if name in FONTS:
            fonts[-1] = FONTS[name]
            continue
        if fonts[-1] and not is_open and token not in ENDS_A_RUN and token not in "{}_^" and not token.isspace():
            yield rf"\{fonts[-1]}" + "{"
            is_open = True
        if token == "{":
            fonts.append(fonts[-1])
        elif token == "}" and len(fonts) > 1:
            fonts.pop()
        yield token
    if is_open:
        yield "}"


def _group(tokens: list[str]) -> str:
    """The formula as text, {a \\over b} as a fraction, characters that TeX keeps for itself as text."""
    groups: list[list[str]] = [[]]
    for token in tokens:
        if token == "{":
            groups.append([])
        elif token == "}" and len(groups) > 1:
            inner = _infix(groups.pop())
            groups[-1].append("{" + inner + "}")
        else:
            groups[-1].append({'"': r"\text{\"}", "#": r"\#", "`": "‘"}.get(token, token).replace('\\"', '"'))
    return "{".join(_infix(group) for group in groups)


def _infix(tokens: list[str]) -> str:
    for name, (begin, between, end) in INFIX.items():
        if name in tokens and r"\begin" not in tokens:
            at = tokens.index(name)
            return begin + "".join(tokens[:at]) + between + "".join(tokens[at + 1 :]) + end
    return "".join(tokens)


def _environments(tex: str) -> str:
    tex = re.sub(r"(\\begin\{aligned\})\s*(?:\[\w\])", r"\1", ALIGNED.sub(r"\\\1{aligned}", WRAPPERS.sub(" ", tex)))
    tex = re.sub(r"(\\begin\{aligned\})\{\d*\}", r"\1", tex)  # of alignat
    tex = GATHERED.sub(r"\\\1{gathered}", tex)
    for ours, theirs in OTHERS.items():
        tex = re.sub(rf"\\(begin|end)\{{{ours}\*?\}}", rf"\\\1{{{theirs}}}", tex)
    for name, (left, right) in BARS.items():
        tex = tex.replace(rf"\begin{{{name}}}", rf"{left}\begin{{matrix}}")
        tex = tex.replace(rf"\end{{{name}}}", rf"\end{{matrix}}{right}")
    tex = re.sub(r"\\mathop\s*\{\s*\\(?:text|math|mbox)[a-z]*\s*\{([^{}]*)\}\s*\}", r"\\operatorname*{\1}", tex)
    tex = re.sub(r"\\mathop\s*\{([A-Za-z ]{2,})\}", r"\\operatorname*{\1}", tex)
    return re.sub(r"\\sqrt\s*\{\s*\}", r"\\sqrt{\\,}", tex)


def _in_lines(tex: str) -> str:
    """MathJax breaks lines and aligns without an environment too."""
    depth, outside = 0, []
    for token in re.findall(r"\\begin\b|\\end\b|\\(?:[A-Za-z]+|.|$)|[{}]|[^\\{}]+", tex, re.DOTALL):
        opens, closes = token in ("{", r"\begin"), token in ("}", r"\end")
        depth += opens - closes
        outside += [token] if depth == 0 else []
    has_lines = r"\\" in outside or any("&" in token for token in outside if token[0] != "\\")
    return rf"\begin{{aligned}}{tex}\end{{aligned}}" if has_lines else tex.strip()
