"""XML as a resource, checked against the definitions while it is read: one pass, no tree.

Expat instead of lxml: its events cost less than the making of a tree, and it has no ceiling of
10 MB on one attribute, where a Binary with a PDF would end.
"""

from typing import Any
from xml.parsers import expat  # document types and entities are refused, see narrative.hardened

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec.model import At, Limits, Problems
from openldn.fhir.codec.narrative import XHTML, Narrative, hardened
from openldn.fhir.codec.rules import check_bundle, check_extension
from openldn.fhir.codec.syntax import require_size, too_deep
from openldn.fhir.codec.tables import FHIR, NOWHERE, Kind, Prop, Table, Tables
from openldn.fhir.model import Resource

_SCHEMA = "http://www.w3.org/2001/XMLSchema-instance schemaLocation"
_DISORDER = 1 << 30  # higher than any rank


def read(body: bytes, tables: Tables, limits: Limits) -> Resource:
    """The resource in an XML document; raises LdnError as `codec.decode` says."""
    require_size(body, limits)
    reader = _Reader(tables, limits)
    try:
        reader.parser.Parse(body, True)
    except expat.ExpatError as error:
        line = f"line {error.lineno}, column {error.offset}"
        text = f"the body is not well-formed XML in UTF-8 ({line}); correct it and send it again"
        raise LdnError(Issue.INVALID, text) from error
    finally:
        reader.release()
    reader.problems.complain()
    for owner, name in reader.hollow:
        if not any(v is not None for v in owner.get(name, (0,))):
            del owner[name]
    return reader.result


class _Reader:
    """The state of one reading: the object that is open, and those around it on a stack."""

    __slots__ = (
        "at", "current", "hollow", "last", "leaf", "limits", "narrative", "parser", "problems",
        "result", "skipped", "stack", "table", "tables", "tags",
    )  # fmt: skip

    def __init__(self, tables: Tables, limits: Limits) -> None:
        self.tables, self.limits = tables, limits
        self.problems = Problems()
        self.result: Resource = {}
        self.stack: list[tuple[Any, ...]] = []
        self.current: dict[str, Any] = {}  # the object that is open
        self.table = NOWHERE
        self.tags: dict[str, Prop] = {}
        self.last = 0  # rank of the element before
        self.at: At = None
        self.leaf: Prop | None = None  # a primitive that is open
        self.hollow: list[tuple[dict[str, Any], str]] = []  # arrays with a value missing
        self.skipped = 0  # depth within an element we do not know
        self.narrative = Narrative()
        self.parser = hardened()
        self.resume()

    def resume(self) -> None:
        """Take the events of elements ourselves again."""
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.stray

    def release(self) -> None:
        """Undo the circle between parser and reader, so that both can go at once."""
        self.parser.StartElementHandler = None
        self.parser.EndElementHandler = None
        self.parser.CharacterDataHandler = None

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
        for element, keys in table.required:
            if keys[0] not in current and not any(k in current for k in keys):
                self.problems.add(self.at, element, "required; it is missing")
        if table.sealed:
            check_extension(current, self.at, self.problems)
        elif not current:
            self.problems.add(self.at, "", "empty; leave the element out")
        elif table.name == "Bundle":
            check_bundle(current, self.at, self.problems)
        self.current, self.tags, self.table, self.last, self.at = self.stack.pop()

    def push(self, current: dict[str, Any], table: Table, at: At) -> None:
        """Make this the open object."""
        if len(self.stack) >= self.limits.depth:
            raise too_deep(self.limits)
        self.stack.append((self.current, self.tags, self.table, self.last, self.at))
        self.current, self.tags, self.table, self.last, self.at = current, table.tags, table, 0, at

    def open(self, prop: Prop, attributes: list[str]) -> None:
        """An object begins, or the element around a resource."""
        value: dict[str, Any] = {}
        if prop.kind is Kind.RESOURCE:
            at: At = (self.at, prop.name, -1)
        else:
            at = _place(value, prop, self.current, self.at)
        if attributes:
            self.attributes(value, prop.table, attributes, at)
        self.push(value, prop.table, at)

    def other(self, name: str, attributes: list[str]) -> None:
        """An element its owner does not know: a resource where one is due, else a mistake."""
        space, _, local = name.rpartition(" ")
        due = not self.stack or self.table.wraps is not None
        table = self.tables.resource(local) if due and space == FHIR else None
        if table is not None:
            return self.open_resource(table, attributes)
        if due:
            text = f"expected a FHIR {self.tables.source.version} resource in namespace {FHIR}"
            self.problems.add(self.at, "", text)
        elif space == FHIR:
            self.problems.add(self.at, local, f"no such element in {self.table.name}")
        else:
            self.problems.add(self.at, "", f"an element outside the namespace {FHIR}")
        return self.skip()

    def open_resource(self, table: Table, attributes: list[str]) -> None:
        """A resource begins, at the root or within another."""
        value: dict[str, Any] = {"resourceType": table.name}
        prop = self.table.wraps
        if prop is None:
            self.result, self.problems.root = value, table.name
            at: At = (None, table.name, -1)
            keys = attributes[::2]
            attributes = [] if keys == [_SCHEMA] else attributes
        else:
            if self.current:
                self.problems.add(self.at, "", "one resource, not several")
            self.current[table.name] = True  # what is around a resource is not empty
            owner, _, _, _, place = self.stack[-1]
            if prop.name == "contained" and place[1] == "contained":
                text = "a contained resource cannot contain another"
                self.problems.add(place, "contained", text)
            at = _place(value, prop, owner, place)
        if attributes:
            self.attributes(value, table, attributes, at)
        self.push(value, table, at)

    def attributes(self, value: dict[str, Any], table: Table, pairs: list[str], at: At) -> None:
        """The XML attributes of an object: `id`, and `url` of an extension."""
        for key, text in zip(pairs[::2], pairs[1::2], strict=True):
            prop = table.attributes.get(key)
            if prop is None:
                self.problems.add(at, key, "no such attribute here")
            elif prop.accepts(text):
                value[key] = text
            else:
                self.problems.add(at, key, f"expected {_expected(prop)}", Issue.INVALID)

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
                self.problems.add(self.at, prop.name, "an attribute that is not value or id")
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
        self.problems.add(self.at, prop.name, f"expected {_expected(prop)}", Issue.INVALID)
        return None

    def open_leaf(self, prop: Prop, side: dict[str, Any]) -> None:
        """The id and extensions of a primitive, as an object beside its value."""
        self.leaf = None
        place: At = (self.at, prop.name, -1)
        if prop.many:
            values = self.current[prop.name]
            sides = self.current.setdefault("_" + prop.name, [None] * len(values))
            sides[-1] = side
            place = (self.at, prop.name, len(values) - 1)
        else:
            self.current["_" + prop.name] = side
        self.push(side, self.tables.of("Element"), place)

    def open_narrative(self, attributes: list[str]) -> None:
        """A div begins: its events go to the narrative until it ends."""
        self.narrative = Narrative()
        self.parser.StartElementHandler = self.narrative.start
        self.parser.EndElementHandler = self.narrative_end
        self.parser.CharacterDataHandler = self.narrative.data
        self.narrative.start(f"{XHTML} div", attributes)

    def narrative_end(self, name: str) -> None:
        """An element within a div ends, or the div itself."""
        self.narrative.end(name)
        if self.narrative.closed:
            text = self.narrative.text
            if text is None:
                expected = "expected a div of XHTML without scripts or outside content"
                self.problems.add(self.at, "div", expected, Issue.INVALID)
            self.current["div"] = text
            self.resume()

    def stray(self, text: str) -> None:
        """Text between elements: FHIR has none outside the narrative."""
        if not text.isspace():
            self.problems.add(self.at, "", "text between elements; values stand in attributes")

    def disordered(self, prop: Prop) -> int:
        """An element after one of a higher rank, or once more: the rank to go on from.

        FHIR fixes the order, but systems in the field break it and nothing is unclear then, so
        order alone is no reason to refuse. From here on every element comes by this way.
        """
        keys = {k for k in self.current if (p := self.table.props.get(k)) and p.rank == prop.rank}
        if keys and not prop.many:
            text = "several types or values at once; send one" if prop.choice else "may not repeat"
            self.problems.add(self.at, prop.element, text)
        return _DISORDER

    def skip(self) -> None:
        """Pass over the element that has just begun."""
        self.skipped = 1
        self.parser.StartElementHandler = self.skip_start
        self.parser.EndElementHandler = self.skip_end
        self.parser.CharacterDataHandler = None

    def skip_start(self, name: str, attributes: list[str]) -> None:
        """Deeper into what is passed over."""
        self.skipped += 1

    def skip_end(self, name: str) -> None:
        """Back out of what is passed over."""
        self.skipped -= 1
        if not self.skipped:
            self.resume()


def _place(value: Any, prop: Prop, owner: dict[str, Any], at: At) -> At:
    """Put a value in its owner; the place where it stands then."""
    if not prop.many:
        owner[prop.name] = value
        return (at, prop.name, -1)
    items = owner.setdefault(prop.name, [])
    items.append(value)
    return (at, prop.name, len(items) - 1)


def _expected(prop: Prop) -> str:
    return prop.primitive.expected if prop.primitive else "another value"
