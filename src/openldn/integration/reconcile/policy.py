"""The reconciliation policy as data: one row per kind of statement and rule.

Source: integration §6 (the row of each kind), §7.2 (scenarios R1-R32), and the decisions of the
project on withdrawals, precision, order numbers and chronic problems (decision 27).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import CANON
from openldn.integration.reconcile.kinds import KINDS
from openldn.integration.reconcile.model import Policy, Rule

_SCT = "http://snomed.info/sct|"
_SPEC = "integration §6"

LISTS: dict[str, frozenset[str]] = {
    # numbers that mark an order or a set of images; HL7 v2 table 0203
    "not-identity": frozenset({"PLAC", "ACSN", "PGN"}),
    # numbers of people and organizations, which identify no statement
    "persons": frozenset({"bsn", "ura", "uzi", "agb", "kvk", "kvk-branch", "oin"}),
    "placeholders": frozenset(
        "unknown onbekend none geen null nil n/a na nvt n.v.t. n.v.t tbd test id temp dummy "
        "undefined leeg empty 1 12345 123456 123456789 unk niet-bekend".split()
    ),
    "unspecific": frozenset(
        f"{_SCT}{code}"
        for code in (
            "74964007 261665006 55607006 64572001 419199007 106190000 416098002 414285001 "
            "420134006 404684003"
        ).split()
    ),
    # problems that last: the moment of onset says nothing about being the same
    "chronic": frozenset(
        (
            *(
                f"{_SCT}{code}"
                for code in (
                    "73211009 44054006 46635009 38341003 59621000 195967001 13645005 396275006 "
                    "84114007 49436004 709044004 24700007 49049000 26929004 69896004 40930008 "
                    "84757009 53741008 414545008 34000006 64766004"
                ).split()
            ),
            *(
                f"http://hl7.org/fhir/sid/icd-10|{code}"
                for code in "I10 E10 E11 J44 J45 I50 I48 I25 N18 G35 G20 G30 M05 M06 M15".split()
            ),
            *(
                f"http://hl7.org/fhir/sid/icpc-1-nl|{code}"
                for code in "K86 T90 T90.01 T90.02 R95 R96 K77 K78 L88 N87 N86".split()
            ),
        )
    ),
    # directives that cannot both hold, as pairs
    "contrary": frozenset({f"{_SCT}304252001 {_SCT}304253006", f"{_SCT}450475007 {_SCT}450476008"}),
    # "no known allergies": a statement of absence, never a reason to hide a positive one
    "no-allergy": frozenset(
        (
            *(f"{_SCT}{c}" for c in "716186003 409137002 428607008 429625007 428197003".split()),
            *(
                f"http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips|{code}"
                for code in (
                    "no-known-allergies no-known-medication-allergies "
                    "no-known-environmental-allergies no-known-food-allergies"
                ).split()
            ),
        )
    ),
}


def _rules() -> Iterator[Rule]:
    for zib in KINDS:
        if zib != "Z-PAT":
            guard = {"Z-LAB": "code", "Z-VIT": "code", "Z-SOC": "code", "Z-VAC": "lot"}.get(zib, "")
            if zib != "Z-IMG":
                options = {"guard": guard} if guard else {}
                yield Rule(f"{zib}.identifier", zib, "identity", "identifier", _SPEC, options)
            yield Rule(f"{zib}.origin", zib, "identity", "origin", "integration §3, L2")
    yield from _MORE


_MORE = (
    Rule("Z-ALL.withdrawal", "*", "order", "withdrawal", "integration R5; decision 27"),
    Rule("Z-PRC.accession", "Z-PRC", "identity", "accession", _SPEC),
    Rule("Z-PRC.report", "Z-PRC", "identity", "report", _SPEC),
    Rule("Z-VAC.lot", "Z-VAC", "identity", "lot", "integration R10", {"guard": "code"}),
    Rule("Z-LAB.specimen", "Z-LAB", "identity", "specimen", _SPEC, {"guard": "outcome"}),
    Rule("Z-DOC.document", "Z-DOC", "identity", "document", _SPEC),
    Rule("Z-DOC.bytes", "Z-DOC", "identity", "bytes", _SPEC),
    Rule("Z-IMG.study", "Z-IMG", "identity", "study", _SPEC),
    Rule("Z-PRB.possible", "Z-PRB", "possible", "problem", _SPEC, {"days": 90}),
    Rule("Z-ALG.possible", "Z-ALG", "possible", "agent", _SPEC),
    Rule("Z-MED.product", "Z-MED", "possible", "product", _SPEC),
    Rule("Z-MED.treatment", "Z-MED", "possible", "treatment", _SPEC),
    Rule("Z-PRC.possible", "Z-PRC", "possible", "procedure", _SPEC),
    Rule("Z-PRC.fulfils", "Z-PRC", "possible", "fulfils", "integration R20", {"days": 366}),
    Rule("Z-VAC.possible", "Z-VAC", "possible", "dose", _SPEC),
    Rule("Z-LAB.possible", "Z-LAB", "possible", "measurement", _SPEC),
    Rule("Z-VIT.possible", "Z-VIT", "possible", "measurement", _SPEC),
    Rule("Z-LAB.day", "Z-LAB", "possible", "day", "integration R15"),
    Rule("Z-VIT.day", "Z-VIT", "possible", "day", "integration R15"),
    Rule("Z-ENC.possible", "Z-ENC", "possible", "contact", _SPEC, {"minutes": 15}),
    Rule("Z-DOC.possible", "Z-DOC", "possible", "document", _SPEC),
    Rule("Z-IMG.possible", "Z-IMG", "possible", "accession", _SPEC),
    Rule("Z-DIR.possible", "Z-DIR", "possible", "topic", _SPEC),
    Rule("Z-SOC.possible", "Z-SOC", "possible", "topic", _SPEC),
    Rule("Z-PRB.parent", "Z-PRB", "possible", "parent", _SPEC),
    Rule("Z-ALG.parent", "Z-ALG", "possible", "parent", "integration R7"),
    Rule("Z-PRB.order", "Z-PRB", "order", "verification", _SPEC, {"last": ["refuted"]}),
    Rule(
        "Z-ALG.active",
        "Z-ALG",
        "order",
        "status",
        _SPEC,
        {"element": "clinicalStatus", "first": ["active"], "last": ["inactive", "resolved"]},
    ),
    Rule("Z-ALG.order", "Z-ALG", "order", "verification", _SPEC, {"last": ["refuted"]}),
    Rule(
        "Z-ALG.criticality",
        "Z-ALG",
        "order",
        "status",
        _SPEC,
        {"element": "criticality", "first": ["high", "unable-to-assess"]},
    ),
    Rule(
        "Z-PRC.order",
        "Z-PRC",
        "order",
        "status",
        _SPEC,
        {"element": "status", "first": ["completed", "in-progress", "preparation"]},
    ),
    Rule("Z-VAC.order", "Z-VAC", "order", "administered", _SPEC),
    Rule(
        "Z-LAB.order",
        "Z-LAB",
        "order",
        "status",
        _SPEC,
        {"element": "status", "ranks": {"corrected": 0, "amended": 0, "final": 1}},
    ),
    Rule(
        "Z-VIT.order",
        "Z-VIT",
        "order",
        "status",
        _SPEC,
        {"element": "status", "ranks": {"corrected": 0, "amended": 0, "final": 1}},
    ),
    Rule(
        "Z-ENC.order",
        "Z-ENC",
        "order",
        "status",
        _SPEC,
        {"element": "status", "first": ["finished", "in-progress"]},
    ),
    Rule("Z-DOC.order", "Z-DOC", "order", "replaces", _SPEC),
    Rule("Z-IMG.order", "Z-IMG", "order", "instances", _SPEC),
    *(
        Rule(f"{zib}.{name}", zib, "conflict", "attribute", _SPEC, {"element": element})
        for zib, name, element in (
            ("Z-PRB", "status", "clinicalStatus"),
            ("Z-PRB", "verification", "verificationStatus"),
            ("Z-PRB", "code", "code"),
            ("Z-ALG", "status", "clinicalStatus"),
            ("Z-ALG", "verification", "verificationStatus"),
            ("Z-ALG", "severity", "criticality"),
            ("Z-ALG", "code", "code"),
            ("Z-MED", "status", "status"),
            ("Z-PRC", "code", "code"),
            ("Z-VAC", "code", "code"),
            ("Z-DIR", "status", "status"),
            ("Z-SOC", "value", "valueCodeableConcept"),
        )
    ),
    Rule("Z-ALG.absence", "Z-ALG", "conflict", "absence", "integration R6"),
    Rule("Z-ALG.between", "Z-ALG", "conflict", "between", "integration R8, R9"),
    Rule("Z-PRB.between", "Z-PRB", "conflict", "between", "integration §6, Z-PRB"),
    Rule("Z-LAB.value", "Z-LAB", "conflict", "outcome", "integration R14"),
    Rule("Z-VIT.value", "Z-VIT", "conflict", "outcome", _SPEC),
    Rule("Z-DIR.contrary", "Z-DIR", "conflict", "directive", "integration R21"),
    Rule("Z-PAT.person", "Z-PAT", "conflict", "person", "integration R22"),
)

# what a situation has no use for once it is so many days old, by kind
SITUATIONS: dict[str, dict[str, int]] = {"acute": {"Z-LAB": 365}}
DEFAULT = Policy(f"{CANON}/policy/reconciliation", "1", tuple(_rules()), LISTS, SITUATIONS)
_PARTS = frozenset({"uri", "version", "rules", "lists", "situations"})


def without(policy: Policy, rule: str) -> Policy:
    """The same policy less one rule."""
    return replace(policy, rules=tuple(r for r in policy.rules if r.id != rule))


def changed(told: object, policy: Policy = DEFAULT) -> Policy:
    """The policy with the changes of an operator's file.

    `rules` maps the id of a rule to `false` or to options that replace its own, `lists` the name
    of a list to its codes, `situations` that of a situation to days by kind; `uri` and `version`
    name the outcome. Raises LdnError(invalid) for what is not there: a policy that silently does
    less is worse than none.
    """
    if not isinstance(told, Mapping) or set(told) - _PARTS:
        raise LdnError(Issue.INVALID, f"a policy holds {', '.join(sorted(_PARTS))} only")
    rows, lists, situations = (told.get(name, {}) for name in ("rules", "lists", "situations"))
    if not all(isinstance(part, Mapping) for part in (rows, lists, situations)):
        raise LdnError(Issue.INVALID, "rules, lists and situations of a policy are objects")
    unknown = [*(set(rows) - {r.id for r in policy.rules}), *(set(lists) - set(policy.lists))]
    if unknown:
        raise LdnError(Issue.INVALID, f"the policy knows no {', '.join(sorted(unknown))}")
    return Policy(
        uri=str(told.get("uri", policy.uri)),
        version=str(told.get("version", f"{policy.version}+own" if told else policy.version)),
        rules=tuple(new for rule in policy.rules if (new := _row(rule, rows.get(rule.id, True)))),
        lists={**policy.lists, **{name: frozenset(map(str, v)) for name, v in lists.items()}},
        situations={**policy.situations, **situations},
    )


def _row(rule: Rule, told: Any) -> Rule | None:
    if told is False:
        return None
    if told is True:
        return rule
    if not isinstance(told, Mapping):
        raise LdnError(Issue.INVALID, f"{rule.id}: say false, or the options that change")
    return replace(rule, options={**rule.options, **told})
