"""The criteria of a search as SQL conditions on `record r`, built from constant fragments.

Values only ever go in as parameters; $1 is the holder and $2 the FHIR version, always.
Source of what matches: hl7.org/fhir/R4/search.html.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from openldn.fhir.records.folding import clipped, folded
from openldn.fhir.records.model import Place
from openldn.fhir.search.keys import token_position
from openldn.fhir.search.model import Criterion, Hop, Kind, Parameter, Value
from openldn.fhir.search.ranges import date_range, number, number_range

_LAST = "\U0010ffff"  # sorts after every text that begins with what stands before it

_TABLES = {
    Kind.TOKEN: "record_token",
    Kind.REFERENCE: "record_token",
    Kind.URI: "record_token",
    Kind.DATE: "record_date",
    Kind.STRING: "record_string",
    Kind.NUMBER: "record_number",
    Kind.QUANTITY: "record_number",
}
_LIVING = "r.holder = $1 AND r.fhir = $2 AND r.body IS NOT NULL AND r.type ="


@dataclass
class Statement:
    """The parameters of a statement that is being put together."""

    place: Place
    patient: str = ""  # of whom chains may be followed; empty = of everyone
    parameters: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.parameters += [self.place.holder, self.place.fhir.value]

    def bind(self, value: Any, type: str) -> str:
        """The placeholder of a value, with its SQL type."""
        self.parameters.append(value)
        return f"${len(self.parameters)}::{type}"

    def texts(self, values: Iterable[str]) -> str:
        return self.bind([clipped(v) for v in values], "text[]")

    def text(self, value: str) -> str:
        return self.bind(clipped(value), "text")

    def scope(self, parameter: Parameter, suffix: str = "") -> str:
        """The placeholder of a parameter's scope in the index tables."""
        name = f"{parameter.name}{suffix}"
        return self.text(f"{self.place.fhir.value}/{parameter.type}/{name}")


@dataclass(frozen=True)
class Match:
    """Rows of one index table `k` that match."""

    table: str
    where: str

    def rids(self) -> str:
        return _words("SELECT k.rid FROM", self.table, "k WHERE", self.where)

    def holds(self) -> str:
        """True of a record `r` that has such a row."""
        return _words("r.rid IN (", self.rids(), ")")

    def lacks(self) -> str:
        """True of a record `r` that has none."""
        row = _words("SELECT 1 FROM", self.table, "k WHERE", self.where, "AND k.rid = r.rid")
        return _words("NOT EXISTS (", row, ")")


def _words(*parts: str) -> str:
    return " ".join(parts)


def any_of(conditions: Sequence[str]) -> str:
    """True when one of the conditions is."""
    return conditions[0] if len(conditions) == 1 else _words("(", " OR ".join(conditions), ")")


def living(statement: Statement, type: str) -> str:
    """True of a record `r` of this type that is not deleted."""
    return _words(_LIVING, statement.bind(type, "text"))


def in_compartment(statement: Statement, type: str, patient: str) -> str:
    """True of a record `r` in this patient's compartment."""
    scope = _compartment_scope(statement, type)
    pair = _words("k.code =", statement.text(patient), "AND k.system = 'Patient'")
    return Match("record_token", _words("k.holder = $1 AND k.scope =", scope, "AND", pair)).holds()


def _open(statement: Statement, type: str) -> str:
    """True of a record `r` at the end of a hop: living, and not another patient's."""
    alive = living(statement, type)
    if not statement.patient:
        return alive
    own = in_compartment(statement, type, statement.patient)
    anyones = _words("k.holder = $1 AND k.scope =", _compartment_scope(statement, type))
    nobodys = Match("record_token", anyones).lacks()
    return _words(alive, "AND (", own, "OR", nobodys, ")")


def _compartment_scope(statement: Statement, type: str) -> str:
    return statement.scope(Parameter(type, "_compartment", Kind.TOKEN, ""))


def condition(statement: Statement, criterion: Criterion) -> str:
    """True of a record `r` that this criterion selects."""
    if criterion.chain:
        hop, *rest = criterion.chain
        further = replace(criterion, chain=tuple(rest))
        follow = _backward if hop.reverse else _forward
        return _words("r.rid IN (", follow(statement, hop, further), ")")
    match criterion.parameter.name, criterion.modifier:
        case "_id", _:
            ids = statement.texts(v.code for v in criterion.values)
            return _words("r.id = ANY (", ids, ")")
        case "_lastUpdated", _:
            return any_of([_updated(statement, v) for v in criterion.values])
        case _, "missing":
            every = _scoped(statement, criterion, "")
            return any_of([every.lacks() if v.text == "true" else every.holds()
                           for v in criterion.values])  # fmt: skip
        case _, "not":
            return _matches(statement, criterion)[0].lacks()
    return any_of(_conditions(statement, criterion))


def _conditions(statement: Statement, criterion: Criterion) -> list[str]:
    """Values that must match, together; then each value that must not."""
    unequal = [v for v in criterion.values if v.prefix == "ne"]
    equal = [v for v in criterion.values if v.prefix != "ne"]
    found = []
    if equal:
        found += [m.holds() for m in _matches(statement, replace(criterion, values=tuple(equal)))]
    for value in unequal:
        same = replace(criterion, values=(replace(value, prefix="eq"),))
        every = _scoped(statement, criterion, f"${value.token}" if value.token else "")
        unlike = [m.lacks() for m in _matches(statement, same)]
        found.append(_words("(", " AND ".join([every.holds(), *unlike]), ")"))
    return found


def _forward(statement: Statement, hop: Hop, further: Criterion) -> str:
    """rids of records whose reference points to a record that `further` selects.

    A contained or logical target is no record: its keys stand with the record that refers.
    """
    target = _words("SELECT r.id FROM record r WHERE", _open(statement, hop.target))
    within = _words(target, "AND", condition(statement, further))
    reference = _words(
        "SELECT k.rid FROM record_token k WHERE k.holder = $1 AND k.scope =",
        statement.scope(hop.parameter),
        "AND k.system =",
        statement.bind(hop.target, "text"),
        "AND k.code IN (",
        within,
        ")",
    )
    negative = further.modifier in ("not", "missing") or further.values[0].prefix == "ne"
    own = further.parameter.name in ("_id", "_lastUpdated")
    if further.chain or negative or own or further.parameter.kind is Kind.COMPOSITE:
        return reference
    inner = f"{hop.parameter.name}:{hop.target}.{further.parameter.name}"
    beside = replace(further.parameter, type=hop.parameter.type, name=inner)
    contained = _matches(statement, replace(further, parameter=beside))
    return " UNION ALL ".join([reference, *(match.rids() for match in contained)])


def _backward(statement: Statement, hop: Hop, further: Criterion) -> str:
    """rids of records that a record selected by `further` points to (_has)."""
    source = _words(
        "SELECT r.rid FROM record r WHERE",
        _open(statement, hop.parameter.type),
        "AND",
        condition(statement, further),
    )
    return _words(
        "SELECT p.rid FROM record_token k JOIN record p ON p.holder = $1 AND p.fhir = $2",
        "AND p.type = k.system AND p.id = k.code WHERE k.holder = $1 AND k.scope =",
        statement.scope(hop.parameter),
        "AND k.system =",
        statement.bind(hop.target, "text"),
        "AND k.rid IN (",
        source,
        ")",
    )


def _scoped(statement: Statement, criterion: Criterion, suffix: str, *more: str) -> Match:
    """Rows of the criterion's parameter, all or those for which `more` holds."""
    kind = _kind(criterion.parameter)
    scope = _words("k.holder = $1 AND k.scope =", statement.scope(criterion.parameter, suffix))
    return Match(_TABLES[kind], " AND ".join([scope, *more]))


def _kind(parameter: Parameter) -> Kind:
    """What is compared: of a composite, the component that is not in the name of the scope."""
    if parameter.kind is Kind.COMPOSITE:
        return parameter.components[1 - token_position(parameter)][0]
    return parameter.kind


def _matches(statement: Statement, criterion: Criterion) -> list[Match]:
    """The rows that match one of the values; a composite has a scope per code."""
    parameter, modifier, values = criterion.parameter, criterion.modifier, criterion.values
    if parameter.kind is Kind.COMPOSITE:
        kind = _kind(parameter)
        return [
            _scoped(statement, criterion, f"${v.token}", _TESTS[kind](statement, [v], ""))
            for v in values
        ]
    if modifier == "text":
        where = _words(
            "k.holder = $1 AND k.scope =",
            statement.scope(parameter, ":text"),
            "AND",
            _string(statement, values, "contains"),
        )
        return [Match("record_string", where)]
    suffix = f":{modifier}" if modifier in ("identifier", "of-type") else ""
    kind = Kind.TOKEN if suffix else parameter.kind
    return [_scoped(statement, criterion, suffix, _TESTS[kind](statement, values, modifier))]


def _token(statement: Statement, values: Sequence[Value], modifier: str) -> str:
    return any_of(_token_parts(statement, values))


def _token_parts(statement: Statement, values: Sequence[Value]) -> list[str]:
    anywhere = [v.code for v in values if v.system is None]
    pairs = [(v.code, v.system) for v in values if v.system is not None and v.code]
    systems = [v.system for v in values if v.system and not v.code]
    parts = []
    if anywhere:
        parts.append(_among(statement, "k.code", anywhere))
    if pairs:
        parts.append(_one_of_pairs(statement, pairs))
    if systems:
        parts.append(_among(statement, "k.system", systems))
    return parts


def _among(statement: Statement, column: str, texts: Sequence[str]) -> str:
    """One value is compared plainly: the planner then knows how few rows it selects."""
    if len(texts) == 1:
        return _words(column, "=", statement.text(texts[0]))
    return _words(column, "= ANY (", statement.texts(texts), ")")


def _one_of_pairs(statement: Statement, pairs: Sequence[tuple[str, str]]) -> str:
    codes, systems = [code for code, _ in pairs], [system for _, system in pairs]
    if len(set(systems)) == 1:
        system = _among(statement, "k.system", systems[:1])
        return _words("(", _among(statement, "k.code", codes), "AND", system, ")")
    both = _words(statement.texts(codes), ",", statement.texts(systems))
    rows = _words("SELECT v.c, v.s FROM unnest(", both, ") AS v (c, s)")
    code = _among(statement, "k.code", codes)
    return _words("(", code, "AND (k.code, k.system) IN (", rows, "))")


def _reference(statement: Statement, values: Sequence[Value], modifier: str) -> str:
    """An id without type, or an absolute URL, matches whatever the type of the target."""
    untyped = [replace(v, system=v.system or None) for v in values]
    return any_of(_token_parts(statement, untyped))


def _uri(statement: Statement, values: Sequence[Value], modifier: str) -> str:
    if not modifier:
        return _among(statement, "k.code", [v.text for v in values])
    texts = statement.texts(v.text for v in values)
    inside = {"below": "starts_with(k.code, v)", "above": "starts_with(v, k.code)"}[modifier]
    return _words("EXISTS (SELECT 1 FROM unnest(", texts, ") AS v WHERE", inside, ")")


def _string(statement: Statement, values: Sequence[Value], modifier: str) -> str:
    return any_of([_one_string(statement, v.text, modifier) for v in values])


def _one_string(statement: Statement, text: str, modifier: str) -> str:
    plain = statement.bind(folded(text), "text")
    if modifier == "contains":
        return _words("strpos(k.folded,", plain, ") > 0")
    if modifier == "exact":
        exact = statement.bind(text, "text")
        return _words("(k.folded =", plain, "AND k.exact =", exact, ")")
    last = statement.bind(folded(text) + _LAST, "text")
    return _words("(k.folded ~>=~", plain, "AND k.folded ~<~", last, ")")


# ge and le are generous: any part of the value on that day or after (before) it will do, so that
# a period that ends or begins within the day asked is not missed.
_DATE_TESTS = {
    "eq": "(k.low >= {low} AND k.high <= {high})",
    "gt": "k.high > {high}",
    "lt": "k.low < {low}",
    "ge": "k.high > {low}",
    "le": "k.low < {high}",
    "sa": "k.low >= {high}",
    "eb": "k.high <= {low}",
    "ap": "(k.low < {high} + 0.1 * (greatest(now(), {low}) - least(now(), {low}))"
    " AND k.high > {low} - 0.1 * (greatest(now(), {low}) - least(now(), {low})))",
}
_UPDATED_TESTS = {
    "eq": "(r.updated >= {low} AND r.updated < {high})",
    "ne": "(r.updated < {low} OR r.updated >= {high})",
    "gt": "r.updated >= {high}",
    "lt": "r.updated < {low}",
    "ge": "r.updated >= {low}",
    "le": "r.updated < {high}",
    "sa": "r.updated >= {high}",
    "eb": "r.updated < {low}",
    "ap": "(r.updated < {high} + 0.1 * (greatest(now(), {low}) - least(now(), {low}))"
    " AND r.updated > {low} - 0.1 * (greatest(now(), {low}) - least(now(), {low})))",
}
_NUMBER_TESTS = {
    "eq": "(k.low >= {low} AND k.high < {high})",
    "gt": "k.high > {exact}",
    "lt": "k.low < {exact}",
    "ge": "k.high >= {exact}",
    "le": "k.low <= {exact}",
    "sa": "k.low > {exact}",
    "eb": "k.high < {exact}",
    "ap": "(k.low <= {exact} + 0.1 * abs({exact}) AND k.high >= {exact} - 0.1 * abs({exact}))",
}


def _date(statement: Statement, values: Sequence[Value], modifier: str) -> str:
    return any_of([_one_date(statement, v, _DATE_TESTS) for v in values])


def _updated(statement: Statement, value: Value) -> str:
    return _one_date(statement, value, _UPDATED_TESTS)


def _one_date(statement: Statement, value: Value, tests: dict[str, str]) -> str:
    span = date_range(value.text)
    if span is None:
        raise ValueError(value.prefix)  # the parser lets no other dates through
    test, ends = tests[value.prefix], dict(zip(("low", "high"), span, strict=True))
    used = {k: statement.bind(v, "timestamptz") for k, v in ends.items() if f"{{{k}}}" in test}
    return test.format(**used)


def _number(statement: Statement, values: Sequence[Value], modifier: str) -> str:
    return any_of([_one_number(statement, v) for v in values])


def _one_number(statement: Statement, value: Value) -> str:
    exact, bounds = number(value.text), number_range(value.text)
    if exact is None or bounds is None:
        raise ValueError(value.prefix)  # the parser lets no other numbers through
    test = _NUMBER_TESTS[value.prefix]
    ends = {"exact": exact, "low": bounds[0], "high": bounds[1]}
    used = {k: statement.bind(v, "numeric") for k, v in ends.items() if f"{{{k}}}" in test}
    parts = [test.format(**used)]
    if value.system is not None:
        parts.append(_words("k.system =", statement.text(value.system)))
    if value.code:
        parts.append(_words("k.code =", statement.text(value.code)))
    return _words("(", " AND ".join(parts), ")")


_TESTS: dict[Kind, Callable[[Statement, Sequence[Value], str], str]] = {
    Kind.TOKEN: _token,
    Kind.REFERENCE: _reference,
    Kind.URI: _uri,
    Kind.STRING: _string,
    Kind.DATE: _date,
    Kind.NUMBER: _number,
    Kind.QUANTITY: _number,
}
