"""Pictures of a report: from an output, an attachment, the text itself or the notebook's folder; nothing is fetched."""

import base64
import binascii
import io
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes
from xml.etree import ElementTree

from coursekit.report import tree
from coursekit.report.tree import Node, attr, node

LARGEST = 50_000_000  # bytes
PAGE = 620, 830  # CSS pixels of a page's text: what is larger is made smaller
KINDS = {"PNG": "png", "JPEG": "jpg", "GIF": "gif", "WEBP": "webp"}  # that Typst and browsers read; others become PNG
UNITS = {"pt": 4 / 3, "px": 1.0, "": 1.0, "in": 96.0, "cm": 37.8, "mm": 3.78, "pc": 16.0, "em": 16.0}
SVG = "{http://www.w3.org/2000/svg}"
SHOWN = 80  # characters of an address in a message


class Pictures:
    """Writes the pictures of one notebook into `folder`; `beside` is where that notebook lies, if it lies anywhere."""

    def __init__(self, folder: Path, prefix: str, beside: Path | None, lost: Callable[[str], None]):
        self.folder, self.prefix, self.beside, self.lost = folder, prefix, beside, lost
        self.count = 0

    def read(self, source: str, alt: str, width: str = "", is_button: bool = False) -> list[Node]:
        """The picture at an address of a text; its words and a link where it is on the web, its words in a link."""
        if re.match(r"(https?:)?//", source):
            address = f"https:{source}" if source.startswith("//") else source
            if not is_button:
                self.lost(
                    f"picture {address[:SHOWN]} is on the web and is not fetched; its text and a link stand there"
                )
            said = tree.words(alt or Path(address.split("?")[0]).name or address)
            return said if is_button else [node("Link", attr(), said, [address, ""])]
        if source.startswith("data:"):
            return self._stored(_of_data(source), alt, width, "a picture inside the text")
        path = self._beside(source)
        return (
            self._stored(path.read_bytes(), alt, width, f"picture {source[:SHOWN]}")
            if path
            else self._words(alt, source)
        )

    def attached(self, name: str, attachments: Mapping[str, Mapping[str, str]], alt: str, width: str) -> list[Node]:
        """A picture that was pasted into a cell."""
        bundle = attachments.get(name) or attachments.get(unquote(name)) or {}
        said = next(iter(bundle.values()), "")
        return self._stored(_of_base64(said) or said.encode(), alt or name, width, f"attachment {name[:SHOWN]}")

    def drawn(self, content: str, alt: str, mime: str = "image/svg+xml", width: str = "") -> list[Node]:
        """A picture of an output: SVG as text, pixels in base64; nothing where it is none, and nothing is said."""
        said = content.encode(errors="replace") if mime == "image/svg+xml" else _of_base64(content)
        return self._kept(said, alt, width) or []

    def written(self, svg: str) -> list[Node]:
        """A drawing that stands in the text itself."""
        return self._stored(svg.encode(errors="replace"), "", "", "a drawing inside the text (SVG)")

    def _stored(self, content: bytes, alt: str, width: str, name: str) -> list[Node]:
        kept = self._kept(content, alt, width)
        if kept is None:
            self.lost(f"{name} cannot be read as a picture")
            return tree.words(alt or "[picture]")
        return kept

    def _words(self, alt: str, source: str) -> list[Node]:
        return tree.words(alt or Path(source).name or "[picture]")

    def _beside(self, source: str) -> Path | None:
        """The file below the notebook's folder that a text means, or None, which is said."""
        name = unquote(re.split(r"[?#]", source)[0]).replace("\\", "/")
        if not name or "\0" in name:
            reason = "has no address"
        elif self.beside is None or re.match(r"/|\w+:", name):
            reason = "is not in the notebook's folder"
        else:
            top = _top(self.beside.resolve())
            try:
                path = (self.beside / name).resolve()
                if path.is_relative_to(top) and path.is_file() and path.stat().st_size <= LARGEST:
                    return path
                reason = "is not found" if path.is_relative_to(top) else "is not in the notebook's folder"
            except (OSError, RuntimeError):
                reason = "cannot be opened"
        self.lost(f"picture {source[:SHOWN]} {reason}".replace("picture  ", "a picture "))
        return None

    def _kept(self, content: bytes, alt: str, width: str) -> list[Node] | None:
        """The picture as a file that Typst and browsers can read; None where it is none."""
        try:
            is_svg = b"<svg" in content[:4096] or b":svg" in content[:4096]
            kind, content, size = _svg(content) if is_svg else _pixels(content)
        except Exception:  # whatever an XML parser or Pillow stumbles on
            return None
        self.count += 1
        name = f"{self.prefix}-{self.count:04d}.{kind}"
        Path(self.folder, name).write_bytes(content)
        return [node("Image", attr(width=_shown_width(width, size)), tree.words(alt), [name, ""])]


def _top(folder: Path) -> Path:
    """The repository that the notebook came with, from which its text may take pictures; else its folder."""
    return next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), folder)


def _shown_width(given: str, size: tuple[float, float] | None) -> str:
    """The width on paper: as given, else its own, and never more than the page."""
    if given.endswith("%"):
        width = float(given[:-1]) / 100 * PAGE[0]
    elif given:
        width = float(given[:-2])
    elif size:
        width = size[0]
    else:
        return ""
    height = width * size[1] / size[0] if size and size[0] else 0
    fitting = width * PAGE[1] / height if height > PAGE[1] else width
    if given.endswith("%") and fitting == width:
        return f"{min(100, float(given[:-1])):g}%"
    return "100%" if fitting > PAGE[0] else f"{max(1, fitting):.0f}px"


def _svg(content: bytes) -> tuple[str, bytes, tuple[float, float] | None]:
    """An SVG without what is no picture: scripts, and files that it would load."""
    root = ElementTree.fromstring(content.strip())
    if root.tag == "svg":  # without a namespace no browser draws it
        root = ElementTree.fromstring(content.strip().replace(b"<svg", b'<svg xmlns="http://www.w3.org/2000/svg"', 1))
    if root.tag != f"{SVG}svg":
        raise ValueError("no SVG")
    for part in root.iter():
        for name, value in list(part.attrib.items()):
            if name.lower().startswith("on") or (name.endswith("href") and not value.startswith(("#", "data:image/"))):
                del part.attrib[name]
    for parent in root.iter():
        for child in [child for child in parent if child.tag in (f"{SVG}script", f"{SVG}foreignObject")]:
            parent.remove(child)
    ElementTree.register_namespace("", SVG[1:-1])
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    return "svg", ElementTree.tostring(root), _size(root)


def _size(root) -> tuple[float, float] | None:
    sides = [re.fullmatch(r"\s*([\d.]+)(pt|px|in|cm|mm|pc|em)?\s*", root.get(side, "")) for side in ("width", "height")]
    if all(sides):
        width, height = (float(side[1]) * UNITS[side[2] or ""] for side in sides)
    else:
        box = re.findall(r"-?[\d.]+(?:e-?\d+)?", root.get("viewBox", ""))
        width, height = (float(side) for side in box[2:]) if len(box) == 4 else (0, 0)
    return (width, height) if width > 0 and height > 0 else None


def _pixels(content: bytes) -> tuple[str, bytes, tuple[float, float]]:
    from PIL import Image  # comes with matplotlib

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(content)) as picture:
            kind, size = picture.format, picture.size
            if kind == "PNG":
                picture.verify()  # of its sums, which is enough and takes no time
            else:
                picture.load()
            if kind not in KINDS or picture.mode == "CMYK":
                buffer = io.BytesIO()
                picture.convert("RGB" if picture.mode == "CMYK" else "RGBA").save(buffer, "PNG")
                kind, content = "PNG", buffer.getvalue()
    return KINDS[kind], content, size


def _of_data(source: str) -> bytes:
    head, _, said = source.partition(",")
    return _of_base64(unquote(said)) if head.endswith(";base64") else unquote_to_bytes(said)


def _of_base64(said: str) -> bytes:
    try:
        return base64.b64decode("".join(said.split()) + "==")
    except (binascii.Error, ValueError):
        return b""
