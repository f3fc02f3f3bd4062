"""Consent at the enforcement point: generic functions §4.5, rules Z10, Z20, E05, G19."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from node.small_network import JANSEN, NOBODY, small_network
from node.test_pull_between_nodes import hospital_records
from node.test_serve import Standing, Visitor, about, requester, visit, why

from openldn.base.errors import Issue, LdnError
from openldn.base.http import Reply, server_context, serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.http import application
from openldn.fhir.model import FhirVersion
from openldn.functions.audit.model import Access
from openldn.functions.authorization.question import Code, Reason
from openldn.functions.consent.model import (
    Answer,
    Basis,
    Decision,
    Disclosure,
    Origin,
)
from openldn.node.consents import said
from openldn.node.serve import Holder, serve_routes
from openldn.trust.tokens.model import Grant, Shown

PERMIT, DENY, UNKNOWN = Decision.PERMIT, Decision.DENY, Decision.UNKNOWN


@dataclass
class Registry:
    """Gives these answers one after the other; the last one stays."""

    says: Sequence[Decision | Exception]
    age: timedelta = timedelta(0)  # of an answer when it is given
    emergency: bool = False
    asked: list[Disclosure] = field(default_factory=list)

    async def __call__(self, disclosure: Disclosure) -> Answer:
        self.asked.append(disclosure)
        said_ = self.says[min(len(self.asked), len(self.says)) - 1]
        if isinstance(said_, Exception):
            raise said_
        passes = self.emergency and disclosure.basis is Basis.EMERGENCY and said_ is UNKNOWN
        at = utc_now() - self.age
        return Answer(said_, Origin.MITZ, "urn:uuid:1", at, emergency=passes)


@dataclass
class Log:
    """An audit log in memory."""

    accesses: list[Access] = field(default_factory=list)

    async def record(self, accesses: Sequence[Access]) -> None:
        self.accesses += accesses


@pytest.fixture(scope="module")
def standing(databases: Databases, pki: Path) -> Iterator[Standing]:
    async def start(stack: AsyncExitStack) -> Visitor:
        network = await stack.enter_async_context(small_network(databases, pki))
        hospital, clinic = await network.node("hospital"), await network.node("clinic")
        await hospital.keep(*hospital_records())
        return Visitor(network, hospital, clinic, network.client("clinic"), "")

    stack = AsyncExitStack()
    with asyncio.Runner() as runner:
        yield Standing(runner, runner.run(start(stack)))
        runner.run(stack.aclose())


def asked(
    standing: Standing,
    registry: Registry,
    query: Sequence[tuple[str, str]] = (),
    purpose: str = "TREAT",
    **changed: Any,
) -> tuple[Reply, Access]:
    """What a question gets where this registry is asked, and the evidence of it."""
    got: list[tuple[Reply, Access]] = []

    async def check(visitor: Visitor) -> None:
        log = Log()
        own: Holder = visitor.hospital.parts.holder
        holder = replace(own, consents=registry, audit=log, **changed)
        app = application(serve_routes(holder), role="test", new_id=new_uuid)
        context = server_context(visitor.hospital.parts.settings.identity)
        async with serving(app, "127.0.0.1", 0, context) as port:
            url = f"https://127.0.0.1:{port}/fhir/STU3/Condition/_search"
            reply = await visitor.post(url, [about(), *query])
        [access] = log.accesses
        got.append((reply, access))

    standing.visit(check, who=requester(purpose=purpose))
    return got[0]


def test_the_question_of_consent_tells_what_is_disclosed_to_whom_and_why(
    standing: Standing,
) -> None:
    registry = Registry([PERMIT])

    async def kind_of(ura: object) -> str:
        return "Z3"

    reply, access = asked(standing, registry, kind="V4", kind_of=kind_of)

    [question] = registry.asked
    assert reply.status == 200
    assert question.patient is not None and question.patient.value == JANSEN
    assert (question.holder.kind, question.requester.kind) == ("V4", "Z3")
    assert (str(question.holder.ura), str(question.requester.ura)) == ("90000001", "90000002")
    assert (question.user.id, question.user.role) == ("900012345", "30.000")
    assert (question.exchange, question.basis, question.purpose) == ("bgz", Basis.EXPLICIT, "TREAT")
    assert access.consent == "mitz-permit/urn%3Auuid%3A1"
    assert access.checks == "TTTF"


def test_consent_is_not_asked_where_the_rest_denies(standing: Standing) -> None:
    registry = Registry([PERMIT])

    reply, access = asked(standing, registry, [("clinical-status", "active")])

    assert reply.status == 403
    assert registry.asked == []
    assert (access.checks, access.consent) == ("FT-F", "")


# What was answered, for which purpose, whether silence may pass: status and the four checks.
OUTCOMES = [
    (PERMIT, "TREAT", False, 200, "TTTF"),
    (DENY, "TREAT", False, 403, "TTFF"),
    (UNKNOWN, "TREAT", False, 403, "TTFF"),
    (LdnError(Issue.TIMEOUT, "late"), "TREAT", False, 403, "TTFF"),
    (TimeoutError(), "TREAT", False, 403, "TTFF"),
    (PERMIT, "ETREAT", False, 200, "TTTT"),
    (DENY, "ETREAT", True, 403, "TTFT"),
    (UNKNOWN, "ETREAT", True, 403, "TTFT"),
    (UNKNOWN, "BTG", True, 200, "TTFT"),
    (PERMIT, "BTG", True, 200, "TTTT"),
    (DENY, "BTG", True, 403, "TTFT"),
    (UNKNOWN, "BTG", False, 403, "TTFT"),
    (TimeoutError(), "BTG", False, 403, "TTFT"),
    (LdnError(Issue.INCOMPLETE, "away"), "ETREAT", False, 403, "TTFT"),
    (TimeoutError(), "ETREAT", False, 403, "TTFT"),
]


@pytest.mark.parametrize(("says", "purpose", "passes", "status", "checks"), OUTCOMES)
def test_g19_z10_the_checks_in_the_evidence_are_the_inputs_of_the_decision(
    standing: Standing,
    says: Decision | Exception,
    purpose: str,
    passes: bool,
    status: int,
    checks: str,
) -> None:
    reply, access = asked(standing, Registry([says], emergency=passes), purpose=purpose)

    assert (reply.status, access.checks) == (status, checks)
    assert access.legal_basis == ("explicit-consent" if purpose == "TREAT" else "emergency")
    assert (access.outcome == "0") is (status == 200)


def test_who_cannot_be_asked_is_told_apart_from_who_knows_nothing(standing: Standing) -> None:
    away, _ = asked(standing, Registry([LdnError(Issue.TIMEOUT, "late")]))
    silent, _ = asked(standing, Registry([UNKNOWN]))

    assert "cannot be asked now" in why(away)
    assert "no consent of the patient is known" in why(silent)


def test_what_is_no_answer_at_all_is_never_a_yes(standing: Standing) -> None:
    async def check(visitor: Visitor) -> None:
        for error in (ValueError("not JSON"), KeyError("decision")):
            holder = replace(visitor.hospital.parts.holder, consents=Registry([error]), audit=Log())
            app = application(serve_routes(holder), role="test", new_id=new_uuid)
            context = server_context(visitor.hospital.parts.settings.identity)
            async with serving(app, "127.0.0.1", 0, context) as port:
                url = f"https://127.0.0.1:{port}/fhir/STU3/Condition/_search"
                reply = await visitor.post(url, [about()])
            assert reply.status == 500
            assert b"Condition" not in reply.body

    standing.visit(check)


def test_a_consent_withdrawn_while_we_searched_holds_for_the_answer_under_way(
    standing: Standing,
) -> None:
    old = timedelta(seconds=6)

    reply, access = asked(standing, Registry([PERMIT, DENY], age=old))

    assert reply.status == 403
    assert b"Condition" not in reply.body
    assert why(reply) == "refused: the patient objects"
    assert (access.outcome, access.checks, access.count) == ("8", "TTFF", 0)
    assert access.consent == "mitz-deny/urn%3Auuid%3A1"


def test_a_fresh_answer_is_not_asked_twice_and_one_that_still_holds_passes(
    standing: Standing,
) -> None:
    fresh, old = Registry([PERMIT, DENY]), Registry([PERMIT], age=timedelta(seconds=6))

    assert asked(standing, fresh)[0].status == 200
    assert asked(standing, old)[0].status == 200
    assert (len(fresh.asked), len(old.asked)) == (1, 2)


class Untouched:
    """A source that must not be asked."""

    async def search(self, wanted: object) -> None:
        raise AssertionError("the source was asked")


def test_without_consent_the_source_is_not_touched(standing: Standing) -> None:
    sources = dict.fromkeys(FhirVersion, Untouched())

    for says in (DENY, UNKNOWN):
        assert asked(standing, Registry([says]), sources=sources)[0].status == 403


@pytest.mark.parametrize(("says", "status"), [(PERMIT, 200), (UNKNOWN, 403), (DENY, 403)])
def test_z20_a_referral_is_decided_by_the_consent_that_is_bound_to_it(
    standing: Standing, says: Decision, status: int
) -> None:
    registry = Registry([says])
    verify = standing.visitor.hospital.parts.holder.verify

    async def referred(shown: Shown) -> Grant:
        return replace(await verify(shown), authorization_base="Task/7")

    reply, access = asked(standing, registry, verify=referred)

    [question] = registry.asked
    assert (question.basis, question.task) == (Basis.IMPLIED, "Task/7")
    assert (reply.status, access.legal_basis) == (status, "implied-consent")


def test_the_organizations_own_policy_may_deny_what_consent_allows(standing: Standing) -> None:
    seen: list[Mapping[str, Any]] = []

    async def own(document: Mapping[str, Any]) -> tuple[Reason, ...]:
        seen.append(document)
        return (Reason(Code.NOT_ALLOWED, "not on Sundays", "own"),)

    reply, access = asked(standing, Registry([PERMIT]), own=own)

    assert (reply.status, access.outcome) == (403, "8")
    assert why(reply) == "refused: not on Sundays"
    assert seen[0]["context"]["patient_bsn"] == JANSEN
    assert seen[0]["action"]["fhir_rest"]["interaction_type"] == "search-type"
    assert NOBODY not in str(seen)


def test_the_organizations_own_policy_is_not_asked_about_what_is_denied_already(
    standing: Standing,
) -> None:
    async def own(document: Mapping[str, Any]) -> tuple[Reason, ...]:
        raise AssertionError("asked")

    assert asked(standing, Registry([DENY]), own=own)[0].status == 403


def test_a_node_takes_its_own_policy_from_its_settings(
    databases: Databases, pki: Path, tmp_path: Path
) -> None:
    pytest.importorskip("regopy")
    own = tmp_path / "own.rego"
    head = "package openldn.own\nimport rego.v1\n"
    own.write_text(f'{head}deny contains "no flags" if input.resource.type == "Flag"\n')

    async def check(visitor: Visitor) -> None:
        refused = await visitor.post("Flag/_search", [about()])
        assert (refused.status, why(refused)) == (403, "refused: no flags")
        [event] = await visitor.hospital.events(visitor.correlation, "data-served")
        assert event["outcomeDesc"] == "refused: no flags"
        assert (await visitor.post("Condition/_search", [about()])).status == 200

    visit(databases, pki, check, own_policy=own, own_patience=20.0)

    own.write_text(f"{head}deny := 7\n")
    with pytest.raises(LdnError) as broken:
        visit(databases, pki, check, own_policy=own)
    assert "own.rego" in broken.value.message


def test_an_answer_is_named_by_who_gave_it_what_it_says_and_its_id() -> None:
    now = utc_now()

    assert said(Answer(DENY, Origin.LOCAL, "Consent/1", now)) == "local-deny/Consent%2F1"
    assert said(Answer(PERMIT, Origin.REGISTRY, "", now)) == "registry-permit"
    assert said(Answer(UNKNOWN, Origin.MITZ, "x", now)) == ""
    assert said(None) == ""
