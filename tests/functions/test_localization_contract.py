"""One port, the same cases: the fake, our service in process, and each client over TLS."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from conftest import Databases
from functions.localization_cases import (
    CLINIC,
    HOSPITAL,
    JANSEN,
    PHARMACY,
    PIETERSEN,
    ByCertificate,
    FakeLocalization,
    client_of,
    world,
)
from functions.localization_cases import caller as calling
from functions.wire_cases import SERVER, caller, identity, pki

from openldn.base.errors import LdnError
from openldn.base.http import server_context, serving
from openldn.base.runtime import new_uuid
from openldn.fhir.http import application
from openldn.fhir.identifiers import Bsn, Ura
from openldn.functions.localization.api import routes
from openldn.functions.localization.model import Localization
from openldn.functions.localization.nuts import Nuts, nuts_routes
from openldn.functions.localization.service import Index, OwnLocalization

At = Callable[[Ura], Localization]
PLACES = ("fake", "in process", "list-2026", "ig-ministry", "ig-nuts")
BASES = {"list-2026": "/fhir", "ig-ministry": "/ig-ministry/fhir", "ig-nuts": "/ig-nuts/fhir"}
# ig-ministry registers a category at a time; the others take none where none is given.
USUAL = {"ig-ministry": "Condition"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pki(tmp_path_factory.mktemp("pki"))


async def address(holder: Ura) -> str:
    return f"https://{holder}.example/fhir"


def app_of(index: Index) -> object:
    adapter = nuts_routes(Nuts(index, address))
    every = [*adapter, *routes(index, "https://127.0.0.1")]
    return ByCertificate(application(every, role="localization", new_id=new_uuid))


@asynccontextmanager
async def at(place: str, databases: Databases, folder: Path) -> AsyncIterator[At]:
    """The port of each care provider at this place."""
    if place == "fake":
        said: set[tuple[Bsn, Ura, str]] = set()
        yield lambda ura: FakeLocalization(ura, said)
        return
    async with world(databases) as one:
        if place == "in process":
            yield lambda ura: OwnLocalization(one.index, calling(ura), one.pseudonyms.token)
            return
        context = server_context(identity(folder, SERVER))
        async with (
            serving(app_of(one.index), "127.0.0.1", 0, context) as port,
            caller(folder, HOSPITAL) as hospital,
            caller(folder, CLINIC) as clinic,
            caller(folder, PHARMACY) as pharmacy,
        ):
            https = {HOSPITAL: hospital, CLINIC: clinic, PHARMACY: pharmacy}
            base = f"https://127.0.0.1:{port}{BASES[place]}"
            yield lambda ura: client_of(https[ura], base, ura, one.pseudonyms, place)


def told(
    place: str, databases: Databases, folder: Path, story: Callable[[At], Awaitable[None]]
) -> None:
    async def run() -> None:
        async with at(place, databases, folder) as port:
            await story(port)

    asyncio.run(run())


everywhere = pytest.mark.parametrize("place", PLACES)


@everywhere
def test_who_registered_is_a_holder_to_everybody(
    place: str, databases: Databases, certificates: Path
) -> None:
    category = USUAL.get(place, "")

    async def story(port: At) -> None:
        await port(CLINIC).register(JANSEN, category)
        await port(HOSPITAL).register(JANSEN, category)
        await port(CLINIC).register(PIETERSEN, category)

        assert await port(PHARMACY).holders(JANSEN) == [HOSPITAL, CLINIC]
        assert await port(PHARMACY).holders(PIETERSEN, category) == [CLINIC]

    told(place, databases, certificates, story)


@everywhere
def test_registering_and_withdrawing_again_change_nothing(
    place: str, databases: Databases, certificates: Path
) -> None:
    category = USUAL.get(place, "")

    async def story(port: At) -> None:
        for _ in range(2):
            await port(HOSPITAL).register(JANSEN, category)
            assert await port(CLINIC).holders(JANSEN) == [HOSPITAL]
        for _ in range(2):
            await port(HOSPITAL).withdraw(JANSEN)
            assert await port(CLINIC).holders(JANSEN) == []

    told(place, databases, certificates, story)


@everywhere
def test_withdrawing_leaves_the_others(
    place: str, databases: Databases, certificates: Path
) -> None:
    category = USUAL.get(place, "")

    async def story(port: At) -> None:
        for ura in (HOSPITAL, CLINIC):
            await port(ura).register(JANSEN, category)
        await port(HOSPITAL).register(PIETERSEN, category)

        await port(HOSPITAL).withdraw(JANSEN)

        assert await port(PHARMACY).holders(JANSEN) == [CLINIC]
        assert await port(PHARMACY).holders(PIETERSEN) == [HOSPITAL]

    told(place, databases, certificates, story)


@everywhere
def test_nobody_holds_data_of_a_stranger(
    place: str, databases: Databases, certificates: Path
) -> None:
    async def story(port: At) -> None:
        assert await port(HOSPITAL).holders(JANSEN) == []

    told(place, databases, certificates, story)


@pytest.mark.parametrize("place", ["fake", "in process", "ig-ministry"])
def test_where_categories_are_kept_one_can_be_asked_and_withdrawn(
    place: str, databases: Databases, certificates: Path
) -> None:
    async def story(port: At) -> None:
        for category in ("Condition", "Alert"):
            await port(HOSPITAL).register(JANSEN, category)
        await port(CLINIC).register(JANSEN, "Alert")

        assert await port(PHARMACY).holders(JANSEN, "Condition") == [HOSPITAL]
        await port(HOSPITAL).withdraw(JANSEN, "Alert")
        assert await port(PHARMACY).holders(JANSEN, "Alert") == [CLINIC]
        assert await port(PHARMACY).holders(JANSEN, "Condition") == [HOSPITAL]

    told(place, databases, certificates, story)


@pytest.mark.parametrize("place", ["list-2026", "ig-nuts"])
def test_where_none_are_kept_a_category_finds_every_holder_and_is_not_withdrawn_alone(
    place: str, databases: Databases, certificates: Path
) -> None:
    async def story(port: At) -> None:
        for category in ("Condition", "Alert"):
            await port(HOSPITAL).register(JANSEN, category)

        assert await port(PHARMACY).holders(JANSEN, "Device") == [HOSPITAL]
        with pytest.raises(LdnError):
            await port(HOSPITAL).withdraw(JANSEN, "Alert")
        assert await port(PHARMACY).holders(JANSEN) == [HOSPITAL]

    told(place, databases, certificates, story)
