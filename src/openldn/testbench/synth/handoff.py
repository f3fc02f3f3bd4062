"""What a nurse writes about a patient who goes elsewhere: zibs of nursing, and the two documents.

Source: the STU3 profiles eOverdracht-AdvanceNotice and eOverdracht-NursingHandoff-Adults of
Nictiz (package 1.0.0-rc.23): their sections, the codes of these, and the zibs they may refer to.
"""

from dataclasses import dataclass

from openldn.exchanges.eoverdracht import ADVANCE_NOTICE, HANDOFF, PROFILE
from openldn.fhir.model import Resource
from openldn.testbench.synth.chart import NL_CORE, ZIB, Chart, Site
from openldn.testbench.synth.codes import Code, sct
from openldn.testbench.synth.zibs import observation

MOBILITY = sct("301438001", "vermogen tot mobiliteit")
WASHING = sct("284785009", "vermogen om zichzelf te wassen")
DRESSING = sct("165235000", "vermogen om zichzelf te kleden")
EATING = sct("288883002", "vermogen om te eten")
HELPED = sct("371152001", "geholpen")
ABLE = sct("371153006", "zelfstandig")
PAIN = sct("225908003", "pijnscore")
WOUND_CARE = sct("225358003", "wondzorg")
FALL_PREVENTION = sct("440294002", "maatregelen ter voorkoming van vallen")
EXERCISE = sct("229070002", "oefenen van lopen")

_ABILITIES = (
    ("zib-Mobility", MOBILITY),
    ("zib-AbilityToWashOneSelf", WASHING),
    ("zib-AbilityToDressOneself", DRESSING),
    ("zib-AbilityToEat", EATING),
)


@dataclass(frozen=True)
class Section:
    """A section of a document: its code, and below it the sections with what they refer to."""

    code: Code
    below: tuple[tuple[Code, tuple[str, ...]], ...]  # code, names of profiles


_ADMINISTRATIVE = sct("405624007", "administratieve gegevens")
_PERSONAL = (sct("302147001", "persoonsgegevens"), ("zib-Payer",))
_LIVES = (sct("365512000", "woonsituatie"), ("zib-LivingSituation",))
_STANCE = (sct("108329005", "levensovertuiging en wilsverklaring"), ("zib-AdvanceDirective",))
_DIAGNOSIS = (sct("52870002", "medische diagnose"), ("zib-Problem",))
_ATTENTION = (sct("308813009", "let op"), ("zib-Alert",))
_CARE = Section(
    sct("773130005", "zorgplan"),
    ((sct("86644006", "actuele zorgproblemen"), ("zib-NursingIntervention",)),),
)

ADVANCE_SECTIONS = (
    Section(_ADMINISTRATIVE, (_PERSONAL,)),
    Section(sct("371524004", "medische context"), (_DIAGNOSIS, _ATTENTION)),
    _CARE,
)
HANDOFF_SECTIONS = (
    Section(
        _ADMINISTRATIVE,
        (
            _PERSONAL,
            (
                sct("185362004", "verwijzende organisatie"),
                ("nl-core-organization", "nl-core-practitioner"),
            ),
        ),
    ),
    Section(sct("109481000146101", "algemene context"), (_LIVES, _STANCE)),
    Section(
        sct("371524004", "medische context"),
        (
            _DIAGNOSIS,
            (sct("420134006", "allergie"), ("zib-AllergyIntolerance",)),
            _ATTENTION,
            (
                sct("363788007", "metingen"),
                ("zib-BloodPressure", "zib-BodyWeight", "zib-BodyHeight"),
            ),
            (sct("11011000146108", "pijnscore"), ("zib-PainScore",)),
        ),
    ),
    _CARE,
    Section(
        sct("5531000179105", "gezondheidstoestand"),
        (
            (sct("365178001", "zelfzorg"), tuple(name for name, _ in _ABILITIES[1:])),
            (sct("364832000", "mobiliteit"), ("zib-Mobility", "zib-MedicalDevice")),
            (sct("300893006", "voeding en vocht"), ("zib-NutritionAdvice",)),
        ),
    ),
)


def nursing(chart: Chart, days_ago: int, pain: int, *interventions: Code) -> None:
    """What the nurse observes and does: abilities, pain, interventions."""
    for number, (profile, code) in enumerate(_ABILITIES):
        found = ABLE if number == len(_ABILITIES) - 1 else HELPED
        observation(chart, profile, code, days_ago, {"valueCodeableConcept": found.concept})
    observation(chart, "zib-PainScore", PAIN, days_ago, {"valueQuantity": {"value": pain}})
    for code in interventions:
        intervention(chart, code, days_ago)


def intervention(chart: Chart, code: Code, days_ago: int) -> Resource:
    """Something the nurse does (zib NursingIntervention)."""
    content = {
        "status": "in-progress",
        "category": sct("9632001", "verpleegkundige verrichting").concept,
        "code": code.concept,
        "subject": chart.patient,
        "performedPeriod": {"start": chart.moment(days_ago)},
    }
    return chart.add("Procedure", "zib-NursingIntervention", content)


def advance_notice(chart: Chart, receiver: Site, in_days: int) -> Resource:
    """The document that announces a patient (aanmeldbericht); goes in so many days."""
    kind = Code(ADVANCE_NOTICE.system, ADVANCE_NOTICE.code, "aanmeldbericht")
    document = _Document(f"{PROFILE}AdvanceNotice", kind, "Aanmeldbericht", ADVANCE_SECTIONS)
    return _compose(chart, document, f"{chart.person.key}-advance-notice", receiver, in_days)


def handoff(chart: Chart, receiver: Site, in_days: int) -> Resource:
    """The document that hands an adult over (overdrachtsbericht)."""
    kind = Code(HANDOFF.system, HANDOFF.code, "verslag van verpleegkundige overdracht")
    document = _Document(
        f"{PROFILE}NursingHandoff-Adults", kind, "Overdrachtsbericht", HANDOFF_SECTIONS
    )
    return _compose(chart, document, f"{chart.person.key}-handoff", receiver, in_days)


@dataclass(frozen=True)
class _Document:
    profile: str
    kind: Code
    title: str
    sections: tuple[Section, ...]


def _compose(chart: Chart, document: _Document, id: str, receiver: Site, in_days: int) -> Resource:
    sections = [found for s in document.sections if (found := _section(chart, s))]
    administrative = sections[0]
    administrative["extension"] = [
        {"url": f"{PROFILE}TransferDate", "valueDateTime": chart.day(-in_days)}
    ]
    if document.sections is HANDOFF_SECTIONS:
        to = {"code": sct("275645009", "ontvangende organisatie").concept}
        administrative["section"].append({**to, "entry": [chart.known(receiver)]})
    content = {
        "status": "final",
        "type": document.kind.concept,
        "subject": chart.patient,
        "date": chart.moment(0),
        "author": [chart.doctor],
        "title": document.title,
        "custodian": chart.organization,
        "section": sections,
    }
    return chart.add("Composition", document.profile, content, id=id)


def _section(chart: Chart, section: Section) -> Resource:
    """The section with what the record has for it; empty when it has nothing."""
    below = [
        {"code": code.concept, "entry": entries}
        for code, profiles in section.below
        if (entries := chart.of(*map(_profile, profiles)))
    ]
    return {"code": section.code.concept, "section": below} if below else {}


def _profile(name: str) -> str:
    return f"{NL_CORE if name.startswith('nl-core-') else ZIB}{name}"
