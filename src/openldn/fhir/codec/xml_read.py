"""XML as a resource, checked against the definitions while it is read: one pass, no tree.

This is the careful reading: every oddity XML allows, and the place of every mistake. `xml_plain`
comes first and is enough for nearly every body that is right. Expat instead of lxml: its events
cost less than the making and walking of a tree, and it has no ceiling of 10 MB on one attribute,
where a Binary with a PDF would end.
"""

from typing import Any
from xml.parsers import expat  # document types and entities are refused, see narrative.hardened

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec.model import At, Limits, Problems
from openldn.fhir.codec.narrative import DIV, Narrative, hardened
from openldn.fhir.codec.rules import BOTH_OR_NEITHER, check_bundle, sound_extension
from openldn.fhir.codec.syntax import require_size, too_deep, too_many
from openldn.fhir.codec.tables import DISORDER, FHIR, NOWHERE, Kind, Prop, Table, Tables
from openldn.fhir.codec.xml_plain import read_plain
from openldn.fhir.model import Resource

_SCHEMA = "http://www.w3.org/2001/XMLSchema-instance schemaLocation"
_UNSOUND = "expected a div of XHTML without scripts or outside content"


def read(body: bytes, tables: Tables, limits: Limits) -> Resource:
    """The resource in an XML document; raises LdnError as `codec.decode` says."""
    require_size(body, limits)
    if body.count(b"<") > limits.values:
        raise too_many()
    if b"\0" in body:  # UTF-16, which expat would take by its mark
        raise LdnError(Issue.INVALID, "the body is not XML in UTF-8; send it as UTF-8")
    if b"\r" in body:  # as XML itself would
        body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    plain = read_plain(body, tables, limits)
    return read_carefully(body, tables, limits) if plain is None else plain


def read_carefully(body: bytes, tables: Tables, limits: Limits) -> Resource:
    """As `read`, by the way that knows every oddity and tells every mistake."""
    reader = _Reader(body, tables, limits)
    reader.read()
    reader.problems.complain()
    for owner, name in reader.hollow:
        if not any(v is not None for v in owner.get(name, (0,))):
            del owner[name]
    return reader.result


class _Reader:
    """The state of one reading: the object that is open, and those around it on a stack."""

    __slots__ = (
        "body", "current", "hollow", "last", "leaf", "limits", "narrative", "parser", "problems",
        "result", "skipped", "stack", "table", "tables", "tags", "via",
    )  # fmt: skip

    def __init__(self, body: bytes, tables: Tables, limits: Limits) -> None:
        self.body, self.tables, self.limits = body, tables, limits
        self.problems = Problems()
        self.result: Resource = {}
        self.stack: list[tuple[Any, ...]] = []
        self.current: dict[str, Any] = {}  # the object that is open
        self.table = NOWHERE
        self.tags: dict[str, Prop] = {}  # of the table
        self.last = 0  # rank of the element before
        self.via: Prop | None = None  # the prop under which the open object stands
        self.leaf: Prop | None = None  # a primitive that is open
        self.hollow: list[tuple[dict[str, Any], str]] = []  # arrays with a value missing
        self.skipped = 0  # depth within an element we do not know
        self.narrative = Narrative()
        self.parser = hardened()

    def read(self) -> None:
        """Read the whole body; raises LdnError when it is not well-formed."""
        self.resume()
        try:
            self.parser.Parse(self.body, True)
        except expat.ExpatError as error:
            line = f"line {error.lineno}, column {error.offset}"
            text = f"the body is not well-formed XML in UTF-8 ({line}); correct it, send it again"
            raise LdnError(Issue.INVALID, text) from error
        finally:  # undo the circle between parser and reader, so that both can go at once
            self.take(None, None, None)

    def take(self, start: Any, end: Any, data: Any) -> None:
        """Send the parser's events there."""
        self.parser.StartElementHandler = start
        self.parser.EndElementHandler = end
        self.parser.CharacterDataHandler = data

    def resume(self) -> None:
        """Take the events of elements ourselves (again)."""
        self.take(self.start, self.end, self.stray)

    def start(self, name: str, attributes: list[str]) -> None:
        """An element begins: a primitive is read at once, anything else becomes the open one."""
        if self.leaf is not None:
            self.open_leaf(self.leaf, {})
        prop = self.tags.get(name)
        if prop is None:
            return self.other(name, attributes)
        self.last = prop.rank if self.last <= prop.floor else self.disordered(prop)
        if prop.kind > 1:
            return self.open(prop, attributes)
        if len(attributes) != 2 or attributes[0] != "value" or not prop.accepts(attributes[1]):
            return self.odd_leaf(prop, attributes)
        value = attributes[1] if prop.read is None else prop.read(attributes[1])
        if prop.many:
            self.append(prop, value)
        else:
            self.current[prop.name] = value
        self.leaf = prop
        return None

    def end(self, name: str) -> None:
        """An element ends: what can be said of the whole object, then back to its owner."""
        if self.leaf is not None:
            self.leaf = None
            return
        current, table = self.current, self.table
        if table.required:
            for element, keys in table.required:
                if keys[0] not in current and not any(k in current for k in keys):
                    self.problem(element, "required; it is missing")
        if table.special or not current:
            self.check_special(current, table)
        self.current, self.table, self.tags, self.last, self.via = self.stack.pop()

    def check_special(self, current: dict[str, Any], table: Table) -> None:
        """The rules of an Extension or a Bundle, and against an empty object."""
        if not current:
            self.problem("", "empty; leave the element out")
        elif table.sealed and not sound_extension(current):
            self.problem("", BOTH_OR_NEITHER)
        elif table.name == "Bundle":
            check_bundle(current, self.at(), self.problems)

    def push(self, current: dict[str, Any], table: Table, via: Prop | None) -> None:
        """Make this the open object."""
        stack = self.stack
        if len(stack) >= self.limits.depth:
            raise too_deep(self.limits)
        stack.append((self.current, self.table, self.tags, self.last, self.via))
        self.current, self.table, self.tags, self.last, self.via = (
            current, table, table.tags, 0, via,
        )  # fmt: skip

    def open(self, prop: Prop, attributes: list[str]) -> None:
        """An object begins, or the element around a resource."""
        value: dict[str, Any] = {}
        if prop.many and prop.kind is not Kind.RESOURCE:
            items = self.current.get(prop.name)
            if items is None:
                self.current[prop.name] = [value]
            else:
                items.append(value)
        elif prop.kind is not Kind.RESOURCE:
            self.current[prop.name] = value
        table = prop.known or prop.table
        self.push(value, table, None if table.wraps else prop)
        if attributes:
            self.attributes(value, table, attributes)

    def at(self) -> At:
        """The place of the open object."""
        place: At = (None, self.problems.root, -1) if self.problems.root else None
        frames = [*((frame[0], frame[4]) for frame in self.stack), (self.current, self.via)]
        owner: dict[str, Any] = {}
        for current, via in frames:
            if via is not None:
                index = len(owner.get(via.name, ())) - 1 if via.many else -1
                place = (place, via.name, index)
            if via is not None or current is self.result:
                owner = current
        return place

    def problem(self, name: str, text: str, issue: Issue = Issue.STRUCTURE) -> None:
        """Note a problem at an element of the open object, or at that itself."""
        self.problems.add(self.at(), name, text, issue)

    def other(self, name: str, attributes: list[str]) -> None:
        """An element its owner does not know: a resource where one is due, else a mistake."""
        space, _, local = name.rpartition(" ")
        due = not self.stack or self.table.wraps is not None
        table = self.tables.resource(local) if due and space == FHIR else None
        if table is not None:
            return self.open_resource(table, attributes)
        if due:
            text = f"expected a FHIR {self.tables.source.version} resource in namespace {FHIR}"
            self.problem("", text)
        elif space == FHIR:
            self.problem(local, f"no such element in {self.table.name}")
        else:
            self.problem("", f"an element outside the namespace {FHIR}")
        return self.skip()

    def open_resource(self, table: Table, attributes: list[str]) -> None:
        """A resource begins, at the root or within another."""
        value: dict[str, Any] = {"resourceType": table.name}
        prop = self.table.wraps
        if prop is None:
            self.result, self.problems.root = value, table.name
            attributes = [] if attributes[::2] == [_SCHEMA] else attributes
        else:
            if self.current:
                self.problem(prop.name, "one resource, not several")
            self.current[table.name] = True  # what is around a resource is not empty
            self.put_resource(value, prop, *self.stack[-1][::4])
        self.push(value, table, prop)
        if attributes:
            self.attributes(value, table, attributes)

    def put_resource(
        self, value: Resource, prop: Prop, owner: dict[str, Any], via: Prop | None
    ) -> None:
        """Give a resource that begins to the object that holds it."""
        if prop.name == "contained" and via is not None and via.name == "contained":
            self.problem("contained", "a contained resource cannot contain another")
        if prop.many:
            owner.setdefault(prop.name, []).append(value)
        else:
            owner[prop.name] = value

    def attributes(self, value: dict[str, Any], table: Table, pairs: list[str]) -> None:
        """The XML attributes of the open object: `id`, and `url` of an extension."""
        for key, text in zip(pairs[::2], pairs[1::2], strict=True):
            prop = table.attributes.get(key)
            if prop is None:
                self.problem(key, "no such attribute here")
            elif prop.accepts(text):
                value[key] = text
            else:
                self.problem(key, f"expected {_expected(prop)}", Issue.INVALID)

    def append(self, prop: Prop, value: Any) -> None:
        """One more value of a primitive that repeats; its side objects keep step."""
        self.current.setdefault(prop.name, []).append(value)
        sides = self.current.get("_" + prop.name)
        if sides is not None:
            sides.append(None)
        if value is None:
            self.hollow.append((self.current, prop.name))

    def odd_leaf(self, prop: Prop, pairs: list[str]) -> None:
        """A primitive with more or less than a value that is right."""
        if prop.type == "xhtml":
            return self.open_narrative(pairs)
        side: dict[str, Any] = {}
        value, known = None, False
        for key, text in zip(pairs[::2], pairs[1::2], strict=True):
            if key == "value":
                value, known = self.value(prop, text), True
            elif key == "id":
                side["id"] = text
            else:
                self.problem(prop.name, "an attribute that is not value or id")
        if prop.many:
            self.append(prop, value)
        elif value is not None:
            self.current[prop.name] = value
        if side or not known:
            return self.open_leaf(prop, side)
        self.leaf = prop
        return None

    def value(self, prop: Prop, text: str) -> Any:
        """The value that XML spells so; None, and a problem, if it is none of its type."""
        if prop.accepts(text):
            return text if prop.read is None else prop.read(text)
        self.problem(prop.name, f"expected {_expected(prop)}", Issue.INVALID)
        return None

    def open_leaf(self, prop: Prop, side: dict[str, Any]) -> None:
        """The id and extensions of a primitive, as an object beside its value."""
        self.leaf = None
        if prop.many:
            values = self.current[prop.name]
            self.current.setdefault("_" + prop.name, [None] * len(values))[-1] = side
        else:
            self.current["_" + prop.name] = side
        self.push(side, self.tables.of("Element"), prop)

    def open_narrative(self, attributes: list[str]) -> None:
        """A div begins: its events go to the narrative until it ends."""
        self.narrative = Narrative()
        self.take(self.narrative.start, self.narrative_end, self.narrative.data)
        self.narrative.start(DIV, attributes)

    def narrative_end(self, name: str) -> None:
        """An element within a div ends, or the div itself."""
        self.narrative.end(name)
        if not self.narrative.depth:
            text = self.narrative.text
            if text is None:
                self.problem("div", _UNSOUND, Issue.INVALID)
            self.current["div"] = text
            self.resume()

    def stray(self, text: str) -> None:
        """Text between elements: FHIR has none outside the narrative."""
        if not text.isspace():
            self.problem("", "text between elements; values stand in attributes")

    def disordered(self, prop: Prop) -> int:
        """An element after one of a higher rank, or once more: the rank to go on from."""
        if not self.table.disordered(self.current, prop):
            text = "several types or values at once; send one" if prop.choice else "may not repeat"
            self.problem(prop.element, text)
        return DISORDER

    def skip(self) -> None:
        """Pass over the element that has just begun."""
        self.skipped = 1
        self.take(self.skip_start, self.skip_end, None)

    def skip_start(self, name: str, attributes: list[str]) -> None:
        """Deeper into what is passed over."""
        self.skipped += 1

    def skip_end(self, name: str) -> None:
        """Back out of what is passed over."""
        self.skipped -= 1
        if not self.skipped:
            self.resume()


def _expected(prop: Prop) -> str:
    return prop.primitive.expected if prop.primitive else "another value"
