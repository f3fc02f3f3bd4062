"""What a FHIR search asks, after parsing: plain data, the same for every store.

Source: hl7.org/fhir/STU3/search.html and hl7.org/fhir/R4/search.html.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """The kinds of search parameter (hl7.org/fhir/R4/valueset-search-param-type.html)."""

    TOKEN = "token"  # noqa: S105
    REFERENCE = "reference"
    STRING = "string"
    DATE = "date"
    NUMBER = "number"
    QUANTITY = "quantity"
    URI = "uri"
    COMPOSITE = "composite"
    SPECIAL = "special"


@dataclass(frozen=True)
class Parameter:
    """A search parameter as the specification defines it for one resource type."""

    type: str  # resource type it belongs to, "Observation"
    name: str  # "related-target"
    kind: Kind
    expression: str  # FHIRPath, of this resource type only
    targets: tuple[str, ...] = ()  # resource types a reference may point to; empty = any
    components: tuple[tuple[Kind, str], ...] = ()  # of a composite: kind and relative expression


@dataclass(frozen=True)
class Value:
    """One of the OR-ed values of a criterion, split by kind.

    token: system None = any system, "" = explicitly none; code "" = any code of the system.
    reference: system = target type or "", code = id or absolute URL. date, number, quantity:
    prefix + text (+ system and code of a unit). composite: the token of the pair in `token`,
    the rest as its other component.
    """

    text: str
    prefix: str = "eq"
    system: str | None = None
    code: str = ""
    token: str = ""  # composite only: "system|code", or "*|code" for any system


@dataclass(frozen=True)
class Hop:
    """One step of a chain: follow this reference to resources of this type.

    `reverse`: from what is referred to, to the resources of type `parameter.type` (_has).
    """

    parameter: Parameter
    target: str
    reverse: bool = False


@dataclass(frozen=True)
class Criterion:
    """One parameter of the request: values are OR-ed, criteria are AND-ed."""

    parameter: Parameter
    values: tuple[Value, ...]
    modifier: str = ""  # "", exact, contains, not, missing, text, identifier, a type …
    chain: tuple[Hop, ...] = ()  # followed before `parameter` is tested


@dataclass(frozen=True)
class Include:
    """_include (forward) or _revinclude (backward), optionally repeated on what it finds."""

    parameter: Parameter
    target: str = ""  # only references to this type; empty = any
    iterate: bool = False
    reverse: bool = False


@dataclass(frozen=True)
class Sort:
    parameter: Parameter
    descending: bool = False


@dataclass(frozen=True)
class Query:
    """A parsed search on one resource type."""

    type: str
    criteria: tuple[Criterion, ...] = ()
    includes: tuple[Include, ...] = ()
    sort: tuple[Sort, ...] = ()
    count: int | None = None  # page size asked; None = the server's default
    page: str = ""  # opaque cursor of a next link
    count_only: bool = False  # _summary=count
    total: bool = False  # _total=accurate
    lastn: int = 0  # > 0: $lastn, this many newest per code
    compartment: str = ""  # Patient id: only resources of that patient's compartment
    confined: bool = False  # nor may a chain be followed through another patient's resources
    understood: tuple[tuple[str, str], ...] = field(default=())  # for the self link, in order
    ignored: tuple[str, ...] = ()  # parameter names left out under Prefer: handling=lenient
