"""Many answers about one patient become one coherent set: pure, by a policy that is data.

Source: integration (specification) §3-§9; decision 27.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from openldn.fhir.model import Resource
from openldn.integration.reconcile import choosing, emitting, identity, persons, times
from openldn.integration.reconcile.codes import Codes
from openldn.integration.reconcile.conflicts import conflicts
from openldn.integration.reconcile.facts import Facts
from openldn.integration.reconcile.model import Conflict, Policy, Question, Reconciled, Source, Told
from openldn.integration.reconcile.policy import DEFAULT
from openldn.integration.reconcile.possible import pairs
from openldn.integration.reconcile.reading import Reading
from openldn.integration.reconcile.relevance import relevant
from openldn.integration.reconcile.units import Units

__all__ = ["DEFAULT", "Codes", "Policy", "Question", "Source", "Told", "Units", "reconcile"]


def reconcile(  # noqa: PLR0913  (tables and what was told before are seldom given)
    sources: Iterable[Source],
    question: Question,
    policy: Policy = DEFAULT,
    *,
    maps: Iterable[Resource] = (),
    factors: Iterable[Mapping[str, Any]] = (),
    told: Iterable[Told] = (),
    situation: str = "",
) -> Resource:
    """One collection Bundle of all that the sources say about this patient.

    The same bytes whatever the order of sources and of entries in them; nothing that was given is
    changed or kept. Raises LdnError(invalid) for a table that cannot be read; what is wrong with
    a source or a resource stands in the OperationOutcome.
    """
    spans = times.reader()
    reading = Reading(question, spans)
    reading.before(told)
    for source in sources:
        reading.take(source)
    codes = Codes(maps, policy.lists["unspecific"])
    facts = Facts(reading, codes, Units(codes, factors), spans, policy.lists)
    found = coherent(reading, facts, policy)
    if situation:
        found = relevant(found, facts, policy, question, situation)
    del facts
    reading.close()
    return emitting.bundle(reading, found, policy)


def coherent(reading: Reading, facts: Facts, policy: Policy = DEFAULT) -> Reconciled:
    """The statements that were read as clusters, pairs and conflicts."""
    members = sorted(reading.members, key=lambda m: (*m.order, m.name))
    told, wrong = [*reading.told, reading.covered()], list[Conflict]()
    for rule in policy.of("conflict").get("Z-PAT", ()):
        alone, found, more = persons.deviating(members, rule)
        wrong += found
        told += more
        for member in members:
            member.alone = member.alone or member.ura in alone
    ties = identity.ties(facts, members, policy)
    clusters = choosing.clusters(facts, ties, policy)
    near = pairs(facts, clusters, policy)
    against = wrong + conflicts(facts, clusters, near, policy)
    return Reconciled(clusters, near, against, told)
