"""What an operator is told first, and what is nothing to be woken up for."""

from access.administration.world import AUDIT, key, refusal, refused, trouble, well

from openldn.access.administration.findings import ALERT, CAUTION, INFO, US, findings, verdict


def whats(state: object, lately: object = ()) -> list[str]:
    assert isinstance(state, dict)
    return [f.what for f in findings(state, list(lately))]  # type: ignore[call-overload]


def test_a_node_with_nothing_wrong_asks_nothing() -> None:
    assert findings(well(), []) == []
    assert verdict([]) == "ok"


def test_what_fails_already_comes_before_what_will_and_before_what_others_must_do() -> None:
    found = findings(trouble(), refused())
    levels = [f.level for f in found]

    assert verdict(found) == ALERT
    assert levels == sorted(levels, key=[ALERT, CAUTION, INFO].index)
    assert found[0].what == "key.revoked"
    alerts = [f.what for f in found if f.level == ALERT]
    assert alerts[-1] == "key.soon"


def test_a_key_that_ends_within_a_week_is_urgent_and_within_a_month_is_not_yet() -> None:
    urgent = findings(well() | {"keys": [key("tls", 5, "urgent")]}, [])
    soon = findings(well() | {"keys": [key("tls", 20, "soon")]}, [])

    assert [(f.level, f.what, f.values["days"]) for f in urgent] == [(ALERT, "key.soon", 5)]
    assert [(f.level, f.what) for f in soon] == [(CAUTION, "key.soon")]


def test_a_revoked_key_is_one_point_also_when_it_has_ended() -> None:
    revoked = {"source": "crl", "checked": None, "state": "revoked"}
    state = well() | {"keys": [key("tls", -2, "ended", revocation=revoked), AUDIT]}

    assert whats(state) == ["key.revoked"]


def test_a_directory_or_store_that_is_away_is_told_but_a_missing_wallet_is_not() -> None:
    away = {"peers": "the directory is away", "refusals": "the store is away"}
    state = well() | {"reasons": well()["reasons"] | away}

    assert whats(state) == ["directory", "store"]


def test_many_refusals_for_one_reason_are_one_point_with_their_number() -> None:
    lately = [refusal(n, 1) for n in range(40, 0, -1)]

    [found] = findings(well(), lately)

    assert (found.level, found.turn, found.values["count"]) == (CAUTION, "peer", 40)
    assert found.correlation == "5a0c1d9e-question-40"
    assert found.query == "?direction=in&peer=90000002&code=jwt.signature"


def test_being_refused_ourselves_is_our_turn_and_urgent() -> None:
    [found] = findings(well(), [refusal(1, 1, direction="out", turn="us")])

    assert (found.level, found.turn, found.what) == (ALERT, "us", "refused.out")


def test_a_policy_that_says_no_is_told_but_is_nothing_wrong() -> None:
    found = findings(well(), [refusal(1, 1, "policy.consented", advice={"key": "policy"})])

    assert [f.level for f in found] == [INFO]
    assert verdict(found) == "ok"


def test_broken_glass_that_nobody_reviewed_is_work_of_ours() -> None:
    [found] = findings(well() | {"waiting": 2}, [])

    assert (found.level, found.what, found.turn, found.values) == (
        *(CAUTION, "waiting", US),
        {"count": 2},
    )


def test_what_was_given_up_is_work_of_ours() -> None:
    [found] = findings(well() | {"undelivered": 3}, [])

    assert (found.level, found.what, found.turn, found.page) == (
        *(CAUTION, "undelivered", US),
        "outbox",
    )


def test_whatever_a_node_of_another_version_tells_gives_findings_and_no_crash() -> None:
    odd: dict[str, object] = {
        "keys": "none",
        "credentials": [1, None],
        "reasons": [],
        "documents": {},
        "lost": None,
    }

    assert findings(odd, []) == []
