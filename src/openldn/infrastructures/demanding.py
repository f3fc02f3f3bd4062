"""What a holder demands of every request for data, by the profile of its road."""

from collections.abc import Sequence

from starlette.routing import BaseRoute

from openldn.infrastructures import lsp, medmij


def demanding(routes: Sequence[BaseRoute], wanted: Sequence[str]) -> list[BaseRoute]:
    """The same routes, which refuse what comes without the headers that are wanted."""
    return medmij.around(lsp.around(routes, wanted), wanted)
