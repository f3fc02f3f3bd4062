"""Searching: GET or POST, a searchset with links; $lastn is a search as well.

Source: hl7.org/fhir/R4/search.html; rules SR-1 to SR-6 of the Dutch qualification.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from starlette.responses import Response

from openldn.base.errors import Issue, LdnError
from openldn.fhir.api.answers import Entry, answer, bundle_bytes, matched
from openldn.fhir.api.confine import not_found, require_own_patient, visible
from openldn.fhir.api.model import Call, bad
from openldn.fhir.api.pages import PAGE, address, seal, unseal
from openldn.fhir.api.pairs import Pairs, all_pairs, named
from openldn.fhir.codec import dump
from openldn.fhir.model import outcome
from openldn.fhir.records.model import Found, Place
from openldn.fhir.search.model import Query
from openldn.fhir.search.parse import parse_query


@dataclass(frozen=True)
class Question:
    """A search as it was put: the address it went to, its page, and its meaning."""

    path: str  # below the base: "Observation", "Observation/$lastn"
    query: Query
    page: str = ""  # the value of `_page` when this is a following page


async def search(call: Call) -> Response:
    """GET or POST [type]: the searchset; raises LdnError(invalid) that names the parameter."""
    call = _in_compartment(call) if call.inner else call
    question = understand(call, await all_pairs(call))
    return await answer(call, await searchset(call, question))


async def lastn(call: Call) -> Response:
    """GET or POST Observation/$lastn: the newest observations per code, one unless `max`.

    Source: hl7.org/fhir/R4/observation-operation-lastn.html.
    """
    pairs = await all_pairs(call)
    return await answer(call, await searchset(call, understand(call, pairs, lastn=True)))


def _in_compartment(call: Call) -> Call:
    if call.type != "Patient":
        raise LdnError(Issue.NOT_FOUND, "only the compartment of a Patient can be searched")
    if call.patient not in {"", call.id}:
        raise not_found()
    return replace(call, type=call.inner)


def understand(call: Call, pairs: Pairs, *, lastn: bool = False) -> Question:
    """What these parameters ask; raises LdnError(invalid) that names the parameter."""
    path = f"{call.type}/{call.operation}" if call.operation else call.type
    path = f"Patient/{call.id}/{path}" if call.inner else path
    page = next((value for name, value in pairs if name == PAGE), "")
    cursor = ""
    if page:
        pairs, cursor = unseal(call.api.key, _about(call, path), page)
    most = 0
    if lastn:
        pairs, most = _most_per_code(pairs)
    asked = [*pairs, (PAGE, cursor)] if cursor else pairs
    query = parse_query(call.api.version, call.type, asked, lenient=call.lenient)
    if query.count is not None:
        query = replace(query, count=min(query.count, call.api.most))
    understood = tuple(pair for pair in query.understood if pair[0] != PAGE)
    if lastn:
        understood += (("max", str(most)),) if most > 1 else ()
        query = replace(query, lastn=most)
    within = call.id if call.inner else ""
    return Question(path, replace(query, understood=understood, compartment=within), page)


def _most_per_code(pairs: Pairs) -> tuple[Pairs, int]:
    given = [value for name, value in pairs if name == "max"]
    text = given[-1] if given else "1"
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) <= 1000) or len(given) > 1:
        bad("parameter max: a whole number from 1 to 1000", where="max")
    return [pair for pair in pairs if pair[0] != "max"], int(text)


def _about(call: Call, path: str) -> str:
    return f"{call.api.version}/{path}"


async def searchset(call: Call, question: Question) -> bytes:
    """Run the search as this caller may, and give the Bundle as FHIR JSON."""
    query = question.query
    await call.permitted("operation" if call.operation else "search-type", query=query)
    require_own_patient(call.patient, query)
    if call.patient:
        query = replace(query, compartment=call.patient, confined=True)
    place, head = await call.place(), call.stamped()
    found = await call.api.records.search(place, query)
    found = await _confined(call, place, found)
    links = _links(call, question, found)
    return searchset_bytes(call.base, question, found, links=links, head=head)


async def _confined(call: Call, place: Place, found: Found) -> Found:
    if not call.patient or not found.included:
        return found
    return replace(found, included=tuple(await visible(call, place, found.included)))


def _links(call: Call, question: Question, found: Found) -> list[dict[str, str]]:
    url = f"{call.base}/{question.path}"
    own = [(PAGE, question.page)] if question.page else list(question.query.understood)
    links = [{"relation": "self", "url": address(url, own)}]
    if found.next:
        about = _about(call, question.path)
        pairs = list(question.query.understood)
        page = seal(call.api.key, about, pairs, found.next)
        links.append({"relation": "next", "url": address(url, [(PAGE, page)])})
    return links


def searchset_bytes(
    base: str,
    question: Question,
    found: Found,
    *,
    links: list[dict[str, str]],
    head: dict[str, object] | None = None,
) -> bytes:
    """The searchset of what was found: matches, includes, and what was ignored."""
    head = {**(head or {}), "type": "searchset"}
    if found.total is not None:
        head["total"] = found.total
    head["link"] = links
    entries = [matched(base, record, "match") for record in found.matches]
    entries += [matched(base, record, "include") for record in found.included]
    if question.query.ignored:
        entries.append(_ignored(question.query.ignored))
    return bundle_bytes(head, entries)


def _ignored(names: Sequence[str]) -> Entry:
    text = "ignored: " + ", ".join(named(name) for name in names)
    return Entry(body=dump(outcome("not-supported", text, "warning")), search="outcome")
