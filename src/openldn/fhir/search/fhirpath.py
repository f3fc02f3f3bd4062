"""The part of FHIRPath that search parameters use, compiled once into closures.

Known: paths (with choice elements), `as`, `is`, `ofType`, `where`, `exists`, `resolve`,
`extension`, `hasExtension`, indexers, `=`, `!=`, `and`, `|`.
Source: hl7.org/fhirpath; hl7.org/fhir/R4/search.html#3.1.1.2 (expressions of parameters).
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from openldn.base.errors import Issue, LdnError
from openldn.fhir.model import Resource
from openldn.fhir.search.references import ANY, Whole, target_of


class Node(NamedTuple):
    """One element; `type` is known for choice elements and resources only, else empty."""

    value: Any
    type: str = ""


Nodes = list[Node]
Step = Callable[[Nodes, Whole], Nodes]  # the second is the whole resource

_TOKEN = re.compile(r"\s*(?:('[^']*')|([A-Za-z_]\w*)|(\d+)|(!=|[|().=\[\]]))")
_TRUE, _FALSE = Node(True, "boolean"), Node(False, "boolean")
# What may follow the name of a choice element (hl7.org/fhir/R4/datatypes.html#open).
_CHOICES = frozenset(
    """Address Age Annotation Attachment Base64Binary Boolean Canonical Code CodeableConcept Coding
    ContactPoint Count Date DateTime Decimal Distance Duration HumanName Id Identifier Instant
    Integer Markdown Money Oid Period PositiveInt Quantity Range Ratio Reference SampledData
    Signature String Time Timing UnsignedInt Uri Url Uuid""".split()
)


@lru_cache(maxsize=10_000)
def compiled(expression: str) -> Step:
    """The expression as a function; raises LdnError(not-supported) for what it does not know."""
    parser = _Parser(expression)
    step = parser.conjunction()
    parser.end()
    return step


def evaluate(expression: str, resource: Resource) -> Nodes:
    """What the expression selects in the resource."""
    start = Node(resource, resource.get("resourceType", ""))
    return compiled(expression)([start], Whole.of(resource))


def heads_of(expression: str, type: str) -> frozenset[str]:
    """Elements of this type of which one must be there for a result; empty = cannot be told."""
    parts = expression.split("|")
    found = [re.match(rf"\s*\(*{type}\.([a-z]\w*)", part) for part in parts]
    heads = [match[1] for match in found if match is not None]
    if len(heads) < len(parts) or "exists()" in expression:
        return frozenset()
    return frozenset(head + choice for head in heads for choice in ("", *_CHOICES))


class _Parser:
    """Recursive descent, weakest operator first."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._tokens = self._split(text)

    def _split(self, text: str) -> list[str]:
        tokens, at = [], 0
        while at < len(text.rstrip()):
            if (match := _TOKEN.match(text, at)) is None:
                raise self._unknown()
            tokens.append(match.group().strip())
            at = match.end()
        return tokens

    def _unknown(self) -> LdnError:
        return LdnError(Issue.NOT_SUPPORTED, f"FHIRPath not supported: {self._text}")

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self, expected: str = "") -> str:
        token = self._peek()
        if not token or (expected and token != expected):
            raise self._unknown()
        self._at += 1
        return token

    def _taken(self, token: str) -> bool:
        if self._peek() != token:
            return False
        self._at += 1
        return True

    def end(self) -> None:
        if self._peek():
            raise self._unknown()

    def conjunction(self) -> Step:
        parts = [self._equality()]
        while self._taken("and"):
            parts.append(self._equality())
        return parts[0] if len(parts) == 1 else _all_of(parts)

    def _equality(self) -> Step:
        left = self._union()
        if self._peek() not in ("=", "!="):
            return left
        return _compared(left, self._take() == "=", self._union())

    def _union(self) -> Step:
        parts = [self._cast()]
        while self._taken("|"):
            parts.append(self._cast())
        return parts[0] if len(parts) == 1 else _union_of(parts)

    def _cast(self) -> Step:
        step = self._path()
        if self._taken("as"):
            return _chain([step, _of_type(self._take())])
        if self._taken("is"):
            return _chain([step, _is(self._take())])
        return step

    def _path(self) -> Step:
        steps = [self._first()]
        while True:
            if self._taken("."):
                steps.append(self._step())
            elif self._taken("["):
                steps.append(_index(int(self._take())))
                self._take("]")
            else:
                return _chain(steps)

    def _first(self) -> Step:
        if self._taken("("):
            step = self.conjunction()
            self._take(")")
            return step
        token = self._peek()
        if token.startswith("'") or token in ("true", "false"):
            return _literal(self._take())
        return _resource(self._take()) if token[:1].isupper() else self._step()

    def _step(self) -> Step:
        name = self._take()
        if not self._taken("("):
            return _child(name)
        if name not in _FUNCTIONS:
            raise self._unknown()
        return self._call(name)

    def _call(self, name: str) -> Step:
        if self._taken(")"):
            return _FUNCTIONS[name]("")
        if name == "where":
            criterion = self.conjunction()
            self._take(")")
            return _where(criterion)
        argument = self._take().strip("'")
        self._take(")")
        return _FUNCTIONS[name](argument)


def _chain(steps: list[Step]) -> Step:
    if len(steps) == 1:
        return steps[0]

    def run(nodes: Nodes, root: Whole) -> Nodes:
        for step in steps:
            nodes = step(nodes, root)
        return nodes

    return run


def _union_of(parts: list[Step]) -> Step:
    return lambda nodes, root: [found for part in parts for found in part(nodes, root)]


def _all_of(parts: list[Step]) -> Step:
    return lambda nodes, root: [_truth(all(part(nodes, root) == [_TRUE] for part in parts))]


def _truth(value: bool) -> Node:
    return _TRUE if value else _FALSE


def _compared(left: Step, equal: bool, right: Step) -> Step:
    def run(nodes: Nodes, root: Whole) -> Nodes:
        one, other = left(nodes, root), right(nodes, root)
        if not one or not other:
            return []
        same = [n.value for n in one] == [n.value for n in other]
        return [_truth(same is equal)]

    return run


def _literal(text: str) -> Step:
    value = text.strip("'") if text.startswith("'") else text == str(True).lower()
    return lambda nodes, root: [Node(value)]


def _resource(name: str) -> Step:
    """A leading type name: the resource itself, when it is of this type."""
    names = {name} if name not in ("Resource", "DomainResource") else None

    def run(nodes: Nodes, root: Whole) -> Nodes:
        kind = root.resource.get("resourceType", "")
        return [Node(root.resource, kind)] if names is None or kind in names else []

    return run


def _child(name: str) -> Step:
    return lambda nodes, root: [found for node in nodes for found in _children(node.value, name)]


def _children(value: Any, name: str) -> Iterable[Node]:
    if not isinstance(value, dict):
        return ()
    if (content := value.get(name)) is not None:
        if isinstance(content, list):
            return [Node(item) for item in content if item is not None]
        return (Node(content),)
    size = len(name)
    return [
        Node(content, key[size:])
        for key, content in value.items()
        if key[size:] in _CHOICES and key.startswith(name)
    ]


def _index(number: int) -> Step:
    return lambda nodes, root: nodes[number : number + 1]


def _where(criterion: Step) -> Step:
    return lambda nodes, root: [n for n in nodes if criterion([n], root) == [_TRUE]]


def _of_type(name: str) -> Step:
    wanted = ("", name.lower())
    return lambda nodes, root: [n for n in nodes if n.type.lower() in wanted]


def _is(name: str) -> Step:
    wanted = (name.lower(), ANY)
    return lambda nodes, root: [_truth(n.type.lower() in wanted) for n in nodes]


def _exists(_: str) -> Step:
    return lambda nodes, root: [_truth(bool(nodes))]


def _extension(url: str) -> Step:
    def run(nodes: Nodes, root: Whole) -> Nodes:
        found = (child for node in nodes for child in _children(node.value, "extension"))
        return [c for c in found if isinstance(c.value, dict) and c.value.get("url") == url]

    return run


def _has_extension(url: str) -> Step:
    extension = _extension(url)
    return lambda nodes, root: [_truth(bool(extension(nodes, root)))]


def _resolve(_: str) -> Step:
    """The type a reference points to is all that is known of resources elsewhere."""

    def run(nodes: Nodes, root: Whole) -> Nodes:
        targets = (target_of(node.value, root) for node in nodes)
        return [Node(t.contained or {}, t.type) for t in targets if t is not None]

    return run


_FUNCTIONS: dict[str, Callable[[str], Step]] = {
    "as": _of_type,
    "ofType": _of_type,
    "is": _is,
    "exists": _exists,
    "extension": _extension,
    "hasExtension": _has_extension,
    "resolve": _resolve,
    "where": _exists,  # parsed apart; an empty where() stands for exists()
}
