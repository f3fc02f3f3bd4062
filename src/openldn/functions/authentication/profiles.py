"""The services behind the gateway as data: scopes, numbers, and the headers of others' gateways.

Source: specification of the generic functions §2.6.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from openldn.base.errors import Issue, LdnError
from openldn.functions.authentication.model import OIN, URA

_NVI = frozenset({"nvi:create", "nvi:delete", "nvi:read", "nvi:localize"})
_PRS = frozenset({"prs:read"})


@dataclass(frozen=True)
class HeaderForm:
    """How an existing national gateway tells a service who calls (`x-gf-*`)."""

    name: str
    missing: Issue  # what a header that is not there is called
    audience: Issue  # what another audience is called
    required: tuple[str, ...]
    implied: frozenset[str] = frozenset()  # scopes, where the gateway sends none
    optional: tuple[str, ...] = ("x-gf-source-id",)


NVI_HEADERS = HeaderForm(
    name="x-gf-nvi",
    missing=Issue.INVALID,
    audience=Issue.LOGIN,
    required=(
        *("x-gf-sub", "x-gf-act-sub", "x-gf-audience", "x-gf-scope"),
        *("x-gf-cert-type", "x-gf-organization-name"),
    ),
)
PRS_HEADERS = HeaderForm(
    name="x-gf-prs",
    missing=Issue.FORBIDDEN,
    audience=Issue.FORBIDDEN,
    required=("x-gf-sub", "x-gf-act-sub", "x-gf-act-cn", "x-gf-audience"),
    implied=_PRS,
)


@dataclass(frozen=True)
class Protected:
    """One national service: by which number it knows organizations, and the scopes it has."""

    name: str
    scopes: frozenset[str]
    number: str = URA  # or OIN
    audience: Issue = Issue.LOGIN  # what a token for another service is called
    headers: HeaderForm | None = None  # None: nobody else's gateway stands before it
    legacy: Mapping[str, frozenset[str]] = field(default_factory=dict)  # older scope words


def _own(name: str, *words: str) -> Protected:
    return Protected(name, frozenset(f"{name}:{word}" for word in words))


# One row per role that stands behind the gateway.
SERVICES = {
    s.name: s
    for s in (
        Protected(
            "localization",
            _NVI,
            headers=NVI_HEADERS,
            legacy={
                "epd:read": frozenset({"nvi:read", "nvi:localize"}),
                "epd:write": frozenset({"nvi:create", "nvi:delete"}),
            },
        ),
        Protected("pseudonyms", _PRS, OIN, Issue.FORBIDDEN, PRS_HEADERS),
        _own("consent", "ask", "subscribe", "choose"),
        _own("addressing", "read", "write"),
        _own("authorization", "decide"),
        _own("transformation", "read"),
        _own("audit", "read", "write"),
    )
}


def service_of(name: str) -> Protected:
    """The row of this service; raises LdnError(not-found) that lists the names."""
    found = SERVICES.get(name)
    if found is None:
        text = f"no service {name!r} behind the gateway; there are: {', '.join(SERVICES)}"
        raise LdnError(Issue.NOT_FOUND, text)
    return found
