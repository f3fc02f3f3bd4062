"""The XHTML of a narrative: what may stand in it, and one spelling of it.

Source: hl7.org/fhir/R4/narrative.html#xhtml (invariants txt-1 and txt-2). Stricter than that:
nothing may be fetched from elsewhere, so that showing a narrative tells nobody anything.
"""

import re
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
_EMPTY = frozenset(("br", "col", "hr", "img"))
_ATTRIBUTES = frozenset(
    "abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign"
    " char charoff charset cite class colspan compact coords dir frame headers height href hreflang"
    " hspace id lang longdesc name nowrap rel rev rowspan rules scope shape span src start style"
    " summary tabindex title type valign value vspace width".split()
)
_BAD_STYLE = re.compile(r"url\s*\(|expression|@import|javascript|behavio|-moz-binding|\\|/\*", re.I)
_LINK = re.compile(r"(?:https?|mailto|tel|urn):[^\s]*|[^:\s]*|#\S*", re.I)
_IMAGE = re.compile(
    r"data:image/(?:png|gif|jpeg);base64,[A-Za-z0-9+/=\s]*|#\S*|(?!//)[^:\s]*", re.I
)
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
    return normal(text) is not None


def normal(text: str) -> str | None:
    """The div in one spelling (comments and redundant prefixes gone); None if it is unsound."""
    parser, narrative = hardened(), Narrative()
    parser.StartElementHandler = narrative.start
    parser.EndElementHandler = narrative.end
    parser.CharacterDataHandler = narrative.data
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, LdnError):
        return None
    return narrative.text


class Narrative:
    """Collects the events of one div; `text` is its one spelling, or None if it is unsound."""

    __slots__ = ("_content", "_open", "_parts", "_sound")

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._open: list[str] = []
        self._sound, self._content = True, False

    @property
    def text(self) -> str | None:
        """The whole div."""
        return "".join(self._parts) if self._sound and self._content else None

    @property
    def closed(self) -> bool:
        """Whether the div itself has ended."""
        return not self._open

    def start(self, name: str, attributes: list[str]) -> None:
        """An element begins."""
        space, _, local = name.partition(" ")
        first = not self._parts
        if space != XHTML or local not in _ELEMENTS or (first and local != "div"):
            self._sound = False
        if len(self._open) >= LIMITS.depth:
            raise LdnError(Issue.TOO_LONG, "a narrative is nested too deep", status=400)
        self._open.append(local)
        self._content = self._content or local == "img"
        self._parts.append(f'<{local} xmlns="{XHTML}"' if first else f"<{local}")
        for key, value in zip(attributes[::2], attributes[1::2], strict=True):
            self._attribute(key, value)
        self._parts.append("/>" if local in _EMPTY else ">")

    def _attribute(self, key: str, value: str) -> None:
        if key == _LANG:
            key = "xml:lang"
        elif key not in _ATTRIBUTES or not _harmless(key, value):
            self._sound = False
        quoted = escape(value, {'"': "&quot;", "\n": "&#10;", "\t": "&#9;", "\r": "&#13;"})
        self._parts.append(f' {key}="{quoted}"')

    def end(self, name: str) -> None:
        """An element ends."""
        local = self._open.pop()
        if local not in _EMPTY:
            self._parts.append(f"</{local}>")

    def data(self, text: str) -> None:
        """Text between elements."""
        if self._open and self._open[-1] in _EMPTY:
            self._sound = False
        self._content = self._content or not text.isspace()
        self._parts.append(escape(text, {"\r": "&#13;"}))


def _harmless(key: str, value: str) -> bool:
    if key == "style":
        return _BAD_STYLE.search(value) is None
    check = _CHECKED.get(key)
    return check is None or check(value.strip()) is not None
