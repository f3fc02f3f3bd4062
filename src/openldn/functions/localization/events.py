"""What the index tells its streams: event ids of the national index, and no patient.

Source: specification of generic functions §8.9; `pseudonym_hash` is our keyed digest.
"""

from collections.abc import Sequence

from openldn.base.errors import LdnError
from openldn.base.log import emit
from openldn.fhir.identifiers import Ura
from openldn.functions.localization.model import Act, Done, Find, Record, Register, Remove
from openldn.trust.parties import Caller


def told(caller: Caller, act: Act, done: Done, trace: str = "") -> None:
    """Tell what an act came to; `trace` stands for its patient."""
    match act:
        case Register():
            emit("900401" if done.duplicate else "900400", **_who(caller, trace))
        case Remove():
            if done.records:
                emit(_removal(act), **_who(caller, trace), deleted_count=len(done.records))
        case Find(own=False):
            told_localized(caller, done.records, trace)
        case Find() if done.records or not act.filter.id:
            event = "900402" if act.filter.id else "900403"
            emit(event, **_who(caller, trace), result_count=len(done.records))


def told_localized(caller: Caller, records: Sequence[Record], trace: str) -> None:
    """Tell that holders were asked for."""
    event = "900600" if records else "900602"
    emit(event, **_who(caller, trace), result_count=len(records))


def told_failed(caller: Caller, act: Act, error: LdnError) -> None:
    """Tell that an act failed, and why in a word."""
    reason = error.detail or str(error.issue)
    if error.status == 403:
        emit("900405", ura_number=str(caller.organization), endpoint=type(act).__name__)
        return
    event = "900404" if isinstance(act, Register) else "900601"
    facts = {"http_status": error.status, "error_reason": reason, "endpoint": type(act).__name__}
    emit(event, ura_number=str(caller.organization), **facts)


def told_foreign(caller: Caller, custodian: Ura) -> None:
    """Tell that somebody named another organization as the holder."""
    who = {"ura_number": str(caller.organization), "resource_ura": str(custodian)}
    emit("900405", **who, endpoint="Register")


def _removal(act: Remove) -> str:
    if act.filter.id:
        return "900500"
    return "900501" if act.filter.token else "900503"


def _who(caller: Caller, trace: str) -> dict[str, str]:
    return {
        "organization": caller.name,
        "ura_number": str(caller.organization),
        "pseudonym_hash": trace,
    }
