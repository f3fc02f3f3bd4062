"""Whether a statement still counts, as its issuer tells at the address in the statement.

No source documents the answer's form: it stands in `data/status.json`, marked as not verified.
What we do not understand never counts as good.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import parse
from openldn.fhir.codec.model import Limits
from openldn.trust.documents import Ask, Documents, Terms
from openldn.trust.trail import Rule

KNOWN = Rule("dezi.status", "IG DeziUserCredential, step 3; A14", "its status can be known")
UNREVOKED = Rule("dezi.revoked", "IG DeziUserCredential, step 3; R70", "it was not revoked")

_LIMITS = Limits(size=64 * 1024, depth=4, nodes=50, values=200, digits=20)
_ASK = Ask(accept="application/json")


class _Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    verified: bool
    id: str
    member: str
    counts: tuple[str, ...]
    revoked: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What the issuer says of one statement."""

    id: str
    revoked: bool


@cache
def _form() -> _Form:
    return msgspec.json.decode((files(__package__) / "data/status.json").read_bytes(), type=_Form)


def read(body: bytes, before: Answer | None = None) -> Answer:
    """The answer; what was revoked once stays so, whatever is said later.

    Raises LdnError(invalid) for an answer that we do not understand.
    """
    value = parse(body, _LIMITS)
    form = _form()
    word = value.get(form.member) if isinstance(value, dict) else None
    id_ = value.get(form.id) if isinstance(value, dict) else None
    if not isinstance(id_, str) or word not in (*form.counts, *form.revoked):
        text = "the status of the statement is not one that we understand; its issuer's turn"
        raise LdnError(Issue.INVALID, text, detail="dezi: status form")
    known = before is not None and before.revoked and before.id == id_
    return Answer(id_, known or word in form.revoked)


# Revocation is felt within a minute; a status that is older than that no longer serves.
TERMS = Terms(read, fresh=15, stale=60)


async def counts(url: str, id_: str, documents: Documents) -> bool:
    """Whether the statement with this id was not revoked; raises LdnError when unknown."""
    answer = await documents.get(url, TERMS, _ASK)
    if answer.id != id_:
        text = "the status is that of another statement; its issuer's turn"
        raise LdnError(Issue.INVALID, text, detail="dezi: status id")
    return not answer.revoked
