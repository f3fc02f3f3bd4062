"""Which exchanges go by push, by name and by the scope of a token."""

from collections.abc import Collection, Iterator

from openldn.base.errors import Issue, LdnError
from openldn.exchanges import EXCHANGES
from openldn.node.push.model import Kind


def kinds() -> Iterator[Kind]:
    """Every use case of pattern push."""
    for exchange in EXCHANGES.values():
        for case in exchange.use_cases:
            if case.push is not None:
                yield Kind(exchange, case, case.push)


SCOPES = frozenset(kind.case.scope for kind in kinds())


def kind_of(exchange: str, use_case: str = "") -> Kind:
    """What is pushed under these names; raises LdnError(not-found) with those that are known.

    The use case may be left out where the exchange has one only.
    """
    found = [k for k in kinds() if k.exchange.code == exchange]
    named = [k for k in found if k.case.name == use_case] if use_case else found
    if len(named) == 1:
        return named[0]
    known = ", ".join(k.name for k in (found or kinds()))
    text = f"nothing is pushed under this name; choose from {known}"
    raise LdnError(Issue.NOT_FOUND, text, where="exchange")


def accepted(names: Collection[str]) -> list[Kind]:
    """The kinds with these names; raises LdnError(invalid) for a setting that names none."""
    known = {k.name: k for k in kinds()}
    if unknown := sorted(set(names) - set(known)):
        text = f"push.accept: {', '.join(unknown)}; choose from {', '.join(known)}"
        raise LdnError(Issue.INVALID, text)
    return [known[name] for name in sorted(set(names))]
