"""What becomes of each part and each step of an offer, dialect by dialect.

The rows that are not carried whole are what a vendor of that dialect has to change or do without.
Source: exchange patterns §3.2, §2.9.
"""

from openldn.patterns.dialects.model import Carriage, Cell
from openldn.patterns.notified_pull.states import (
    ACCEPT,
    AGREE,
    CANCEL,
    COMPLETE,
    ELAPSE,
    FAIL,
    OFFER,
    PROPOSE,
    RECEIVE,
    REJECT,
    RETRACT,
    SELECT,
    START_WORK,
)


def _carried(how: str, limits: str = "") -> Cell:
    return Cell(Carriage.CARRIED, how, limits)


def _kept(how: str) -> Cell:
    return Cell(Carriage.NOT_SENT, how)


def _wordless(how: str) -> Cell:
    return Cell(Carriage.NOT_EXPRESSIBLE, how)


_EACH = {
    "id": _carried("Task.id"),
    "identifier": _carried("Task.identifier, system urn:ietf:rfc:3986"),
    "placer": _carried("Task.requester"),
    "fulfiller": _carried("Task.owner"),
    "exchange": _carried("Task.code"),
    "use_case": _carried("Task.code"),
    "created": _carried("Task.authoredOn"),
    "changed": _carried("Task.lastModified"),
    "version": _carried("Task.meta.versionId"),
    "table": _carried("Task.code implies it", "an offer that goes by the states of another code"),
    "focus": _kept("STU3 has no ServiceRequest; the code of the Task says what is asked"),
    "patient": _carried("Task.for.reference, without BSN"),
    "group": _wordless("candidates are not told of each other; each has an offer of its own"),
    "queries": _carried("Task.input, one for each, typed by LOINC or SNOMED CT"),
    "resources": _carried("Task.input, one for each"),
    "authorization": _carried("input authorization-base of the notification"),
    "service": _carried("extension task-stu3-healthcareservice (TA Routing)"),
    "location": _carried("extension task-stu3-location (TA Routing)"),
    "reason": _carried("Task.statusReason"),
    "note": _carried("Task.note"),
    "expires": _carried("Task.restriction.period.end"),
}

_STATE = _carried(
    "Task.status of the workflow Task", "received, counter-proposed, selected, failed, mistaken"
)
TWIIN = {
    **_EACH,
    "id": _carried("Task.basedOn and groupIdentifier; Task.id of the workflow Task"),
    "placer": _carried("Task.requester.onBehalfOf"),
    "state": _STATE,
    "proposed": _wordless("a second note says the date to a person"),
}
NUTS = {
    **TWIIN,
    "authorization": _carried(
        "authorization-base of the notification: the credential for the workflow Task"
    ),
}
TRANSFER = {
    **_EACH,
    "state": _carried("Task.status, counter-proposed as on-hold", "selected, failed, mistaken"),
    "placer": _carried("Task.requester.agent"),
    "queries": _wordless("it offers Compositions, no searches"),
    "authorization": _kept("the right is a record at who sends, found by Task and receiver"),
    "reason": _carried("Task.statusReason", "while another date is proposed or agreed with a note"),
    "note": _carried("Task.note; with another date, Task.statusReason.text"),
    "proposed": _carried("output alternativeDate", "its end"),
    "expires": _wordless("an offer stands until it is withdrawn"),
}
CARE_PLAN = {
    **_EACH,
    "state": _carried("Task.status", "counter-proposed, selected, mistaken"),
    "focus": _carried("Task.focus"),
    "queries": _wordless("the ServiceRequest and the care plan lead to the data"),
    "authorization": _wordless("who is in the care team may read"),
    "service": _wordless("the owner is an organization; its default service is taken"),
    "location": _wordless("the owner is an organization"),
    "proposed": _carried("Task.executionPeriod"),
}
OWN = {
    **{element: _carried("the Coordination Task") for element in _EACH},
    "state": _carried("Task.status and Task.businessStatus"),
    "table": _carried("the code of its ServiceRequest"),
    "proposed": _carried("Task.executionPeriod"),
}

# How each step is told: by who receives (receive to propose), and by who sends.
_NO_RETURN = _kept("no way back: the answer stays with who receives, and who sends asks a person")
_PUT = _carried("PUT of the Task with another status")
_CHANGED = _carried("Task.status, and a notification")
_ENDED = _wordless("told as cancelled, with the reason")
_ALWAYS = {
    OFFER: _carried("the notification"),
    AGREE: _wordless("no other date can be proposed"),
    SELECT: _wordless("no candidates: who was chosen sees an accepted offer"),
    RETRACT: _wordless("told as cancelled"),
}
TWIIN_STEPS = {
    **_ALWAYS,
    RECEIVE: _kept("no counterpart"),
    ACCEPT: _NO_RETURN,
    REJECT: _NO_RETURN,
    PROPOSE: _wordless("a note, and a message to a person"),
    START_WORK: _NO_RETURN,
    COMPLETE: _NO_RETURN,
    FAIL: _NO_RETURN,
    ELAPSE: _kept("the workflow Task shows it; nothing is told"),
    CANCEL: _carried("PUT Task?identifier=…, status cancelled (Twiin-02)"),
}
NUTS_STEPS = {
    **_ALWAYS,
    RECEIVE: _kept("no counterpart"),
    ACCEPT: _PUT,
    REJECT: _PUT,
    PROPOSE: _wordless("a note, and a message to a person"),
    START_WORK: _PUT,
    COMPLETE: _PUT,
    FAIL: _ENDED,
    ELAPSE: _CHANGED,
    CANCEL: _CHANGED,
}
MIXED_STEPS = {**NUTS_STEPS, CANCEL: TWIIN_STEPS[CANCEL]}
TRANSFER_STEPS = {
    **NUTS_STEPS,
    RECEIVE: _kept("known since 4.0, expected by nobody: who sends is not told"),
    PROPOSE: _carried("PUT with status on-hold and output alternativeDate"),
    AGREE: _carried("Task.status requested again, and a notification"),
    START_WORK: _CHANGED,
}
CARE_PLAN_STEPS = {
    **NUTS_STEPS,
    RECEIVE: _PUT,
    PROPOSE: _wordless("only by a sub-Task with questions; told as received with a note"),
    START_WORK: _carried(_PUT.how, "only who receives can start"),
    FAIL: _PUT,
    ELAPSE: _kept("only who receives can complete it"),
}
OWN_STEPS = {event: _carried("PUT or PATCH of the Task, and an event") for event in NUTS_STEPS}
