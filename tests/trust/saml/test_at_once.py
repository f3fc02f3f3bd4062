"""Many assertions at once: keys are kept and shared between threads."""

from concurrent.futures import ThreadPoolExecutor

from trust.saml.saml_world import believed, expected, keys, resigned, sso

from openldn.base.errors import LdnError
from openldn.trust.saml.read import read
from openldn.trust.trail import Trail


def test_threads_that_share_keys_tell_genuine_from_forged() -> None:
    genuine = [sso() for _ in range(6)]
    forged = [resigned(lambda root: None, signing=keys("attacker")) for _ in range(6)]

    def outcome(xml: bytes) -> str:
        try:
            wanted = expected() if xml in genuine else None
            return (read(xml, wanted, Trail()) if wanted else believed(xml)).system
        except LdnError as error:
            return error.detail

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(outcome, (genuine + forged) * 10))

    assert found == (["https://sts.example/sts"] * 6 + ["saml.signature"] * 6) * 10
