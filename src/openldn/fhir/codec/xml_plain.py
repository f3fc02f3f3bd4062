"""The quick way through XML as nearly everybody writes it; anything odd is left to `xml_read`.

Expat proves the body well-formed without telling us anything, which costs less than a call for
each element. After that a split at every `<` is exact, because no other place of well-formed XML
without CDATA and comments can hold one, and most pieces have been met before.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any
from xml.parsers import expat  # document types and entities are refused, see narrative.hardened

from openldn.base.errors import LdnError
from openldn.fhir.codec.model import Limits, Problems
from openldn.fhir.codec.narrative import DIV, hardened, plain_div
from openldn.fhir.codec.rules import check_bundle, sound_extension
from openldn.fhir.codec.tables import DISORDER, FHIR, Kind, Prop, Table, Tables
from openldn.fhir.model import Resource

_COMMENT = re.compile(rb"<!--.*?-->", re.S)
_TAG = re.compile(r'([A-Za-z][A-Za-z0-9]*)((?:\s+[a-z]+="[^"]*")*)\s*(/?)>\s*')
_LEAF = re.compile(r'([A-Za-z]+) value="([^"&\n\t]+)"\s?/>\s*')
_CLOSE = re.compile(r"/[A-Za-z][A-Za-z0-9]*\s*>\s*")
_ATTRIBUTE = re.compile(r'([a-z]+)="([^"]*)"')
_SCHEMA = re.compile(r'\s+(?:xmlns:xsi|xsi:schemaLocation)="[^"]*"')
_SPACE = f'xmlns="{FHIR}"'
_REFERENCE = re.compile(r"&(?:#x([0-9A-Fa-f]+)|#([0-9]+)|([a-z]+));")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_WHITE = str.maketrans("\n\t", "  ")
# Remembered between bodies: tags, and values of types that identify nobody. Names and dates of
# people are read anew each time.
_REMEMBERED = frozenset(("code", "uri", "canonical", "boolean"))
_LONGEST, _MOST = 200, 20_000  # characters of a piece, pieces of all tables


class Odd(Exception):
    """Not plain enough, or wrong: the careful reading will tell."""


# What the text from one `<` to the next means in a table: the prop (None: an object ends), the
# value of a primitive, the table of the object that begins here, what the tag of that says.
Piece = tuple[Prop | None, Any, Table | None, dict[str, Any]]
_Stack = list[tuple[dict[str, Any], Table, int]]  # objects around the open one, and their ranks
_NO_KEYS: dict[str, Any] = {}  # never changed
_OBJECT = Kind.OBJECT
_END: Piece = (None, None, None, _NO_KEYS)


def read_plain(body: bytes, tables: Tables, limits: Limits) -> Resource | None:
    """The resource in an XML document that is plain and right; None for any other.

    Raises LdnError(invalid) for document types and processing instructions.
    """
    plain = _Plain(tables, limits)
    try:
        hardened().Parse(body, True)
        if b"<!" in body:
            body = _COMMENT.sub(b"", body)
        return plain.read(iter(body.decode("utf-8-sig").split("<")))
    except (expat.ExpatError, Odd):
        return None
    finally:
        plain.forget()


class _Plain:
    """One reading."""

    __slots__ = ("limits", "personal", "rest", "tables")

    def __init__(self, tables: Tables, limits: Limits) -> None:
        self.tables, self.limits = tables, limits
        self.rest: Iterator[str] = iter(())
        self.personal: list[tuple[dict[str, Any], str]] = []  # to forget in the end

    def read(self, pieces: Iterator[str]) -> Resource:
        """The resource these pieces make up."""
        self.rest = pieces
        before, root = next(pieces), next(pieces)
        if root.startswith("?xml "):
            root = next(pieces)
        _require(not before and _SPACE in root)
        _, _, table, keys = self.resource(_SCHEMA.sub("", root), None)
        result = dict(keys)
        if table is not None:
            self.fill(result, table)
        return result

    def forget(self) -> None:
        """Remember nothing personal, and not too much of the rest."""
        for pieces, text in self.personal:
            pieces.pop(text, None)
        remembered = self.tables.remembered
        if len(remembered) > _MOST:
            for pieces, text in remembered:
                pieces.pop(text, None)
            remembered.clear()

    def fill(self, current: dict[str, Any], table: Table) -> None:
        """Read the pieces up to the end of this object."""
        stack: _Stack = []
        last, pieces, deepest = 0, table.pieces, self.limits.depth
        for text in self.rest:
            prop, value, begins, keys = pieces.get(text) or self.learn(text, table)
            if prop is None:
                if table.strict or not current:
                    _check(current, table, stack)
                if not stack:
                    return
                current, table, last = stack.pop()
                pieces = table.pieces
                continue
            last = prop.rank if last <= prop.floor else _late(prop, table, current)
            if begins is not None:
                stack.append((current, table, last))
                current = _open(current, prop, value, keys)
                table, last, pieces = begins, 0, begins.pieces
                if len(stack) >= deepest:
                    raise Odd
            elif prop.many:
                _add(current, prop, value)
            else:
                current[prop.name] = value

    def learn(self, text: str, table: Table) -> Piece:
        """What a piece means that is not remembered; it is, for the rest of this body."""
        leaf = _LEAF.fullmatch(text)
        if leaf is not None and (prop := table.tags.get(f"{FHIR} {leaf[1]}")) is not None:
            if not prop.accepts(leaf[2]):
                raise Odd
            value = leaf[2] if prop.read is None else prop.read(leaf[2])
            piece: Piece = (prop, value, None, _NO_KEYS)
        else:
            piece = self.other(text, table)
        self.remember(text, table, piece)
        return piece

    def remember(self, text: str, table: Table, piece: Piece) -> None:
        """Keep what a piece means, if it is short and all that it means."""
        prop, value, _, keys = piece
        if len(text) > _LONGEST or (prop is not None and prop.type == "xhtml"):
            return
        table.pieces[text] = piece
        common = value is None or (prop is not None and prop.type in _REMEMBERED)
        which = self.tables.remembered if common and "id" not in keys else self.personal
        which.append((table.pieces, text))

    def other(self, text: str, table: Table) -> Piece:
        """What a piece means that is no simple value."""
        if text[0] == "/":
            _require(_CLOSE.fullmatch(text))
            return _END
        if table.wraps is not None:
            return self.resource(text, table.wraps)
        return self.tag(text, table)

    def resource(self, text: str, wraps: Prop | None) -> Piece:
        """The begin of a resource, at the root or within the element around it."""
        found = _TAG.fullmatch(text)
        table = self.tables.resource(found[1]) if found else None
        if found is None or table is None or found[3] or found[2].strip() not in ("", _SPACE):
            raise Odd
        return _once(wraps) if wraps else None, None, table, {"resourceType": table.name}

    def tag(self, text: str, table: Table) -> Piece:
        """The begin of an element, or the whole of it."""
        found = _TAG.fullmatch(text)
        if found is None or found[1] == "div":
            return self.narrative(text, table)
        prop = table.tags.get(f"{FHIR} {found[1]}")
        if prop is None:
            raise Odd
        keys = {k: _unescaped(v) for k, v in _ATTRIBUTE.findall(found[2])}
        if prop.primitive:
            return self.primitive(prop, keys, closed=found[3] == "/")
        _require(not found[3] and all(_known(prop.table, k, v) for k, v in keys.items()))
        return prop, None, prop.table, keys

    def primitive(self, prop: Prop, keys: dict[str, str], *, closed: bool) -> Piece:
        """A primitive: its value, or its value and the begin of its extensions."""
        text = keys.pop("value", None)
        _require(text is not None or not (closed or prop.many))
        _require(text is None or prop.accepts(text))
        value = prop.read(text) if prop.read and text is not None else text
        element = self.tables.of("Element")
        _require(not (keys and closed) and all(_known(element, k, v) for k, v in keys.items()))
        return prop, value, None if closed else element, keys

    def narrative(self, text: str, table: Table) -> Piece:
        """A whole div."""
        prop = table.tags.get(DIV)
        div = plain_div(text, self.rest) if prop else None
        if div is None:
            raise Odd
        return prop, div, None, _NO_KEYS


def _require(condition: object) -> None:
    if not condition:
        raise Odd


def _known(table: Table, key: str, value: str) -> object:
    prop = table.attributes.get(key)
    return prop is not None and prop.accepts(value)


@cache
def _once(wraps: Prop) -> Prop:
    """The place of the one resource within the element around it."""
    return replace(wraps, name="resource", kind=Kind.OBJECT, many=False, rank=1, floor=0)


def _open(current: dict[str, Any], prop: Prop, value: Any, keys: dict[str, Any]) -> dict[str, Any]:
    """A new object in its place (a resource waits for the end of the element around it)."""
    opened = keys.copy() if keys else {}
    if prop.kind == _OBJECT:
        if not prop.many:
            current[prop.name] = opened
        elif (items := current.get(prop.name)) is not None:
            items.append(opened)
        else:
            current[prop.name] = [opened]
    elif prop.primitive:
        _open_side(current, prop, value, opened)
    return opened


def _open_side(current: dict[str, Any], prop: Prop, value: Any, side: dict[str, Any]) -> None:
    if prop.many:
        _add(current, prop, value)
        values = current[prop.name]
        current.setdefault("_" + prop.name, [None] * len(values))[-1] = side
    else:
        if value is not None:
            current[prop.name] = value
        current["_" + prop.name] = side


def _add(current: dict[str, Any], prop: Prop, value: Any) -> None:
    """One more value of a primitive that repeats; its side objects keep step."""
    current.setdefault(prop.name, []).append(value)
    sides = current.get("_" + prop.name)
    if sides is not None:
        sides.append(None)


def _hand_over(around: dict[str, Any], prop: Prop, owner: dict[str, Any]) -> None:
    """Give a resource to the object it belongs to, at the end of the element around it."""
    resource = around["resource"]
    _require(prop.name != "contained" or "contained" not in resource)
    if prop.many:
        owner.setdefault(prop.name, []).append(resource)
    else:
        owner[prop.name] = resource


def _late(prop: Prop, table: Table, current: dict[str, Any]) -> int:
    """The rank to go on from after an element out of order."""
    _require(table.disordered(current, prop))
    return DISORDER


def _check(current: dict[str, Any], table: Table, stack: _Stack) -> None:
    """Raise Odd for an object that is empty or lacks what it must have."""
    if table.wraps is not None and current:
        return _hand_over(current, table.wraps, stack[-1][0])
    for _, keys in table.required:
        if keys[0] not in current and not any(k in current for k in keys):
            raise Odd
    if not current:
        raise Odd
    if table.sealed:
        _require(sound_extension(current))
    elif table.special:
        problems = Problems()
        try:
            check_bundle(current, None, problems)
        except LdnError as error:  # more problems than anyone wants to read
            raise Odd from error
        _require(not problems.found)
    return None


def _unescaped(text: str) -> str:
    """The value of an attribute as XML means it."""
    text = text.translate(_WHITE) if "\n" in text or "\t" in text else text
    return _REFERENCE.sub(_character, text) if "&" in text else text


def _character(found: re.Match[str]) -> str:
    if found[1] or found[2]:
        return chr(int(found[1], 16) if found[1] else int(found[2]))
    return _NAMED[found[3]]
