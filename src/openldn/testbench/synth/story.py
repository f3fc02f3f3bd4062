"""Mrs Jansen: fell with her bicycle, broke her hip, was operated on and goes to rehabilitation.

Source: the story that runs through the transition plan of the nationwide network.
"""

from datetime import date

from openldn.fhir.identifiers import Bsn
from openldn.fhir.model import Resource
from openldn.testbench.members import MEMBERS, Member
from openldn.testbench.placed import Placed
from openldn.testbench.synth import circumstances as life
from openldn.testbench.synth import codes, handoff, zibs
from openldn.testbench.synth.chart import Chart, Site
from openldn.testbench.synth.codes import sct
from openldn.testbench.synth.people import Person

JANSEN = Person(
    key="jansen",
    bsn=Bsn.parse("999911120"),
    given="Johanna",
    family="Jansen",
    gender="female",
    born=date(1951, 4, 17),
    town="Zwolle",
    postcode="8011 PK",
    street="Molenlaan",
    number=17,
)
STAFF = {  # key of the care provider -> who signs, UZI number, specialty
    "hospital": ("M. van Dam", "900000011", "traumatoloog"),
    "clinic": ("S. Aydin", "900000022", "oogarts"),
    "rehabilitation": ("L. Prins", "900000033", "specialist ouderengeneeskunde"),
    "gp": ("P. de Groot", "900000044", "huisarts"),
    "pharmacy": ("T. Bakker", "900000055", "apotheker"),
}
SITES = {member.key: Site(member, *STAFF[member.key]) for member in MEMBERS}
LEFT_HIP = sct("287579007", "linkerheup")


def story(today: date) -> list[Placed]:
    """Her records at the five providers, as they stand on this day."""
    charts = {key: Chart(JANSEN, site, today) for key, site in SITES.items()}
    for key, write in (
        ("hospital", _hospital),
        ("hospital", _wishes),
        ("hospital", _plans),
        ("hospital", _discharge),
        ("clinic", _clinic),
        ("rehabilitation", _rehabilitation),
        ("rehabilitation", _back),
        ("gp", _gp),
        ("pharmacy", _pharmacy),
    ):
        write(charts[key])
    return [placed for chart in charts.values() for placed in chart.placed()]


def elsewhere(member: Member, receiver: str, today: date) -> list[Resource]:
    """Her records at a provider outside the story, who hands her over to `receiver` (a key)."""
    chart = Chart(JANSEN, Site(member, "R. Simons", "900000077", "traumatoloog"), today)
    for write in (_hospital, _wishes, _plans):
        write(chart)
    handoff.nursing(chart, 1, 4, handoff.WOUND_CARE, handoff.FALL_PREVENTION)
    handoff.advance_notice(chart, SITES[receiver], 1)
    handoff.handoff(chart, SITES[receiver], 1)
    return chart.resources


def _hospital(chart: Chart) -> None:
    zibs.problem(chart, codes.HIP_FRACTURE, 9)
    zibs.problem(chart, codes.HYPERTENSION, 3650)
    zibs.allergy(chart, *codes.ALLERGIES[0])
    zibs.alert(chart, "verhoogd valrisico", 8)
    zibs.encounter(chart, "ACUTE", 9)
    zibs.encounter(chart, "IMP", 9, days=7)
    zibs.procedure(chart, codes.HIP_REPLACEMENT, 8, LEFT_HIP)
    zibs.device(chart, codes.HIP_PROSTHESIS, 8, LEFT_HIP)
    zibs.medication(chart, codes.PARACETAMOL, "4 maal per dag 2 tabletten", 8)
    zibs.medication(chart, codes.LISINOPRIL, "1 maal per dag 1 tablet", 3600)
    zibs.vaccination(chart, codes.TETANUS, 9)
    for days_ago, pressure in ((9, ("156", "92")), (3, ("138", "84"))):
        zibs.blood_pressure(chart, *pressure, days_ago)
    zibs.weight(chart, "71.5", 9)
    zibs.weight(chart, "70.9", 3)
    zibs.height(chart, "168", 9)
    for days_ago, crp, blood in ((8, "64", "6.9"), (3, "22", "7.3")):
        hemoglobin, creatinine = codes.LABORATORY[0], codes.LABORATORY[1]
        _result(chart, hemoglobin, blood, days_ago)
        _result(chart, creatinine, "81", days_ago)
        _result(chart, codes.LABORATORY[4], crp, days_ago)


def _result(
    chart: Chart, test: tuple[codes.Code, str, str, str], value: str, days_ago: int
) -> None:
    code, unit, low, high = test
    zibs.laboratory(chart, code, zibs.quantity(value, unit), (low, high), days_ago)


def _wishes(chart: Chart) -> None:
    life.coverage(chart, "Zorgverzekeraar De Boog", "9990")
    life.treatment_directive(chart, sct("89666000", "reanimatie"), 9, allowed=False)
    life.advance_directive(chart, 700)
    able = sct("371153006", "zelfstandig")
    helped = sct("371152001", "geholpen")
    life.function(chart, sct("282097004", "vermogen tot lopen"), helped, 3)
    life.function(chart, sct("284774007", "vermogen zich te wassen"), able, 3)
    life.habit(chart, "zib-LivingSituation", life.LIVING, life.SINGLE_FLOOR, 9)
    life.habit(chart, "zib-DrugUse", life.DRUGS, life.NO_DRUGS, 9)
    life.habit(chart, "zib-AlcoholUse", life.ALCOHOL, life.DRINKS, 9)
    life.habit(chart, "zib-TobaccoUse", life.TOBACCO, life.FORMER_SMOKER, 9)
    life.diet(chart, "eiwitrijk", 6)


def _plans(chart: Chart) -> None:
    life.planned_procedure(chart, sct("91251008", "fysiotherapie"), 3)
    life.planned_vaccination(chart, codes.INFLUENZA, 14)
    life.planned_device(chart, codes.WALKER)
    life.appointment(chart, "controle polikliniek traumatologie", 42)
    life.care_team(chart, "traumateam", 9)


def _discharge(chart: Chart) -> None:
    """She goes to rehabilitation tomorrow."""
    handoff.nursing(chart, 1, 4, handoff.WOUND_CARE, handoff.FALL_PREVENTION)
    handoff.advance_notice(chart, SITES["rehabilitation"], 1)
    handoff.handoff(chart, SITES["rehabilitation"], 1)


def _clinic(chart: Chart) -> None:
    zibs.problem(chart, sct("193570009", "cataract"), 500, "resolved")
    zibs.encounter(chart, "AMB", 400)
    zibs.procedure(chart, codes.CATARACT_SURGERY, 390, sct("8966001", "linkeroog"))


def _rehabilitation(chart: Chart) -> None:
    zibs.encounter(chart, "IMP", 1)
    zibs.weight(chart, "70.6", 1)
    life.function(chart, sct("282097004", "vermogen tot lopen"), sct("371152001", "geholpen"), 1)
    life.care_team(chart, "geriatrische revalidatie", 1)


def _back(chart: Chart) -> None:
    """Should the wound get worse, she goes back to hospital."""
    zibs.problem(chart, codes.HIP_FRACTURE, 9)
    handoff.nursing(chart, 0, 6, handoff.WOUND_CARE, handoff.EXERCISE)
    handoff.advance_notice(chart, SITES["hospital"], 0)
    handoff.handoff(chart, SITES["hospital"], 0)


def _gp(chart: Chart) -> None:
    zibs.problem(chart, codes.HYPERTENSION, 3650)
    zibs.problem(chart, codes.OSTEOARTHRITIS, 1800)
    zibs.allergy(chart, *codes.ALLERGIES[0])
    zibs.medication(chart, codes.LISINOPRIL, "1 maal per dag 1 tablet", 3600)
    zibs.vaccination(chart, codes.INFLUENZA, 400)
    zibs.blood_pressure(chart, "144", "86", 60)
    _result(chart, codes.LABORATORY[1], "78", 60)
    life.habit(chart, "zib-TobaccoUse", life.TOBACCO, life.FORMER_SMOKER, 900)


def _pharmacy(chart: Chart) -> None:
    zibs.allergy(chart, *codes.ALLERGIES[0])
    zibs.medication(chart, codes.PARACETAMOL, "4 maal per dag 2 tabletten", 2)
    zibs.medication(chart, codes.LISINOPRIL, "1 maal per dag 1 tablet", 3600)
