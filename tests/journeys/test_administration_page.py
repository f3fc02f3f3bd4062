"""The administration of a running node, in a real browser."""

from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, expect

from journeys.laptop import CLINIC, JANSEN, Laptop, whole
from openldn.base.runtime import new_uuid, utc_now
from openldn.trust.tokens.dialects import CLIENT_ASSERTION_TYPE, JWT_BEARER
from openldn.trust.tokens.signer import Signer

GP = "90000004"


@pytest.fixture(scope="module")
def dealt(network: Laptop) -> Laptop:
    """The clinic gave the hospital data, and refused the practice a word meant for another."""
    assert whole(network.ask("hospital", CLINIC))
    folder, now = network.plan.pki / "gp", int(utc_now().timestamp())
    signer = Signer.load(folder / "signing.pem", folder / "signing.key")
    claims = {"iss": GP, "sub": GP, "aud": "https://another.example", "iat": now, "exp": now + 60}
    words = [signer.sign({**claims, "jti": new_uuid(), "purpose": "TREAT"}) for _ in range(2)]
    form = {"grant_type": JWT_BEARER, "assertion": words[0], "scope": "bgz"}
    form |= {"client_assertion_type": CLIENT_ASSERTION_TYPE, "client_assertion": words[1]}
    kind = {"content-type": "application/x-www-form-urlencoded"}
    url = f"{network.plan.origin('clinic')}/oauth2/{CLINIC}/token"
    assert network.call("gp", "POST", url, urlencode(form).encode(), kind).status >= 400
    return network


def signed_in(network: Laptop, browser: Browser, width: int) -> Page:
    page = browser.new_page(locale="nl-NL", viewport={"width": width, "height": 900})
    page.goto(f"{network.plan.origin('portal')}/beheer/")
    page.get_by_role("button", name="Kliniek Het Veer").click()
    return page


@pytest.mark.parametrize("width", [1280, 390])
def test_keys_credentials_peers_and_a_refusal_with_its_reason_are_shown(
    dealt: Laptop, browser: Browser, width: int
) -> None:
    page = signed_in(dealt, browser, width)
    shown = {
        "Overzicht": ["Kliniek Het Veer", CLINIC],
        "Sleutels": ["TLS", "2027"],
        "Bewijzen": ["X509Credential"],
        "Partijen": ["Ziekenhuis De Brug", "Huisartsenpraktijk Het Plein"],
        "Weigeringen": ["Huisartsenpraktijk Het Plein", "assertion.aud"],
        "Documenten": ["/crl/issuing.crl"],
    }
    for name, texts in shown.items():
        page.get_by_role("navigation").get_by_role("link", name=name).first.click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(name)
        for text in texts:
            expect(page.locator("main")).to_contain_text(text)
        assert JANSEN not in page.content()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
    page.close()
