"""Every reason code that a refusal can carry is registered, and told with a next step."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

import openldn.trust
from openldn.base.errors import Issue, LdnError
from openldn.functions.authorization.policy import RULES
from openldn.node.refusing import OWN, POLICY
from openldn.trust.dealings.advice import OTHER, advice_of, turn_of
from openldn.trust.dealings.model import Direction
from openldn.trust.dealings.rules import MODULES, rule_of, rules
from openldn.trust.trail import Rule

TRUST = Path(openldn.trust.__path__[0])
SOURCES = {
    ".".join(("openldn.trust", *p.relative_to(TRUST).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): ast.parse(p.read_text(encoding="utf-8"))
    for p in TRUST.rglob("*.py")
}


def made(tree: ast.Module) -> list[ast.Call]:
    """The calls that make a rule with a code we can read."""
    calls = (n for n in ast.walk(tree) if isinstance(n, ast.Call))
    named = (c for c in calls if getattr(c.func, "id", "") == "Rule" and c.args)
    return [c for c in named if isinstance(c.args[0], ast.Constant)]


def test_every_module_with_rules_is_listed() -> None:
    with_rules = {name for name, tree in SOURCES.items() if made(tree)}

    assert with_rules == set(MODULES), "add or remove these in trust/dealings/rules.py: MODULES"


def test_every_rule_in_the_source_is_registered_under_its_code() -> None:
    codes = {str(c.args[0].value) for t in SOURCES.values() for c in made(t)}  # type: ignore[attr-defined]

    assert codes <= set(rules()), codes - set(rules())


def test_every_rule_says_what_must_hold_and_which_clause_asks_it() -> None:
    for rule in (*rules().values(), *POLICY.values()):
        assert rule.source and rule.text, rule.code
        assert rule.code == rule.code.lower() and "." in rule.code


def test_every_rule_of_the_policy_is_told_in_words() -> None:
    assert set(POLICY) >= {rule.code for rule in RULES}


def test_one_code_never_means_two_things() -> None:
    assert import_module("openldn.trust.jose")
    with pytest.raises(LdnError):
        rules(("trust.dealings.clashing",))


def test_an_error_without_a_known_code_gets_a_rule_of_last_resort() -> None:
    found = rule_of(LdnError(Issue.LOGIN, "the client is not proven", detail="something new"))

    assert found.code == "issue.login"
    assert "something" not in found.text
    assert rule_of(LdnError(Issue.THROTTLED, "too many")).code == "issue.other"


def test_the_refusal_of_another_party_is_told_by_its_code() -> None:
    refused = LdnError(Issue.FORBIDDEN, "…", detail="token endpoint: invalid_scope")

    assert rule_of(refused) == Rule(
        "oauth.invalid_scope", "RFC 6749 §5.2", "the peer offers the scope we ask for"
    )


@pytest.mark.parametrize(
    ("code", "key"),
    [
        ("jwt.signature", "signature"),
        ("jwt.form", "form"),
        ("certificate.revoked", "revoked"),
        ("certificate.crl", "document"),
        ("certificate.chain", "certificate"),
        ("tls.our-certificate-expired", "certificate"),
        ("vp.nonce", "replay"),
        ("saml.audience", "audience"),
        ("vp.exp", "clock"),
        ("policy.in-scope", "scope"),
        ("policy.takes-part", "member"),
        ("policy.treats", "policy"),
        ("http.403", "policy"),
        ("issue.login", "other"),
    ],
)
def test_each_code_leads_to_the_next_step_that_fits_it(code: str, key: str) -> None:
    assert advice_of(code).key == key


def test_the_turn_is_the_peers_when_we_refuse_and_ours_when_we_are_refused() -> None:
    assert turn_of(advice_of("jwt.alg"), Direction.IN) == "peer"
    assert turn_of(advice_of("jwt.alg"), Direction.OUT) == "us"
    assert turn_of(advice_of("certificate.crl"), Direction.IN) == "us"
    assert turn_of(OTHER, Direction.IN) == "peer"


def test_every_rule_of_a_node_itself_is_told_too() -> None:
    """Those above trust, which the list in `trust/dealings/rules.py` cannot name."""
    node = Path(openldn.__file__).parent / "node"
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in node.rglob("*.py"))
    codes = {
        str(call.args[0].value)
        for tree in trees
        for call in made(tree)
        if isinstance(call, ast.Call) and isinstance(call.args[0], ast.Constant)
    }

    assert {"saml.issuer.known", "saml.still"} <= codes <= set(OWN)
