"""The XHTML of a narrative: what may stand in it, and one spelling of it.

Source: hl7.org/fhir/R4/narrative.html#xhtml (invariants txt-1 and txt-2). Stricter than that:
nothing may be fetched from elsewhere, so that showing a narrative tells nobody anything.
"""

import re
from collections.abc import Iterator
from xml.parsers import expat  # document types and entities are refused, see hardened()
from xml.sax.saxutils import escape

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec.model import LIMITS

XHTML = "http://www.w3.org/1999/xhtml"
_LANG = "http://www.w3.org/XML/1998/namespace lang"
_ELEMENTS = frozenset(
    "a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3"
    " h4 h5 h6 hr i img li ol p pre q samp small span strong sub sup table tbody td tfoot th thead"
    " tr tt ul var".split()
)
DIV = f"{XHTML} div"
_NAMES = frozenset(f"{XHTML} {name}" for name in _ELEMENTS)
_EMPTY = frozenset(("br", "col", "hr", "img"))
_ATTRIBUTES = frozenset(
    "abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign"
    " char charoff charset cite class colspan compact coords dir frame headers height href hreflang"
    " hspace id lang longdesc name nowrap rel rev rowspan rules scope shape span src start style"
    " summary tabindex title type valign value vspace width".split()
)
_BAD_STYLE = re.compile(r"url\s*\(|expression|@import|javascript|behavio|-moz-binding|\\|/\*", re.I)
_LINK = re.compile(r"(?:https?|mailto|tel|urn):[^\s]*|[^:\s]*|#\S*", re.I)
_DATA = r"data:[a-z0-9.+/-]*;base64,[A-Za-z0-9+/=\s]*"  # in an img nothing of it can run
_IMAGE = re.compile(rf"{_DATA}|(?!//)[^:\s]*", re.I)
_KNOWN = {  # plain tags -> what they do to the depth
    **{name: 1 for name in _ELEMENTS},
    **{f"/{name}": -1 for name in _ELEMENTS},
    **{f"{name}/": 0 for name in _ELEMENTS},
}
_DIV_TAG = f'div xmlns="{XHTML}"'
_TAG = re.compile(r'([a-z][a-z0-9]*)((?:\s+[a-z]+="[^"]*")*)\s*(/?)>')
_ATTRIBUTE = re.compile(r'([a-z]+)="([^"]*)"')
_CONTENT = re.compile(r">\s*[^<\s]|<(?:\w+:)?img\b")
_CHECKED = {
    "href": _LINK.fullmatch,
    "cite": _LINK.fullmatch,
    "longdesc": _LINK.fullmatch,
    "src": _IMAGE.fullmatch,
}


def hardened() -> expat.XMLParserType:
    """An XML parser that refuses document types, entities and processing instructions."""
    parser = expat.ParserCreate("utf-8", " ")
    parser.ordered_attributes = True
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.ProcessingInstructionHandler = _refuse_instruction
    return parser


def _refuse_doctype(*_: object) -> None:
    raise LdnError(Issue.INVALID, "a document type or entity is not accepted; leave it out")


def _refuse_instruction(*_: object) -> None:
    raise LdnError(Issue.INVALID, "a processing instruction is not accepted; leave it out")


def sound(text: str) -> bool:
    """Whether this is a div of XHTML as FHIR allows it."""
    parser, look = hardened(), Look()
    parser.StartElementHandler = look.start
    parser.EndElementHandler = look.end
    return _parsed(parser, text) and look.sound and has_content(text)


def has_content(text: str) -> bool:
    """Whether a div, well-formed, shows anything: text or an image."""
    return _CONTENT.search(text) is not None


def normal(text: str) -> str | None:
    """The div in one spelling (comments and prefixes gone); None if it is unsound."""
    parser, narrative = hardened(), Narrative()
    parser.StartElementHandler = narrative.start
    parser.EndElementHandler = narrative.end
    parser.CharacterDataHandler = narrative.data
    return narrative.text if _parsed(parser, text) else None


def plain_div(first: str, rest: Iterator[str]) -> str | None:
    """The div whose start tag is `<` and `first`, as it stands; None if unsound or not plain.

    `rest` gives the texts that follow, each from after one `<` to the next, of a document that is
    well-formed; it is used up to the end of the div.
    """
    if not first.startswith(_DIV_TAG):
        return None
    parts, depth, text = [first], 0, "div" + first.removeprefix(_DIV_TAG)
    while True:
        opens = _KNOWN.get(text[: text.find(">")])
        if opens is None:
            opens = _plain_tag(text)
        if opens is None or depth >= LIMITS.depth:
            return None
        depth += opens
        if not depth:
            break
        text = next(rest)
        parts.append(text)
    tag, _, after = text.partition(">")
    parts[-1] = tag + ">"
    whole = "<" + "<".join(parts)
    return whole if len(parts) > 1 and not after.strip() and has_content(whole) else None


def _plain_tag(text: str) -> int | None:
    """Whether an element opens (1) or is complete (0); None if it is unsound or not plain."""
    found = _TAG.match(text)
    if found is None or found[1] not in _ELEMENTS:
        return None
    if found[2]:
        pairs = _ATTRIBUTE.findall(found[2])
        if "&" in found[2] or not all(k in _ATTRIBUTES and _harmless(k, v) for k, v in pairs):
            return None
    return 0 if found[3] else 1


def _parsed(parser: expat.XMLParserType, text: str) -> bool:
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, LdnError):
        return False
    return True


class Look:
    """Follows the elements of one div and keeps nothing but the verdict."""

    __slots__ = ("depth", "sound")

    def __init__(self) -> None:
        self.depth, self.sound = 0, True

    def start(self, name: str, attributes: list[str]) -> None:
        """An element begins."""
        if name not in _NAMES or attributes or not 0 < self.depth < LIMITS.depth:
            self._odd(name, attributes)
        self.depth += 1

    def _odd(self, name: str, attributes: list[str]) -> None:
        if name not in _NAMES or (not self.depth and name != DIV):
            self.sound = False
        if self.depth >= LIMITS.depth:
            raise LdnError(Issue.TOO_LONG, "a narrative is nested too deep", status=400)
        for key, value in zip(attributes[::2], attributes[1::2], strict=True):
            if key != _LANG and not (key in _ATTRIBUTES and _harmless(key, value)):
                self.sound = False

    def end(self, name: str) -> None:
        """An element ends."""
        self.depth -= 1


class Narrative(Look):
    """Collects the events of one div; `text` is its one spelling, or None if it is unsound."""

    __slots__ = ("_content", "_open", "_parts")

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[str] = []
        self._open: list[str] = []
        self._content = False

    @property
    def text(self) -> str | None:
        """The whole div."""
        return "".join(self._parts) if self.sound and self._content else None

    def start(self, name: str, attributes: list[str]) -> None:
        """An element begins."""
        super().start(name, attributes)
        local = name.rpartition(" ")[2]
        self._parts.append(f"<{local}" if self._open else f'<{local} xmlns="{XHTML}"')
        self._open.append(local)
        self._content = self._content or local == "img"
        for key, value in zip(attributes[::2], attributes[1::2], strict=True):
            self._parts.append(f' {"xml:lang" if key == _LANG else key}="{_quoted(value)}"')
        self._parts.append("/>" if local in _EMPTY else ">")

    def end(self, name: str) -> None:
        """An element ends."""
        super().end(name)
        local = self._open.pop()
        if local not in _EMPTY:
            self._parts.append(f"</{local}>")

    def data(self, text: str) -> None:
        """Text between elements."""
        if self._open and self._open[-1] in _EMPTY:
            self.sound = False
        self._content = self._content or not text.isspace()
        self._parts.append(escape(text, {"\r": "&#13;"}))


def _quoted(value: str) -> str:
    return escape(value, {'"': "&quot;", "\n": "&#10;", "\t": "&#9;", "\r": "&#13;"})


def _harmless(key: str, value: str) -> bool:
    if key == "style":
        return _BAD_STYLE.search(value) is None
    check = _CHECKED.get(key)
    return check is None or check(value.strip()) is not None
