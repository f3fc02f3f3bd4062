"""R86: no check without a good and a deliberately bad endpoint. Source: secure network §5."""

import asyncio
import ssl

import pytest
from testbench.connection.bench import Bench, https
from testbench.connection.cases import CASES, good
from testbench.connection.looking import looked

from openldn.testbench.connection.checks import CHECKS, GROUPS
from openldn.testbench.connection.model import LANGUAGES, Check, Outcome
from openldn.trust.certificates.tls_profiles import tls_profiles


def test_every_check_has_a_good_and_a_bad_endpoint() -> None:
    ids = {f"C{n:02}" for n in range(1, 46)}

    assert {c.id for c in CHECKS} == ids
    assert {c.check for c in CASES if c.outcome is Outcome.PASS} == ids
    assert {c.check for c in CASES if c.outcome is not Outcome.PASS} == ids


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.id)
def test_every_check_says_in_both_languages_what_is_asked_and_what_to_do(check: Check) -> None:
    assert check.group in GROUPS
    assert check.source
    for words in (check.title, check.requirement, check.advice):
        assert all(words.of(language).strip() for language in LANGUAGES)
    assert check.requirement.nl != check.requirement.en


def test_a_profile_weighs_only_checks_that_exist_and_in_words_that_exist() -> None:
    ids = {c.id for c in CHECKS}
    for profile in tls_profiles().values():
        assert set(profile.severity) <= ids
        assert set(profile.severity.values()) <= {"fail", "warn", "info"}


def test_a_real_server_with_ml_kem_is_found(bench: Bench) -> None:
    if ssl.OPENSSL_VERSION_INFO < (3, 5):
        pytest.skip(f"{ssl.OPENSSL_VERSION} has no ML-KEM: that needs OpenSSL 3.5")

    result, expected = asyncio.run(looked(good("C09", "has OpenSSL 3.5", https()), bench))

    assert result.outcome is expected, result
