"""Presentation definitions, read once at start-up: what is wrong with one is told then, by name.

Source: DIF Presentation Exchange 2; file shape of the knowledge platform and Nuts
(`{"<scope>": {"organization": {…}, "service_provider": {…}}}`); R50; trust and broker §5.3, §5.4.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NoReturn

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import parse
from openldn.fhir.codec.model import Limits
from openldn.trust import jose
from openldn.trust.credentials.matching import ALL
from openldn.trust.credentials.model import (
    Definition,
    Descriptor,
    Field,
    Requirement,
    ScopePolicy,
)
from openldn.trust.credentials.paths import LARGEST_VALUE, path
from openldn.trust.credentials.patterns import pattern

# Names that a token or an introspection answer has for itself (R50).
RESERVED = frozenset(
    "iss sub aud exp iat nbf jti active scope client_id token_type username cnf act vps "
    "presentation_submissions presentation_submission presentation_definitions assertions "
    "client_assertions".split()
)
_LIMITS = Limits(size=1024 * 1024, depth=24, nodes=20_000, values=100_000, digits=10)
_MOST = 20  # descriptors of a definition, fields of a descriptor, paths of a field


def load_policies(content: bytes, origin: str = "policies") -> dict[str, ScopePolicy]:
    """What must be shown for each scope; raises LdnError(invalid) that names scope and place."""
    value = parse(content, _LIMITS)
    if not isinstance(value, dict):
        _wrong(origin, "an object with scopes is needed")
    if refused := [scope for scope in value if _reserved(scope)]:
        _wrong(origin, f"no policy may have the name {', '.join(sorted(refused))} (R74)")
    return {plain(scope): _policy(_same(value, scope), f"{origin}: {scope}") for scope in value}


@cache
def shipped_policies() -> Mapping[str, ScopePolicy]:
    """The policies that come with the product, by scope."""
    found: dict[str, ScopePolicy] = {}
    folder = files(__package__) / "policies"
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.endswith(".json"):
            found |= load_policies(file.read_bytes(), file.name)
    return found


def policy_of(policies: Mapping[str, ScopePolicy], scope: str) -> ScopePolicy | None:
    """What must be shown for a scope; letter case and dashes do not matter (R75)."""
    return policies.get(plain(scope))


def load_definition(value: Any, origin: str = "definition") -> Definition:
    """One presentation definition; raises LdnError(invalid) that names the place."""
    raw = _object(value, origin)
    formats = _object(raw.get("format", {}), f"{origin}: format")
    descriptors = tuple(
        _descriptor(d, formats, f"{origin}: {_text(d, 'id')}")
        for d in _list(raw.get("input_descriptors"), origin)
    )
    if len({d.id for d in descriptors}) != len(descriptors):
        _wrong(origin, "two input descriptors have the same id")
    groups = {g for d in descriptors for g in d.groups}
    requirements = _some(raw, "submission_requirements", origin)
    return Definition(
        id=_text(raw, "id"),
        descriptors=descriptors,
        raw=raw,
        algorithms=_algorithms(formats, ("jwt_vp", "jwt_vp_json"), origin),
        requirements=tuple(_requirement(r, groups, origin) for r in requirements),
    )


def plain(scope: str) -> str:
    """What names a scope, however it is written (R75)."""
    return scope.lower().replace("-", "").replace("_", "")


def spelled(asked: Iterable[str], offered: Iterable[str]) -> frozenset[str]:
    """The scopes asked, each as it is offered; one that is not offered stays as it was written."""
    names = {plain(scope): scope for scope in offered}
    return frozenset(names.get(plain(scope), scope) for scope in asked)


def _reserved(scope: str) -> bool:
    """Whether a policy engine keeps this name for itself; "testament" is nobody's."""
    return plain(scope) == "system" or scope.lower().startswith(("test_", "test-"))


def _same(value: Mapping[str, Any], scope: str) -> Any:
    """What stands for this scope; the name of another scope means the same as for that one."""
    found = value[scope]
    return value.get(found) if isinstance(found, str) else found


def _policy(value: Any, origin: str) -> ScopePolicy:
    raw = _object(value, origin)
    if unknown := set(raw) - {"organization", "service_provider"}:
        _wrong(origin, f"unknown: {', '.join(sorted(unknown))}")
    provider = raw.get("service_provider")
    return ScopePolicy(
        load_definition(raw.get("organization"), f"{origin}: organization"),
        load_definition(provider, f"{origin}: service_provider") if provider is not None else None,
    )


def _descriptor(value: Any, formats: Mapping[str, Any], origin: str) -> Descriptor:
    raw = _object(value, origin)
    own = _object(raw.get("format", formats), f"{origin}: format")
    constraints = _object(raw.get("constraints"), f"{origin}: constraints")
    return Descriptor(
        id=_text(raw, "id"),
        fields=tuple(
            _field(f, f"{origin}: {_text(f, 'id')}")
            for f in _list(constraints.get("fields"), f"{origin}: fields")
        ),
        algorithms=_algorithms(own, ("jwt_vc", "jwt_vc_json"), origin),
        groups=tuple(str(g) for g in _some(raw, "group", origin)),
    )


def _field(value: Any, origin: str) -> Field:
    raw = _object(value, origin)
    name = _text(raw, "id")
    if name in RESERVED:
        _wrong(origin, "this id is reserved; choose another (R50)")
    paths = tuple(str(p) for p in _list(raw.get("path"), f"{origin}: path"))
    rule = _object(raw.get("filter", {}), f"{origin}: filter")
    expression, enum = rule.get("pattern", ""), rule.get("enum", [])
    fits = isinstance(expression, str) and isinstance(enum, list)
    if rule.get("type", "string") != "string" or set(rule) - _FILTERS or not fits:
        _wrong(origin, "a filter has type string, and const, enum or pattern")
    try:
        for text in paths:
            path(text)
        pattern(expression)
    except LdnError as error:
        _wrong(origin, error.message)
    return Field(
        id=name,
        paths=paths,
        const=_short(rule.get("const"), origin),
        pattern=expression,
        optional=raw.get("optional") is True,
        enum=tuple(_short(v, origin) or "" for v in enum),
    )


_FILTERS = frozenset({"type", "const", "enum", "pattern", "description"})


def _requirement(value: Any, groups: set[str], origin: str) -> Requirement:
    raw = _object(value, f"{origin}: submission_requirements")
    nested = tuple(_requirement(r, groups, origin) for r in _some(raw, "from_nested", origin))
    group = _text(raw, "from")
    if bool(nested) == bool(group) or (group and group not in groups):
        _wrong(origin, "a submission requirement picks from a group that exists, or from others")
    least, most = _bounds(raw, origin)
    return Requirement(least, most, group, nested)


def _bounds(raw: Mapping[str, Any], origin: str) -> tuple[int, int]:
    numbers = [raw.get(n) for n in ("count", "min", "max")]
    if not all(n is None or (isinstance(n, int) and 0 <= n <= _MOST) for n in numbers):
        _wrong(origin, f"count, min and max are numbers up to {_MOST}")
    count, least, most = numbers
    if raw.get("rule") == "all":
        return ALL, _MOST
    if raw.get("rule") != "pick":
        _wrong(origin, "the rule of a submission requirement is all or pick")
    if count is not None:
        return count, count
    return least if least is not None else 1, most if most is not None else _MOST


def _algorithms(formats: Mapping[str, Any], names: tuple[str, ...], origin: str) -> tuple[str, ...]:
    """The algorithms for the kinds of JWT named; empty when the definition does not limit them."""
    if not formats:
        return ()
    found = [a for n in names if n in formats for a in _named(formats[n], f"{origin}: {n}")]
    if unknown := set(found) - set(jose.ALGORITHMS):
        _wrong(origin, f"unknown algorithms: {', '.join(sorted(unknown))}")
    return tuple(dict.fromkeys(found))


def _named(value: Any, origin: str) -> Iterator[str]:
    return (str(a) for a in _list(_object(value, origin).get("alg"), origin))


def _object(value: Any, origin: str) -> dict[str, Any]:
    return value if isinstance(value, dict) else _wrong(origin, "an object is needed here")


def _list(value: Any, origin: str) -> list[Any]:
    if not isinstance(value, list) or not 0 < len(value) <= _MOST:
        _wrong(origin, f"a list of 1 to {_MOST} is needed here")
    return value


def _some(value: Mapping[str, Any], name: str, origin: str) -> list[Any]:
    """A list that may be left out."""
    return _list(value[name], f"{origin}: {name}") if name in value else []


def _text(value: Any, name: str) -> str:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def _short(value: Any, origin: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > LARGEST_VALUE:
        _wrong(origin, "const and enum hold text")
    return value


def _wrong(origin: str, text: str) -> NoReturn:
    raise LdnError(Issue.INVALID, f"presentation definition {origin}: {text}", detail="definition")
