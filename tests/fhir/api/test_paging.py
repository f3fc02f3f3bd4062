"""Paging: links lead through every match, and hold nothing that may not stand in an address."""

from urllib.parse import unquote

from fhir.api.fhir_base import Base, observation, organization, patient, served


def test_following_the_links_gives_every_match_once(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        for number in range(7):
            await base.put(organization(f"o{number}", f"Name {number}"))

        pages = [await base.get("Organization?name=Name&_count=3&_sort=-name")]
        while following := pages[-1].link("next"):
            pages.append(await base.get(following))

        assert [len(page.ids) for page in pages] == [3, 3, 1]
        found = [id for page in pages for id in page.ids]
        assert found == [f"Organization/o{n}" for n in (6, 5, 4, 3, 2, 1, 0)]
        again = await base.get(pages[1].link("self"))
        assert again.ids == pages[1].ids

    served(dsn, scenario)


def test_a_bsn_asked_by_post_stands_in_no_link_that_is_followed(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await base.put(patient())
        for number in range(3):
            await base.put(observation(f"w{number}"))
        bsn = "patient.identifier=http%3A%2F%2Ffhir.nl%2Ffhir%2FNamingSystem%2Fbsn%7C999900006"

        first = await base.form("Observation/_search", f"{bsn}&_count=2")
        second = await base.get(first.link("next"))

        assert "999900006" not in unquote(first.link("next"))
        assert "999900006" not in second.body.decode()
        assert len(first.ids + second.ids) == 3
        by_post = await base.form("Observation/_search", first.link("next").partition("?")[2])
        assert by_post.ids == second.ids

    served(dsn, scenario)


def test_a_page_link_of_another_search_is_refused(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        for number in range(3):
            await base.put(organization(f"o{number}"))
        page = (await base.get("Organization?_count=1")).link("next").partition("?")[2]

        for address in (f"Patient?{page}", f"Organization?{page[:-2]}AA", "Organization?_page=x"):
            reply = await base.get(address)
            assert reply.status == 400
            assert "_page" in reply.issue

    served(dsn, scenario)


def test_history_is_paged_too(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        for number in range(5):
            await base.put(organization("o1", f"N{number}"))

        for address in ("Organization/o1/_history", "Organization/_history", "_history"):
            pages = [await base.get(f"{address}?_count=2")]
            while following := pages[-1].link("next"):
                pages.append(await base.get(following))
            versions = [
                e["resource"]["meta"]["versionId"] for page in pages for e in page.json["entry"]
            ]
            assert versions == ["5", "4", "3", "2", "1"], address

    served(dsn, scenario)


def test_history_since_a_moment(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await base.put(organization("o1", "A"))
        moment = (await base.put(organization("o1", "B"))).json["meta"]["lastUpdated"]

        recent = await base.get(f"Organization/o1/_history?_since={moment}")
        future = await base.get("Organization/_history?_since=2999-01-01T00:00:00%2B01:00")

        assert [e["resource"]["name"] for e in recent.json["entry"]] == ["B"]
        assert "entry" not in future.json

    served(dsn, scenario)


def test_only_the_number_of_matches(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await base.put(patient())

        reply = await base.get("Patient?_summary=count")

        assert reply.json["total"] == 1
        assert "entry" not in reply.json

    served(dsn, scenario)


def test_a_lenient_caller_hears_what_was_ignored(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await base.put(patient())

        strict = await base.get("Patient?identifier=999900006&shoe-size=42")
        lenient = await base.get(
            "Patient?identifier=999900006&shoe-size=42", prefer="handling=lenient"
        )

        assert strict.status == 400
        assert "shoe-size" in strict.issue
        assert lenient.status == 200
        assert "shoe-size" not in lenient.link("self")
        match, told = lenient.json["entry"]
        assert (match["search"]["mode"], told["search"]["mode"]) == ("match", "outcome")
        assert "shoe-size" in told["resource"]["issue"][0]["diagnostics"]

    served(dsn, scenario)
