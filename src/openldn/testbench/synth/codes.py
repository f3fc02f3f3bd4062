"""The codes that the fictitious records use, with the Dutch words a screen shows."""

from dataclasses import dataclass

from openldn.fhir.model import Resource

SCT = "http://snomed.info/sct"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
ATC = "http://www.whocc.no/atc"
PRK = "urn:oid:2.16.840.1.113883.2.4.4.10"
ACT_CODE = "http://hl7.org/fhir/v3/ActCode"


@dataclass(frozen=True)
class Code:
    """One code of a code system with its display text."""

    system: str
    code: str
    display: str

    @property
    def concept(self) -> Resource:
        """The FHIR CodeableConcept."""
        return {"coding": [self.coding], "text": self.display}

    @property
    def coding(self) -> Resource:
        """The FHIR Coding."""
        return {"system": self.system, "code": self.code, "display": self.display}


def sct(code: str, display: str) -> Code:
    """A SNOMED CT code."""
    return Code(SCT, code, display)


def loinc(code: str, display: str) -> Code:
    """A LOINC code."""
    return Code(LOINC, code, display)


# problem, medicine that goes with it (PRK code of the fictitious product, text of use)
HIP_FRACTURE = sct("5913000", "fractuur van collum femoris")
HYPERTENSION = sct("38341003", "hypertensie")
DIABETES = sct("44054006", "diabetes mellitus type 2")
ASTHMA = sct("195967001", "astma")
ATRIAL_FIBRILLATION = sct("49436004", "atriumfibrilleren")
OSTEOARTHRITIS = sct("396275006", "artrose")
DEPRESSION = sct("35489007", "depressieve stoornis")
COPD = sct("13645005", "COPD")

METFORMIN = Code(PRK, "4014", "METFORMINE TABLET 500MG")
LISINOPRIL = Code(PRK, "26670", "LISINOPRIL TABLET 10MG")
SALBUTAMOL = Code(PRK, "1368", "SALBUTAMOL AEROSOL 100MCG/DO")
APIXABAN = Code(PRK, "97675", "APIXABAN TABLET 5MG")
PARACETAMOL = Code(PRK, "67903", "PARACETAMOL TABLET 500MG")
SERTRALINE = Code(PRK, "29262", "SERTRALINE TABLET 50MG")
TIOTROPIUM = Code(PRK, "65293", "TIOTROPIUM INHALATIEPOEDER 18MCG")

PROBLEMS: tuple[tuple[Code, Code, str], ...] = (
    (HYPERTENSION, LISINOPRIL, "1 maal per dag 1 tablet"),
    (DIABETES, METFORMIN, "2 maal per dag 1 tablet, bij de maaltijd"),
    (ASTHMA, SALBUTAMOL, "zo nodig 1 tot 2 inhalaties, maximaal 8 per dag"),
    (ATRIAL_FIBRILLATION, APIXABAN, "2 maal per dag 1 tablet"),
    (OSTEOARTHRITIS, PARACETAMOL, "zo nodig 1 tot 2 tabletten, maximaal 6 per dag"),
    (DEPRESSION, SERTRALINE, "1 maal per dag 1 tablet"),
    (COPD, TIOTROPIUM, "1 maal per dag 1 inhalatie"),
)

PENICILLIN = sct("764146007", "penicilline")
PEANUT = sct("762952008", "pinda")
LATEX = sct("111088007", "latex")
RASH = sct("271807003", "huiduitslag")
ANAPHYLAXIS = sct("39579001", "anafylaxie")
ITCH = sct("418363000", "jeuk")
ALLERGIES: tuple[tuple[Code, str, Code, str], ...] = (
    (PENICILLIN, "medication", RASH, "high"),
    (PEANUT, "food", ANAPHYLAXIS, "high"),
    (LATEX, "environment", ITCH, "low"),
)

INFLUENZA = Code(ATC, "J07BB02", "influenzavaccin")
TETANUS = Code(ATC, "J07AM51", "tetanus- en difterievaccin")
COVID = Code(ATC, "J07BN01", "covid-19-vaccin (mRNA)")
VACCINES = (INFLUENZA, TETANUS, COVID)

# code, unit, low and high of the reference range, decimals
LABORATORY: tuple[tuple[Code, str, str, str], ...] = (
    (loinc("718-7", "hemoglobine"), "mmol/L", "7.5", "10.0"),
    (loinc("2160-0", "creatinine"), "umol/L", "50", "100"),
    (loinc("2823-3", "kalium"), "mmol/L", "3.5", "5.0"),
    (loinc("4548-4", "HbA1c"), "mmol/mol", "20", "42"),
    (loinc("1988-5", "CRP"), "mg/L", "0", "10"),
)

HIP_REPLACEMENT = sct("52734007", "totale heupprothese")
CATARACT_SURGERY = sct("54885007", "extractie van cataract")
APPENDECTOMY = sct("80146002", "appendectomie")
PROCEDURES = (HIP_REPLACEMENT, CATARACT_SURGERY, APPENDECTOMY)

HIP_PROSTHESIS = sct("304120007", "totale heupprothese (implantaat)")
HEARING_AID = sct("6012004", "hoortoestel")
WALKER = sct("705406009", "rollator")
