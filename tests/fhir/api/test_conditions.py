"""Conditional reads and writes, and what the caller prefers (hl7.org/fhir/R4/http.html#ops)."""

import asyncio

from fhir.api.fhir_base import Base, bundle, entry, organization, patient, served

from openldn.fhir.codec import dump


def test_a_caller_that_has_the_current_version_gets_304(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        made = await base.put(patient())

        same = await base.get("Patient/p1", if_none_match='W/"1"')
        among = await base.get("Patient/p1", if_none_match='W/"7", "1"')
        dated = await base.get("Patient/p1", if_modified_since=made.headers["last-modified"])
        other = await base.get("Patient/p1", if_none_match='W/"2"')
        older = await base.get("Patient/p1", if_modified_since="Mon, 01 Jan 2024 00:00:00 GMT")

        assert [r.status for r in (same, among, dated)] == [304, 304, 304]
        assert same.body == b""
        assert same.headers["etag"] == 'W/"1"'
        assert [other.status, older.status] == [200, 200]
        wrong = await base.get("Patient/p1", if_modified_since="yesterday")
        assert wrong.status == 400

    served(dsn, scenario)


def test_an_update_of_another_version_than_the_current_is_refused(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await base.put(organization("o1", "A"))
        await base.put(organization("o1", "B"))

        late = await base.put(organization("o1", "C"), if_match='W/"1"')
        good = await base.put(organization("o1", "D"), if_match='W/"2"')
        unclear = await base.put(organization("o1", "E"), if_match="new")
        gone = await base.send("DELETE", "Organization/o1", if_match='W/"1"')

        assert [late.status, good.status, unclear.status, gone.status] == [412, 200, 400, 412]
        assert (await base.get("Organization/o1")).json["name"] == "D"

    served(dsn, scenario)


def test_of_many_updates_of_one_version_exactly_one_wins(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await base.put(organization("o1", "start"))

        async with asyncio.TaskGroup() as group:
            updates = [
                group.create_task(base.put(organization("o1", f"n{n}"), if_match='W/"1"'))
                for n in range(8)
            ]

        statuses = sorted(u.result().status for u in updates)
        assert statuses == [200, *[412] * 7]
        current = await base.get("Organization/o1")
        assert current.headers["etag"] == 'W/"2"'

    served(dsn, scenario)


def test_a_conditional_create_happens_once(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        condition = "identifier=http://fhir.nl/fhir/NamingSystem/bsn|999900006"

        async with asyncio.TaskGroup() as group:
            creates = [
                group.create_task(base.post(patient(), if_none_exist=condition)) for _ in range(6)
            ]

        replies = [c.result() for c in creates]
        assert sorted(r.status for r in replies) == [*[200] * 5, 201]
        assert len({r.headers["location"] for r in replies}) == 1
        assert (await base.get("Patient")).json["total"] == 1

    served(dsn, scenario)


def test_a_conditional_create_with_several_matches_is_refused(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await base.put(patient("p1"))
        await base.put(patient("p2"))

        reply = await base.post(patient(), if_none_exist="identifier=999900006")

        assert reply.status == 412

    served(dsn, scenario)


def test_a_conditional_update_changes_the_one_match(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        fresh = patient()
        del fresh["id"]
        path = "Patient?identifier=999900006"

        first = await base.send("PUT", path, dump(fresh))
        second = await base.send("PUT", path, dump({**fresh, "active": True}))
        await base.put(patient("twin"))
        third = await base.send("PUT", path, dump(fresh))

        assert [first.status, second.status, third.status] == [201, 200, 412]
        assert second.json["id"] == first.json["id"]
        assert second.headers["etag"] == 'W/"2"'

    served(dsn, scenario)


def test_a_conditional_delete_takes_the_one_match(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await base.put(patient("p1"))
        await base.put(patient("p2", "999911120"))

        everything = await base.send("DELETE", "Patient")
        only = await base.send("DELETE", "Patient?_count=1")
        one = await base.send("DELETE", "Patient?identifier=999900006")

        assert [everything.status, only.status, one.status] == [400, 400, 204]
        assert (await base.get("Patient")).ids == ["Patient/p2"]

    served(dsn, scenario)


def test_the_caller_chooses_what_a_write_returns(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        minimal = await base.put(patient("a"), prefer="return=minimal")
        whole = await base.put(patient("b"), prefer="respond-async, return=representation")
        told = await base.put(patient("c"), prefer="return=OperationOutcome")
        gone = await base.send("DELETE", "Patient/c", prefer="return=OperationOutcome")

        assert (minimal.status, minimal.body) == (201, b"")
        assert minimal.headers["location"] == f"{base.url}/Patient/a/_history/1"
        assert whole.json["id"] == "b"
        assert told.json["issue"][0]["severity"] == "information"
        assert gone.status == 200
        answer = await base.post(
            bundle("transaction", entry("PUT", "Patient/d", patient("d"))),
            prefer="return=representation",
        )
        assert answer.json["entry"][0]["resource"]["id"] == "d"

    served(dsn, scenario)


def test_conditions_hold_inside_a_transaction(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await base.put(patient("p1"))
        await base.put(organization("o1"))
        whole = bundle(
            "transaction",
            entry("POST", "Patient", patient(), ifNoneExist="identifier=999900006"),
            entry("PUT", "Organization/o1", organization("o1", "N"), ifMatch='W/"1"'),
            entry("DELETE", "Patient?identifier=999911120"),
            entry("GET", "Organization/o1", ifNoneMatch='W/"2"'),
        )

        reply = await base.post(whole)

        statuses = [e["response"]["status"][:3] for e in reply.json["entry"]]
        assert statuses == ["200", "200", "204", "304"]
        assert (await base.get("Patient")).json["total"] == 1

    served(dsn, scenario)
