"""The holder's own consents as a decision point needs them: by resource, not by patient.

What cannot be told in that form is left out when it permits, and holds for everyone when it
objects. Source: generic functions §3.5, §4.5; rules Z12, Z13, Z20, Z21.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

from openldn.base.errors import LdnError
from openldn.fhir.identifiers import Bsn
from openldn.functions.authorization.question import About, LocalConsent
from openldn.functions.consent.local import LocalConsents
from openldn.functions.consent.model import Choice, Decision, Level, Target

Local = Callable[[About], Awaitable[Sequence[LocalConsent]]]
_PATIENT = "Patient/"
_EVERYONE: frozenset[str] = frozenset()


async def none_kept(about: About) -> Sequence[LocalConsent]:
    """No local consent is kept here."""
    return ()


def kept_here(local: LocalConsents) -> Local:
    """The consents that this holder recorded itself.

    A patient who is known narrows it: a referral of somebody else opens nothing.
    """

    async def found(about: About) -> Sequence[LocalConsent]:
        patient = _patient(about)
        general = await local.chosen(patient) if patient else []
        consents = [c for choices in general for c in _general(choices)]
        if about.bsn and patient is None:
            return consents  # no BSN, so nobody's
        if not about.resource.startswith(_PATIENT):
            for choices in await local.naming(about.resource, patient):
                consents += _named(choices, about.resource)
        return consents

    return found


def _patient(about: About) -> Bsn | None:
    try:
        return Bsn.parse(about.bsn) if about.bsn else None
    except LdnError:
        return None


def _general(choices: Iterable[Choice]) -> Iterator[LocalConsent]:
    """What was chosen about no resource in particular."""
    for choice in choices:
        permits = choice.decision is Decision.PERMIT
        narrow = choice.resource.level is not Level.ANY
        if choice.resource.level is not Level.TASK and not (permits and narrow):
            yield from _told(choice, frozenset())


def _named(choices: Sequence[Choice], resource: str) -> Iterator[LocalConsent]:
    """What was chosen about this resource, with all that goes along with it."""
    wanted = Target(Level.TASK, resource)
    for choice in choices:
        if choice.resource == wanted:
            along = (c.resource.value for c in choices if _alike(c, choice))
            yield from _told(choice, frozenset(along))


def _alike(one: Choice, other: Choice) -> bool:
    same = (one.decision, one.user, one.context, one.start, one.end)
    return one.resource.level is Level.TASK and same == (
        *(other.decision, other.user, other.context, other.start, other.end),
    )


def _told(choice: Choice, data: frozenset[str]) -> Iterator[LocalConsent]:
    permits = choice.decision is Decision.PERMIT
    organizations = {
        Level.ANY: _EVERYONE,
        Level.PROVIDER: frozenset({choice.user.value}),
    }
    actors = organizations.get(choice.user.level)
    if actors is None and permits:
        return  # to one person or kind of user: that is decided where these are known
    scope = choice.context.value if choice.context.level is Level.EXCHANGE else ""
    yield LocalConsent(scope, permits, actors or _EVERYONE, data, choice.start, choice.end)
