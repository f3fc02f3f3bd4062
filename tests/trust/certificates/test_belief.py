"""Whom we believe, and until when. Source: RFC 5280 §6; trust and broker §1, §4, §7.

Rules R60 (no list, no belief), R61 (what is revoked is dead), R62 (issuing authorities only).
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
import structlog
from trust.certificates.served import CRL_FAULTS, ISSUING_NAME, OCSP_FAULTS, Served, authority

from openldn.base.errors import Issue, LdnError
from openldn.trust.certificates.belief import CRL_OR_OCSP, KNOWN, NONE, REVOKED, Belief
from openldn.trust.certificates.chain import CHAIN, Anchors
from openldn.trust.certificates.issue import Shape, create_authority
from openldn.trust.certificates.party import thumbprint
from openldn.trust.evidence import Evidence, Kind
from openldn.trust.trail import Rule, Trail

T = TypeVar("T")
HOURS = 3600.0


def run(folder: Path, scenario: Callable[[Served], Awaitable[T]]) -> T:
    """The scenario against a fresh authority."""

    async def whole() -> T:
        async with authority(folder) as served:
            return await scenario(served)

    return asyncio.run(whole())


async def believed(belief: Belief, served: Served, policy: str = "crl-hard") -> Evidence:
    return await belief.believe(served.chain(), Trail(), policy)


async def refused(belief: Belief, served: Served, rule: Rule, policy: str = "crl-hard") -> LdnError:
    trail = Trail()
    with pytest.raises(LdnError) as caught:
        await belief.believe(served.chain(), trail, policy)
    assert trail.failed is not None and trail.failed.rule is rule, trail.failed
    assert caught.value.issue is Issue.LOGIN
    assert caught.value.detail.startswith(rule.code)
    return caught.value


def test_a_certificate_that_is_not_revoked_is_evidence(tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        trail, chain = Trail(), served.chain()

        evidence = await served.belief().believe(chain, trail)

        assert evidence.kind is Kind.CERTIFICATE
        assert evidence.id == thumbprint(evidence.chain[0])
        assert ISSUING_NAME in evidence.issuer
        assert evidence.expires == chain[0].not_valid_after_utc
        assert evidence.status is not None
        assert evidence.status.url == f"{served.address}/crl/issuing.crl"
        assert [c.rule for c in trail] == [CHAIN, KNOWN, REVOKED]

    run(tmp_path, scenario)


def test_a_revoked_certificate_is_refused(tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        served.revoke()
        await refused(served.belief(), served, REVOKED)
        await refused(served.belief(), served, REVOKED, CRL_OR_OCSP)

    run(tmp_path, scenario)


def test_what_was_believed_dies_once_a_new_list_revokes_it(tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        belief = served.belief()
        evidence = await believed(belief, served)
        assert await belief.still(evidence)

        served.revoke()
        served.clock.advance(31)
        assert await belief.refresh() == 0

        await refused(belief, served, REVOKED)
        assert not await belief.still(evidence)
        await refused(belief, served, REVOKED)

    run(tmp_path, scenario)


def test_others_of_the_same_authority_stay_believed_when_one_is_revoked(tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        belief = served.belief()
        await believed(belief, served)
        served.issue("another")
        served.revoke("another")
        served.clock.advance(31)
        await belief.refresh()

        await believed(belief, served)
        with pytest.raises(LdnError):
            await belief.believe(served.chain("another"), Trail())

    run(tmp_path, scenario)


@pytest.mark.parametrize("fault", CRL_FAULTS)
def test_without_a_sound_list_nobody_is_believed_and_the_log_says_whose_list(
    tmp_path: Path, fault: str
) -> None:
    async def scenario(served: Served) -> None:
        served.faults["/crl"] = fault

        error = await refused(served.belief(), served, KNOWN)

        assert f"{served.address}/crl/issuing.crl" in error.detail
        assert ISSUING_NAME in error.detail
        assert "crl" not in error.message.lower() and "http" not in error.message

    run(tmp_path, scenario)


@pytest.mark.parametrize("fault", CRL_FAULTS)
def test_the_last_good_list_serves_through_faults_but_not_beyond_its_bound(
    tmp_path: Path, fault: str
) -> None:
    async def scenario(served: Served) -> None:
        belief = served.belief()
        evidence = await believed(belief, served)
        served.faults["/crl"] = fault
        served.clock.advance(60)
        if fault != "slow":
            assert await belief.refresh() == 1

        await believed(belief, served)
        served.clock.advance(4 * HOURS)

        await refused(belief, served, KNOWN)
        with pytest.raises(LdnError) as caught:
            await belief.still(evidence)
        assert caught.value.issue is Issue.INCOMPLETE
        assert f"{served.address}/crl/issuing.crl" in caught.value.message
        assert ISSUING_NAME in caught.value.message

    run(tmp_path, scenario)


def test_a_list_serves_no_longer_than_it_says_itself(tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        belief = served.belief(longest=1000 * HOURS)
        await believed(belief, served)
        served.faults["/crl"] = "404"

        served.clock.advance(23 * HOURS)
        await believed(belief, served)
        served.clock.advance(2 * HOURS)

        await refused(belief, served, KNOWN)

    run(tmp_path, scenario)


def test_a_list_from_before_the_revocation_does_not_bring_back_who_was_revoked(
    tmp_path: Path,
) -> None:
    async def scenario(served: Served) -> None:
        belief = served.belief()
        served.recorded = served.revoking.crl()
        served.clock.advance(5)
        served.revoke()
        await refused(belief, served, REVOKED)

        served.faults["/crl"] = "recorded"
        served.clock.advance(60)

        assert await belief.refresh() == 1
        await refused(belief, served, REVOKED)

    run(tmp_path, scenario)


def test_a_stranger_cannot_make_us_fetch(tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        create_authority(tmp_path / "stranger", served.clock)
        belief = Belief(
            Anchors.load(tmp_path / "stranger/ca.pem"), served.documents(), served.clock
        )

        await refused(belief, served, CHAIN)

        assert served.asked == []

    run(tmp_path, scenario)


def test_a_host_that_is_not_in_the_settings_is_not_asked(tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        served.issue(shape=Shape(crl=served.address.replace("127.0.0.1", "localhost") + "/crl/x"))

        await refused(served.belief(), served, KNOWN)

        assert served.asked == []

    run(tmp_path, scenario)


def test_a_certificate_that_names_no_list_is_not_believed_where_lists_are_asked(
    tmp_path: Path,
) -> None:
    async def scenario(served: Served) -> None:
        served.issue(shape=Shape())

        error = await refused(served.belief(), served, KNOWN)

        assert "names no place to ask" in error.detail
        await believed(served.belief(), served, NONE)

    run(tmp_path, scenario)


@pytest.mark.parametrize("policy", ["crl-hard", "statuslist", "", "anything"])
def test_a_policy_we_do_not_know_asks_the_list(tmp_path: Path, policy: str) -> None:
    async def scenario(served: Served) -> None:
        served.faults["/crl"] = "404"

        await refused(served.belief(), served, KNOWN, policy)

    run(tmp_path, scenario)


def test_ocsp_serves_when_there_is_no_list_and_the_peer_may_use_it(tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        belief = served.belief()
        served.faults["/crl"] = "404"

        await believed(belief, served, CRL_OR_OCSP)
        await refused(belief, served, KNOWN)
        served.revoke()
        served.clock.advance(31)
        await belief.refresh()

        await refused(belief, served, REVOKED, CRL_OR_OCSP)

    run(tmp_path, scenario)


@pytest.mark.parametrize("fault", OCSP_FAULTS)
def test_an_unsound_ocsp_answer_says_nothing(tmp_path: Path, fault: str) -> None:
    async def scenario(served: Served) -> None:
        served.issue("another")
        served.faults = {"/crl": "404", "/ocsp": fault}

        error = await refused(served.belief(), served, KNOWN, CRL_OR_OCSP)

        assert f"OCSP of CN={ISSUING_NAME}" in error.detail
        assert f"{served.address}/ocsp" in error.detail

    run(tmp_path, scenario)


def test_nobody_waits_longer_than_a_second_for_slow_lists_and_responders(tmp_path: Path) -> None:
    async def scenario(served: Served) -> float:
        served.faults = {"/crl": "slow", "/ocsp": "slow"}
        belief, chain = served.belief(), served.chain()
        began = time.perf_counter()

        async def one() -> None:
            with contextlib.suppress(LdnError):
                await belief.believe(chain, Trail(), CRL_OR_OCSP)

        async with asyncio.TaskGroup() as group:
            for _ in range(50):
                group.create_task(one())
        waited = time.perf_counter() - began

        assert len(served.asked) == 2  # 50 callers share one question each
        return waited

    assert run(tmp_path, scenario) < 1.0


def test_a_slow_list_that_came_after_all_serves_the_next_caller(tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        served.faults["/crl"] = "slow"
        belief = served.belief()
        await refused(belief, served, KNOWN)

        served.faults.clear()
        served.released.set()

        await believed(belief, served)

    run(tmp_path, scenario)


def test_an_issuing_authority_suffices_as_anchor(tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        leaf = served.chain()[:1]

        evidence = await served.belief().believe(leaf, Trail())

        assert len(evidence.chain) == 2
        assert not any(path.endswith("root.crl") for path in served.asked)

    run(tmp_path, scenario)


def test_a_root_does_not_suffice_where_issuing_authorities_are_listed(tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        only_root = Anchors(served.root.certificates, issuing_only=True)
        belief = Belief(only_root, served.documents(), served.clock)

        await refused(belief, served, CHAIN)

        assert served.asked == []

    run(tmp_path, scenario)


def test_below_a_root_each_authority_must_have_a_list_of_its_own(tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        belief = Belief(served.root, served.documents(), served.clock)
        await believed(belief, served)
        assert {"/crl/issuing.crl", "/crl/root.crl"} <= set(served.asked)

        served.faults["/crl/root.crl"] = "404"

        fresh = Belief(served.root, served.documents(), served.clock)
        error = await refused(fresh, served, KNOWN)
        assert "root.crl" in error.detail

    run(tmp_path, scenario)


def test_the_certificates_above_the_leaf_may_stand_in_any_order(tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        leaf, issuing = served.chain()
        [root] = served.root.certificates
        belief = Belief(served.root, served.documents(), served.clock)

        evidence = await belief.believe([leaf, root, issuing], Trail())

        assert len(evidence.chain) == 3

    run(tmp_path, scenario)


def test_what_is_used_is_renewed_before_it_is_no_longer_fresh(tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        belief = served.belief()
        await believed(belief, served)
        await belief.refresh()
        assert len(served.asked) == 1

        served.clock.advance(16)
        await belief.refresh()

        assert len(served.asked) == 2

    run(tmp_path, scenario)


def test_what_nobody_uses_any_more_is_no_longer_renewed(tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        belief = served.belief()
        await believed(belief, served)

        served.clock.advance(25 * HOURS)
        await belief.refresh()
        await belief.refresh()

        assert len(served.asked) == 1

    run(tmp_path, scenario)


def test_the_background_renews_until_it_is_ended(tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        belief = served.belief()
        await believed(belief, served)
        task = asyncio.create_task(belief.refresh_forever(0.01))
        served.clock.advance(16)
        async with asyncio.timeout(5):
            while len(served.asked) < 2:
                await asyncio.sleep(0)

        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task

    run(tmp_path, scenario)


def test_what_has_ended_no_longer_counts(tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        served.issue(days=1)
        belief = served.belief()
        evidence = await believed(belief, served)

        served.clock.advance(24 * HOURS + 1)

        assert not await belief.still(evidence)
        await refused(belief, served, CHAIN)

    run(tmp_path, scenario)


def test_without_documents_only_a_peer_that_asks_no_revocation_is_believed(tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        belief = Belief(served.issuing, None, served.clock)

        evidence = await believed(belief, served, NONE)
        await refused(belief, served, KNOWN)

        assert await belief.still(evidence)
        assert await belief.refresh() == 0

    run(tmp_path, scenario)


def test_no_certificates_at_all_are_not_believed(tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        with pytest.raises(LdnError) as caught:
            await served.belief().believe([], Trail())

        assert caught.value.issue is Issue.LOGIN

    run(tmp_path, scenario)


def test_a_list_that_does_not_come_is_told_in_the_log_once_until_it_comes_again(
    tmp_path: Path,
) -> None:
    async def scenario(served: Served) -> list[str]:
        belief = served.belief()
        await believed(belief, served)
        with structlog.testing.capture_logs() as lines:
            for fault in ("404", "404", "", "garbage"):
                served.faults["/crl"] = fault
                served.clock.advance(20)
                await belief.refresh()
        return [str(line["detail"]) for line in lines if line["event"] == "unrenewed"]

    first, second = run(tmp_path, scenario)

    assert "issuing.crl: document: status" in first
    assert "issuing.crl: CRL: ValueError" in second


def test_evidence_that_does_not_tell_how_it_was_believed_is_looked_up(tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        belief = served.belief()
        evidence = replace(await believed(belief, served, NONE), status=None)
        assert await belief.still(evidence)

        served.revoke()
        served.clock.advance(31)
        await belief.refresh()

        assert not await belief.still(evidence)

    run(tmp_path, scenario)
