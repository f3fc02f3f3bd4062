"""The fictitious care providers of the network on a laptop."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Member:
    """A fictitious care provider with a node of its own."""

    key: str
    name: str
    kind: str
    infrastructure: str
    ura: str
    agb: str
    type: str = ""  # of care provider, OID 2.16.840.1.113883.2.4.15.1060


# The first five of the transition plan's picture; URAs and AGB codes are of no real provider.
MEMBERS = (
    Member(
        "hospital", "Ziekenhuis De Brug", "hospital", "zorgplatform", "90000001", "06990001", "V4"
    ),
    Member("clinic", "Kliniek Het Veer", "clinic", "lsp", "90000002", "06990002", "Z4"),
    Member(
        "rehabilitation",
        "Revalidatiecentrum De Linde",
        "nursing home",
        "nuts",
        "90000003",
        "47990003",
        "R5",
    ),
    Member(
        "gp",
        "Huisartsenpraktijk Het Plein",
        "general practice",
        "lsp",
        "90000004",
        "01990004",
        "Z3",
    ),
    Member("pharmacy", "Apotheek De Vijzel", "pharmacy", "lsp", "90000005", "02990005", "A1"),
)
# The operator of the directory.
OPERATOR = Member("addressing", "Adressering LDN", "operator", "direct", "90000099", "90990099")
BROKER = Member("broker", "Broker LDN", "operator", "direct", "90000098", "90990098")
# Simulated: the party behind Zorgplatform.
PLATFORM = Member("zorgplatform", "TEST Zorgplatform", "operator", "direct", "90000097", "90990097")
# Simulated: care providers with an existing system, as others meet them.
PARTIES = (
    Member(
        "lsp-party", "TEST LSP Ziekenhuis De Kade", "hospital", "lsp", "90000081", "06990081", "V4"
    ),
    Member(
        "zorgplatform-party",
        "TEST Zorgplatform Ziekenhuis De Toren",
        "hospital",
        "zorgplatform",
        "90000082",
        "06990082",
        "V4",
    ),
    Member(
        "nuts-party",
        "TEST Nuts Verpleeghuis De Beuk",
        "nursing home",
        "nuts",
        "90000083",
        "47990083",
        "R5",
    ),
)
LOCALIZATION = Member(
    "localization", "Lokalisatie LDN", "operator", "direct", "90000096", "90990096"
)
PSEUDONYMS = Member("pseudonyms", "Pseudoniemen LDN", "operator", "direct", "90000095", "90990095")
CONSENT = Member("consent", "Toestemming LDN", "operator", "direct", "90000094", "90990094")
# What every node leans on.
FUNCTIONS = (OPERATOR, LOCALIZATION, PSEUDONYMS, CONSENT, BROKER)
OPERATORS = (*FUNCTIONS, PLATFORM)  # organizations too, for they show certificates
