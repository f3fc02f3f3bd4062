"""Who calls a national service: only a gateway says it."""

import pytest

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Ura
from openldn.trust.parties import CALLER, Caller, caller_of


def test_without_a_gateway_nobody_calls() -> None:
    with pytest.raises(LdnError) as refused:
        caller_of({"headers": [(b"x-gf-sub", b"90000001")]})
    assert refused.value.issue is Issue.LOGIN


def test_a_scope_that_was_not_given_is_named() -> None:
    caller = Caller(Ura("90000001"), frozenset({"nvi:read"}))
    caller_of({CALLER: caller}).need("nvi:read")
    with pytest.raises(LdnError, match="nvi:create") as refused:
        caller.need("nvi:create")
    assert refused.value.issue is Issue.FORBIDDEN
