"""Cases for policies, made from a seed: queries of each table, and the same gone a little wrong."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from openldn.base.errors import LdnError
from openldn.functions.authorization.model import Consent
from openldn.functions.authorization.policies import ENROLLMENT, POLICIES, Policy
from openldn.functions.authorization.question import (
    Context,
    LocalConsent,
    Matter,
    Question,
    Subject,
)
from openldn.functions.authorization.request import (
    HttpRequest,
    Pair,
    parse_request,
    patient_of,
)
from openldn.functions.authorization.tables import BSN, Row

PATIENTS = {"jansen": "999900006", "pietersen": "999911120"}  # test numbers
_STRANGE = (
    ("code", "x"),
    ("_lastUpdated", "ge2026-01-01"),
    ("status", "active"),
    ("category", "http://snomed.info/sct|1"),
    ("name", "x"),
    ("_since", "2026-01-01"),
    ("_count", "10"),
    ("_summary", "true"),
    ("_include", "Observation:subject"),
    ("_include", "Patient:general-practitioner"),
    ("_revinclude", "Provenance:target"),
    ("_include:iterate", "Patient:general-practitioner"),
    ("patient.identifier", f"{BSN}|999900006"),
)
_TYPES = ("Patient", "Task", "Composition", "Observation", "Organization", "DocumentReference")
_PATHS = ("", "/", "/Task", "/Task/1", "/1-2", "/Patient", "/Composition/1", "/metadata")
_OPERATIONS = ("$lastn", "$document", "$everything")
_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")


@dataclass
class _Draft:
    """A request under way, before it is read."""

    method: str
    path: str
    pairs: list[Pair]
    patient: str = "jansen"
    bsn: str = ""
    consent: Consent = Consent.PERMIT
    enrolled: str = ""
    organization: str = "00000002"
    consents: tuple[LocalConsent, ...] = ()
    purpose: str = "TREAT"
    referral: str = ""


def cases(seed: int, count: int) -> Iterator[tuple[Policy, Matter]]:
    """So many cases, the same for the same seed; about a third are allowed."""
    random = Random(seed)  # noqa: S311  (cases, not secrets)
    policies = list(POLICIES.values())
    made = 0
    while made < count:
        policy = random.choice(policies)
        draft = _fitting(random, policy)
        for _ in range(random.choice((0, 0, 1, 1, 1, 2, 3))):
            random.choice(_CHANGES)(random, draft)
        matter = _matter(draft)
        if matter is not None:
            made += 1
            yield policy, matter


def _fitting(random: Random, policy: Policy) -> _Draft:
    """A request that the policy allows."""
    if policy.queries:
        return _queried(random, random.choice(policy.queries))
    if policy.capabilities is not None:
        return _capable(random, policy)
    if policy.name == "eoverdracht_receiver":
        return _Draft("POST", random.choice(("", "/", "/", "/Task", "/1-2")), [])
    return _transfer(random)


def _queried(random: Random, row: Row) -> _Draft:
    if row.interaction == "read":
        return _Draft("GET", f"/{row.type}/1", [])
    pairs: list[Pair] = [(n, ",".join(_shuffled(random, v))) for n, v in row.search.items()]
    pairs += [("_include", i) for i in _shuffled(random, row.include or ())]
    draft = _Draft("GET", f"/{row.type}/{row.operation}".rstrip("/"), pairs)
    draft.bsn = random.choice((PATIENTS["jansen"], ""))
    draft.enrolled = f"{BSN}|{PATIENTS['jansen']}"
    for name, start in row.prefix.items():
        value = PATIENTS["jansen"] if name == "identifier" else "jansen"
        draft.pairs.append((name, f"{start}{value}"))
    named = {n for n, _ in draft.pairs}
    if row.type != "Patient" and "patient" not in named and random.random() < 0.8:
        draft.pairs.append(("patient", random.choice(("jansen", "Patient/jansen"))))
    if random.random() < 0.3:
        draft.bsn = PATIENTS["jansen"]
    return draft


def _capable(random: Random, policy: Policy) -> _Draft:
    type_, can = random.choice(sorted((policy.capabilities or {}).items()))
    interaction = random.choice(sorted(can.interactions))
    if interaction == "read":
        return _Draft("GET", f"/{type_}/1", [])
    names = random.sample(sorted(can.search), random.randint(0, min(2, len(can.search))))
    pairs: list[Pair] = [(n, "x") for n in names]
    if can.include and random.random() < 0.3:
        pairs.append(("_include", random.choice(sorted(can.include))))
    path = f"/{type_}/_history" if interaction == "history-type" else f"/{type_}"
    return _Draft("GET", path, pairs)


def _transfer(random: Random) -> _Draft:
    kind = random.choice(("Task", "Composition", "Observation", "Patient"))
    method, tail = random.choice((("GET", ""), ("GET", ""), ("PUT", ""), ("GET", "/$document")))
    draft = _Draft(method, f"/{kind}/1{tail}", [])
    named = frozenset({f"{kind}/1"} if random.random() < 0.6 else {"Task/1"})
    draft.consents = (LocalConsent("eoverdracht", True, data=named),)
    return draft


def _shuffled(random: Random, values: Sequence[str] | frozenset[str]) -> list[str]:
    ordered = sorted(values)
    random.shuffle(ordered)
    return ordered


def _without_a_parameter(random: Random, draft: _Draft) -> None:
    if draft.pairs:
        draft.pairs.pop(random.randrange(len(draft.pairs)))


def _with_a_strange_parameter(random: Random, draft: _Draft) -> None:
    draft.pairs.insert(random.randint(0, len(draft.pairs)), random.choice(_STRANGE))


def _with_one_twice(random: Random, draft: _Draft) -> None:
    if draft.pairs:
        draft.pairs.append(random.choice(draft.pairs))


def _with_a_value_less_or_more(random: Random, draft: _Draft) -> None:
    if not draft.pairs:
        return
    place = random.randrange(len(draft.pairs))
    name, value = draft.pairs[place]
    first, _, rest = value.partition(",")
    draft.pairs[place] = (name, random.choice((first, rest or "x", f"{value},y", f"{value}x")))


def _of_another_type(random: Random, draft: _Draft) -> None:
    _, _, rest = draft.path.removeprefix("/").partition("/")
    draft.path = "/" + "/".join(p for p in (random.choice(_TYPES), rest) if p)


def _with_or_without_operation(random: Random, draft: _Draft) -> None:
    base = "/".join(p for p in draft.path.split("/") if not p.startswith("$")) or "/Patient"
    draft.path = random.choice((base, f"{base}/{random.choice(_OPERATIONS)}"))


def _elsewhere(random: Random, draft: _Draft) -> None:
    draft.method, draft.path = random.choice(_METHODS), random.choice(_PATHS)


def _with_another_method(random: Random, draft: _Draft) -> None:
    draft.method = random.choice(_METHODS)


def _without_a_patient(random: Random, draft: _Draft) -> None:
    draft.pairs = [p for p in draft.pairs if p[0] != "patient"]
    draft.patient = draft.bsn = ""


def _with_another_consent(random: Random, draft: _Draft) -> None:
    draft.consent = random.choice((Consent.DENY, Consent.UNKNOWN))


def _with_another_enrollment(random: Random, draft: _Draft) -> None:
    number = PATIENTS["pietersen"]
    draft.enrolled = random.choice(("", number, f"{BSN}|{number}", f"{BSN}|"))


def _with_other_local_consents(random: Random, draft: _Draft) -> None:
    draft.consents = random.choice(
        (
            (),
            (LocalConsent("other", True),),
            (*draft.consents, LocalConsent("eoverdracht", False)),
            (LocalConsent("eoverdracht", True), LocalConsent("other", True)),
        )
    )


def _of_nobody(random: Random, draft: _Draft) -> None:
    draft.organization = ""


def _on_another_ground(random: Random, draft: _Draft) -> None:
    draft.purpose, draft.referral = random.choice(
        (("ETREAT", ""), ("BTG", ""), ("COC", ""), ("TREAT", "Task/7"))
    )


_CHANGES: tuple[Callable[[Random, _Draft], None], ...] = (
    *(_without_a_parameter, _with_a_strange_parameter, _with_a_strange_parameter, _with_one_twice),
    *(_with_a_value_less_or_more, _of_another_type, _with_or_without_operation, _elsewhere),
    *(_with_another_method, _without_a_patient, _with_another_consent, _with_another_enrollment),
    *(_with_other_local_consents, _of_nobody, _on_another_ground),
)


def _matter(draft: _Draft) -> Matter | None:
    """The matter, or None for a request that is refused before any policy sees it."""
    request = HttpRequest(draft.method, draft.path, tuple(draft.pairs))
    subject = Subject(
        organization=draft.organization,
        claims={ENROLLMENT: draft.enrolled} if draft.enrolled else {},
    )
    context = Context(patient_bsn=draft.bsn, purpose=draft.purpose, referral=draft.referral)
    matter = Matter(
        Question(subject, request, context),
        patient_bsn=draft.bsn,
        consent=draft.consent,
        consents=draft.consents,
    )
    try:
        rest = parse_request(request)
    except LdnError:
        return matter  # no FHIR: some policies do not need it
    try:
        named = patient_of(rest)
    except LdnError:
        return None
    patient = named.id if named.id in ("", *PATIENTS) else "jansen"
    return replace(matter, rest=rest, patient_id=patient, patient_bsn=named.bsn or draft.bsn)
