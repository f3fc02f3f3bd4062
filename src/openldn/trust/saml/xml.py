"""XML of strangers: no DTD, no entities, no network, bounded in size and depth."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from lxml import etree

from openldn.base.errors import LdnError
from openldn.trust.trail import Rule, Trail

Element = etree._Element

LARGEST = 1024 * 1024  # bytes of one document
DEEPEST = 40  # levels; a SOAP envelope with an encrypted assertion has about twenty
MOST = 20_000  # elements

SIZE = Rule("saml.size", "OWASP XML security", "the document has a size and depth we accept")
WELL_FORMED = Rule("saml.xml", "XML 1.0 §2.1", "the document is well-formed XML in UTF-8")
PLAIN = Rule(
    "saml.plain", "SAML profiles §4.1", "no DTD, entity, comment or processing instruction"
)
IDS = Rule("saml.ids", "XML signature best practice §2.3", "no identifier stands twice")
TIME = Rule("saml.time", "SAML core §1.3.3", "a moment is an xs:dateTime in UTC")

_LAST_YEAR = 9998  # a day or so is added to moments
_DECLARED = re.compile(rb"""<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_MOMENT = re.compile(
    r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(\.\d{1,9})?Z", re.ASCII
)  # SAML allows UTC only


def parse(content: bytes, trail: Trail, largest: int = LARGEST) -> Element:
    """The root of the document, whose identifiers are unique; raises LdnError of the trail."""
    trail.require(len(content) <= largest, SIZE)
    trail.require(_in_utf8(content), WELL_FORMED)
    # In UTF-8 there is no other way to write this: a DTD is refused before anything reads it.
    trail.require(b"<!DOCTYPE" not in content and b"<!ENTITY" not in content, PLAIN)
    try:
        root = etree.fromstring(content, _parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        raise failed(trail, WELL_FORMED) from error
    trail.note(WELL_FORMED)
    _check(root, trail)
    return root


def _parser() -> etree.XMLParser:
    # One per document: a parser is not to be shared between threads.
    return etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        no_network=True,
        huge_tree=False,
        recover=False,
        collect_ids=False,
    )


def _in_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    declared = _DECLARED.match(content)
    return b"\x00" not in content and (
        declared is None or declared.group(1).lower() in {b"utf-8", b"us-ascii", b"ascii"}
    )


def _check(root: Element, trail: Trail) -> None:
    tree = root.getroottree()
    trail.require(tree.docinfo.internalDTD is None, PLAIN)
    around = (*root.itersiblings(preceding=True), *root.itersiblings())
    trail.require(not around and all(isinstance(n.tag, str) for n in root.iter()), PLAIN)
    trail.require(_bounded(root), SIZE)
    found = [value for node in root.iter() for value in _ids(node)]
    trail.require(len(found) == len(set(found)), IDS)


def _bounded(root: Element) -> bool:
    depth = count = 0
    for event, _ in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        count += event == "start"
        if depth > DEEPEST or count > MOST:
            return False
    return True


def _ids(node: Element) -> Iterator[str]:
    """Whatever an attribute called ID, in any spelling or namespace, names."""
    for name, value in node.attrib.items():
        if etree.QName(name).localname.lower() in {"id", "assertionid"}:
            yield str(value)


def fresh(name: str, namespace: str) -> Element:
    """A new element whose namespace is the default one, as peers write it."""
    return etree.fromstring(f'<{name} xmlns="{namespace}"/>', _parser())


def children(node: Element, tag: str) -> list[Element]:
    """The children with this tag."""
    return list(node.iterchildren(tag))


def only(node: Element, tag: str, rule: Rule, trail: Trail) -> Element:
    """The one child with this tag; none or several fail the rule."""
    found = children(node, tag)
    if len(found) != 1:
        raise failed(trail, rule)
    return found[0]


def text(node: Element | None) -> str:
    """The text of an element that holds nothing else; empty for one that does."""
    if node is None or len(node):
        return ""
    return (node.text or "").strip()


def attribute(node: Element, name: str) -> str:
    """The value of an attribute; empty without one."""
    return str(node.get(name, ""))


def moment(written: str, trail: Trail) -> datetime:
    """The moment this xs:dateTime stands for; anything but UTC is refused."""
    match = _MOMENT.fullmatch(written)
    if match is None:
        raise failed(trail, TIME)
    whole, part = match.groups()
    try:
        found = datetime.fromisoformat(whole).replace(tzinfo=UTC)
    except ValueError as error:
        raise failed(trail, TIME) from error
    if not 1970 <= found.year <= _LAST_YEAR:
        raise failed(trail, TIME)
    return found.replace(microsecond=int((part or ".0")[1:7].ljust(6, "0")))


def written(moment: datetime) -> str:
    """The xs:dateTime of an aware moment: UTC, milliseconds."""
    utc = moment.astimezone(UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03d}Z"


def serialized(node: Element) -> bytes:
    """The element alone, with every namespace it may need, in UTF-8."""
    return etree.tostring(node, encoding="utf-8", xml_declaration=False, with_tail=False)


def failed(trail: Trail, rule: Rule) -> LdnError:
    """The error of a rule that does not hold, noted on the trail."""
    try:
        trail.require(False, rule)
    except LdnError as error:
        return error
    raise AssertionError("a failed check refuses")
