"""TLS profiles as data for clients and servers. Source: secure network §3."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from testbench.connection.bench import Bench
from testbench.connection.endpoints import site

from openldn.base.errors import LdnError
from openldn.base.http import Identity, server_context, serving
from openldn.base.runtime import utc_now
from openldn.testbench.connection.examine import report
from openldn.testbench.connection.model import Outcome, Report
from openldn.testbench.connection.numbers import SUITES_1_2, SUITES_1_3
from openldn.testbench.connection.target import Target
from openldn.trust.certificates.tls_profiles import restrict, tls_profile, tls_profiles


def test_every_name_in_a_profile_is_one_that_the_checker_knows() -> None:
    for profile in tls_profiles().values():
        assert set(profile.suites) <= set(SUITES_1_3)
        assert set(profile.suites_1_2) <= set(SUITES_1_2)


def test_a_client_offers_what_the_profile_asks_of_clients() -> None:
    context = restrict(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), tls_profile("twiin-1.4"))

    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_a_peer_may_renegotiate_only_when_that_is_agreed() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    restrict(context, tls_profile("twiin-1.4"), renegotiation=True)

    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert not context.options & ssl.OP_NO_RENEGOTIATION


def test_an_unknown_profile_is_refused_with_the_names() -> None:
    with pytest.raises(LdnError, match=r"twiin-1\.4"):
        tls_profile("ncsc-1.0")


@asynccontextmanager
async def restricted(bench: Bench, profile: str) -> AsyncIterator[Target]:
    identity = Identity(bench.server.certificate, bench.server.key, bench.pki.ca)
    context = restrict(server_context(identity), tls_profile(profile))
    async with serving(site({}), "127.0.0.1", 0, context) as port:
        yield bench.target(port, profile=profile)


@pytest.mark.parametrize("profile", list(tls_profiles()))
def test_a_server_of_ours_narrowed_to_a_profile_passes_every_check_of_the_channel(
    profile: str, bench: Bench
) -> None:
    ids = {"C01", "C02", "C04", "C05", "C06", "C07", "C08", "C23", "C24", "C25"}

    async def asked() -> Report:
        async with restricted(bench, profile) as target:
            return await report(target, utc_now, ids)

    found = asyncio.run(asked())

    assert {r.check.id: r.result.outcome for r in found.rows} == dict.fromkeys(
        sorted(ids), Outcome.PASS
    )
