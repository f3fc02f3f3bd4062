"""The catalogue of audit events, as data: what each code means in FHIR and what it needs.

Source: specification of audit events §8.4, §8.6; IHE BALP; DICOM PS3.16; ISO 21089 in FHIR R4.
"""

from dataclasses import dataclass

TERMS = "http://terminology.hl7.org/CodeSystem"
BALP = "https://profiles.ihe.net/ITI/BALP"
SYSTEMS = {
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "AET": f"{TERMS}/audit-event-type",
    "RI": "http://hl7.org/fhir/restful-interaction",
    "LC": f"{TERMS}/iso-21089-lifecycle",
    "PT": f"{TERMS}/v3-ParticipationType",
    "RC": f"{TERMS}/v3-RoleClass",
    "PPT": f"{TERMS}/provenance-participant-type",
    "UAT": f"{BALP}/CodeSystem/UserAgentTypes",
    "BAE": f"{BALP}/CodeSystem/BasicAuditEntityType",
    "AZ": f"{BALP}/CodeSystem/AuthZsubType",
    "AE": f"{TERMS}/audit-entity-type",
    "OR": f"{TERMS}/object-role",
    "ES": f"{TERMS}/extra-security-role-type",
    "ST": f"{TERMS}/security-source-type",
    "SCT": "http://snomed.info/sct",
    "ITI": "urn:ihe:event-type-code",
    "XCA": "urn:ihe:iti:xca:2010",
    "RT": "http://hl7.org/fhir/resource-types",
}


@dataclass(frozen=True)
class Row:
    """One row: a code, who writes it, and what its AuditEvent is made of.

    In `agents` and `entities` a word with `?` may be absent; the others must be there.
    """

    code: str
    by: str  # R asks, H holds, X index, Y pseudonyms, A tokens, L directory, W portal, D data desk
    profile: str  # of BALP, claimed on success; empty = none
    type: str
    subtypes: tuple[str, ...]  # "RI#*" = the interaction of the event
    action: str  # "E/R" = R when the interaction is a read
    agents: tuple[str, ...]
    entities: tuple[str, ...]
    checks: str  # when the event does not say; empty = the event must say
    spooled: bool = False  # whether it may wait on disk while the store is away


def _row(*words: str, spooled: bool = False) -> Row:
    code, by, profile, kind, subtypes, action, agents, entities, checks = words
    several = (tuple(subtypes.split()), action, tuple(agents.split()), tuple(entities.split()))
    return Row(code, by, profile, kind, *several, checks, spooled)


_ALERT, _LOGIN = "DCM#110113", "DCM#110114"
_ASKED = "client server user? responsible? userorg"
_CALLED = "client server userorg"
_PUSHED = "client server clerk user? responsible? userorg?"
_FULL = ""  # the four positions are known where it happens
_PATIENT = "IHE.BasicAudit.Patient"
_DISCLOSED = "IHE.BasicAudit.PrivacyDisclosure"

_ROWS = (
    _row("token-issued", "A", "IHE.IUA.71", _LOGIN, "ITI#ITI-71", "E",
         "client authserver user?", "request", "----"),
    _row("token-refused", "A", "", _LOGIN, "ITI#ITI-71", "E",
         "client authserver user?", "request", "F---"),
    _row("login", "W", "", _LOGIN, "DCM#110122", "E",
         "user client server", "", "----"),
    _row("logout", "W", "", _LOGIN, "DCM#110123", "E",
         "user client server", "", "----"),
    _row("credential-verified", "A", "", "LC#verify", "", "E",
         "client authorizer", "data", "T---"),
    _row("credential-refused", "A", "", "LC#verify", "", "E",
         "client authorizer", "data", "F---"),
    _row("authorization-decision", "H", "IHE.BasicAudit.AuthZconsent", _ALERT, "AZ#*", "E",
         "client user? userorg authorizer", "patient? consent? token?", _FULL),
    _row("consent-question", "H", "", "DCM#110112", "LC#verify", "E",
         "client server user? userorg", "patient consent transaction?", _FULL),
    _row("consent-subscribed", "H", f"{_PATIENT}Create", "AET#rest", "RI#create", "C",
         "client server", "patient data", "----"),
    _row("consent-recorded", "HW", f"{_PATIENT}Create", "AET#rest", "RI#create", "C",
         "client server user? responsible?", "patient data", "----"),
    _row("consent-withdrawn", "HW", f"{_PATIENT}Update", "AET#rest", "RI#update", "U",
         "client server user? responsible?", "patient data", "----"),
    _row("pseudonym-requested", "RH", "", "LC#pseudonymize", "", "E",
         "client server user?", "patient? transaction?", "T---"),
    _row("pseudonym-evaluated", "Y", "", "LC#pseudonymize", "", "E",
         "client userorg server", "data", "T---"),
    _row("pseudonym-refused", "Y", "", "LC#pseudonymize", "", "E",
         "client userorg server", "data", "F---"),
    _row("localization-registered", "HX", f"{_PATIENT}Create", "AET#rest", "RI#create", "C",
         _CALLED, "patient data", "T---"),
    _row("localization-removed", "HX", f"{_PATIENT}Delete", "AET#rest", "RI#delete", "D",
         _CALLED, "patient data", "T---"),
    _row("localization-removed-all", "HX", f"{_PATIENT}Delete", "AET#rest", "RI#delete", "D",
         _CALLED, "patient? data?", "T---"),
    _row("localization-queried", "RX", f"{_PATIENT}Query", "AET#rest", "RI#search-type", "E",
         "client server user? userorg", "transaction? query patient", "T---"),
    _row("localization-denied", "X", "", _ALERT, "DCM#110132", "E",
         "client userorg server", "data", "F---"),
    _row("directory-written", "L", "IHE.BasicAudit.Create", "AET#rest", "RI#*", "C/U",
         _CALLED, "data", "T---", spooled=True),
    _row("directory-synced", "RH", "", "AET#rest", "RI#history-type", "R",
         "client server", "data", "----", spooled=True),
    _row("data-requested", "R", f"{_PATIENT}Query", "AET#rest", "RI#* LC#receive", "E/R",
         f"{_ASKED} holder", "transaction? asked? patient?", "----"),
    _row("data-served", "H", f"{_PATIENT}Query", "AET#rest", "RI#* LC#disclose", "E/R",
         _ASKED, "transaction? asked? patient?", "----"),
    _row("data-pushed", "H", f"{_DISCLOSED}.Source", "DCM#110106", "LC#disclose", "R",
         _PUSHED, "patient data transaction?", _FULL),
    _row("data-received", "R", f"{_DISCLOSED}.Recipient", "DCM#110107", "LC#disclose", "C",
         "client server user? userorg", "patient data transaction?", "T---"),
    _row("task-offered", "RH", f"{_PATIENT}Create", "AET#rest", "RI#create", "C",
         "client server user? userorg", "patient? data transaction?", "T---"),
    _row("task-changed", "RH", f"{_PATIENT}Update", "AET#rest", "RI#update", "U",
         "client server user? userorg", "patient? data transaction?", "T---"),
    _row("notification-sent", "H", "IHE.BasicAudit.Create", "AET#rest", "RI#create", "C",
         _CALLED, "data transaction?", "T---"),
    _row("notification-received", "R", "IHE.BasicAudit.Create", "AET#rest", "RI#create", "C",
         _CALLED, "data transaction?", "T---"),
    _row("delivery-changed", "RH", "", "AET#rest", "RI#update", "U",
         "client server user? userorg", "data transaction?", "T---"),
    _row("emergency-started", "RH", "", _ALERT, "DCM#110127", "E",
         "user userorg client server", "patient data transaction?", "--FT"),
    _row("emergency-ended", "RH", "", _ALERT, "DCM#110138", "E",
         "user userorg client server", "patient data transaction?", "--FT"),
    _row("emergency-reviewed", "RH", "", _ALERT, "DCM#110137", "E",
         "server", "patient data", "T--T"),
    _row("record-viewed", "W", "", "DCM#110110", "LC#access", "R",
         "user responsible? userorg client server", "patient data transaction?", _FULL),
    _row("citizen-viewed", "WH", f"{_PATIENT}Query", "AET#rest", "RI#*", "E/R",
         "client server user responsible?", "patient asked", "T---"),
    _row("record-exported", "W", f"{_DISCLOSED}.Source", "DCM#110106", "LC#disclose", "R",
         _PUSHED, "patient data", _FULL),
    _row("message-transformed", "RH", "", "LC#transform", "", "E",
         "server", "patient? data", "----"),
    _row("signature-made", "*", "", "LC#attest", "", "E",
         "server client? userorg", "data", "T---"),
    _row("signature-verified", "*", "", "LC#verify", "", "E",
         "server client? userorg", "data", "T---"),
    _row("signature-refused", "*", "", "LC#verify", "", "E",
         "server client? userorg", "data", "F---"),
    _row("crossborder-served", "H", f"{_PATIENT}Query", "AET#rest", "RI#* LC#disclose", "E/R",
         f"{_ASKED} community", "transaction? asked patient", _FULL),
    _row("research-delivered", "DH", "", "DCM#110106", "LC#disclose LC#deidentify", "R",
         "client server clerk authorizer", "data", "T---"),
    _row("audit-read", "*", "", "DCM#110101", "", "R",
         "client server user? userorg?", "transaction? query patient?", "T---"),
    _row("node-started", "*", "", "DCM#110100", "DCM#110120", "E",
         "server", "", "----", spooled=True),
    _row("node-stopped", "*", "", "DCM#110100", "DCM#110121", "E",
         "server", "", "----", spooled=True),
    _row("audit-started", "*", "", _ALERT, "DCM#110134", "E",
         "server", "", "----", spooled=True),
    _row("audit-stopped", "*", "", _ALERT, "DCM#110133", "E",
         "server", "", "----", spooled=True),
    _row("policy-changed", "*", "", _ALERT, "DCM#110129", "U",
         "user? server", "data", "T---", spooled=True),
    _row("role-changed", "*", "", _ALERT, "DCM#110136", "U",
         "user? server", "data", "T---", spooled=True),
    _row("key-changed", "*", "", _ALERT, "DCM#110137", "U",
         "user? server", "data", "T---", spooled=True),
    _row("trust-changed", "*", "", _ALERT, "DCM#110129", "U",
         "user? server", "data", "T---", spooled=True),
    _row("direct-access", "*", "", _ALERT, "DCM#110132", "E",
         "user server", "data", "F---", spooled=True),
)  # fmt: skip
ROWS = {row.code: row for row in _ROWS}
# what a citizen is shown of a log (§8.8)
SHOWN = (
    *("data-requested", "data-served", "data-pushed", "data-received", "record-viewed"),
    *("record-exported", "citizen-viewed", "crossborder-served", "research-delivered"),
    *("emergency-started", "emergency-ended"),
)
# Which way data flow decides what client and server are called: BALP turns it for queries.
_SOURCE, _DESTINATION, _PROGRAM = "DCM#110153", "DCM#110152", "DCM#110150"
ROLES = {
    "send": {"client": _SOURCE, "server": _DESTINATION},
    "read": {"client": _DESTINATION, "server": _SOURCE},
    "delete": {"client": _PROGRAM, "server": "PPT#custodian"},
    "decide": {"client": _PROGRAM, "server": _DESTINATION},
}
_DELETING = frozenset({"localization-removed", "localization-removed-all"})
_DECIDING = frozenset({_ALERT, _LOGIN, "LC#verify", "DCM#110100"})
_WRITING = frozenset("CUD")


def roles(row: Row, interaction: str) -> dict[str, str]:
    """What the client and the server are in this row: `{"client": "DCM#110153", …}`."""
    if row.code in _DELETING:
        return ROLES["delete"]
    if row.type in _DECIDING:
        return ROLES["decide"]
    reads = "RI#*" in row.subtypes and interaction in {"read", "vread"}
    return ROLES["read" if reads else "send"]


def action_of(row: Row, interaction: str) -> str:
    """The action code: of a row that has two, the second is for a read or an update."""
    first, _, second = row.action.partition("/")
    return second if second and interaction in {"read", "vread", "update"} else first


def writes(row: Row, interaction: str) -> bool:
    """Whether the person is the author of what was written, and not a recipient of data."""
    return row.type == "AET#rest" and action_of(row, interaction) in _WRITING
