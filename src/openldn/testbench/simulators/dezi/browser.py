"""The pages of the simulated provider: a person chooses who to be, and is sent back with a code."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from openldn.access.frame.pages import HEADERS
from openldn.access.professional.pages import DOOR
from openldn.access.professional.people import practitioner
from openldn.access.professional.words import words
from openldn.fhir.http import read_body
from openldn.testbench.simulators.dezi.state import Asked, Coded, State
from openldn.testbench.simulators.dezi.words import LANGUAGES, TEXTS, language

_LARGEST_FORM = 16 * 1024
_PATIENCE = 600  # seconds a person may take to choose
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Browser:
    """What a person sees."""

    state: State

    async def authorize(self, request: Request) -> Response:
        """Lists the people to sign in as; a wrong question goes back as an error, or is refused."""
        query = _once(request.url.query)
        client = self.state.clients.get(query.get("client_id", ""))
        if client is None or query.get("redirect_uri") not in client.redirect_uris:
            # Never send a browser where no client of ours is (RFC 6749 §4.1.2.1).
            return self._refused(request, "unknown client_id, or a redirect_uri not registered")
        spoken = language(query.get("ui_locales", ""), request.headers.get("accept-language", ""))
        asked = Asked(
            client=query["client_id"],
            redirect_uri=query["redirect_uri"],
            state=query.get("state", ""),
            nonce=query.get("nonce", ""),
            challenge=query.get("code_challenge", ""),
            language=spoken,
            asked=self.state.clock(),
        )
        if (error := _wrong(query, asked)) is not None:
            return self._back(asked, {"error": error[0], "error_description": error[1]})
        if self.state.fault("server_error"):
            return self._back(asked, {"error": "server_error"})
        self.state.note("asked", client=asked.client)
        return self._choice(asked, query)

    async def chosen(self, request: Request) -> Response:
        """Sends the person back with a code, or with the news that they cancelled."""
        body = await read_body(request, _LARGEST_FORM)
        fields = dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True, max_num_fields=8))
        asked = self.state.requests.pop(fields.get("request", ""), None)
        if asked is None or (self.state.clock() - asked.asked).total_seconds() > _PATIENCE:
            return self._refused(request, "this page was used before, or is too old")
        if not fields.get("person"):
            return self._back(asked, {"error": "access_denied"})
        practitioner(self.state.nodes, fields["person"])  # one of those listed
        coded = Coded(asked, fields["person"], self.state.clock())
        self.state.note("signed-in", client=asked.client)
        return self._back(asked, {"code": self.state.keep(self.state.codes, coded)})

    async def static(self, request: Request) -> Response:
        """The look of the pages."""
        return DOOR.asset(request.path_params["name"])

    def _choice(self, asked: Asked, query: Mapping[str, str]) -> Response:
        others = [
            (code, f"/authorize?{urlencode({**query, 'ui_locales': code})}") for code in LANGUAGES
        ]
        spoken = words(asked.language)
        context = {
            "staff": self.state.staff,
            "request": self.state.keep(self.state.requests, asked),
            "others": others,
            "role": lambda code: spoken.known(f"role.{code}", code),
        }
        return _page("choose.html", asked.language, context, back=asked.redirect_uri)

    def _refused(self, request: Request, reason: str) -> Response:
        spoken = language("", request.headers.get("accept-language", ""))
        context = {"reason": reason, "others": []}
        return _page("problem.html", spoken, context, status=400)

    def _back(self, asked: Asked, answer: Mapping[str, str]) -> Response:
        query = {**answer, "state": asked.state}
        if not self.state.fault("no_issuer"):
            other = self.state.fault("mix_up")
            query["iss"] = "https://another.example" if other else self.state.origin
        joint = "&" if "?" in asked.redirect_uri else "?"
        self.state.note("sent-back", error=answer.get("error", ""))
        return RedirectResponse(f"{asked.redirect_uri}{joint}{urlencode(query)}", 303, HEADERS)


def _once(text: str) -> dict[str, str]:
    """The parameters; one that stands twice counts as absent, for nobody can tell which."""
    pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=32)
    names = [name for name, _ in pairs]
    return {name: value for name, value in pairs if names.count(name) == 1}


def _wrong(query: Mapping[str, str], asked: Asked) -> tuple[str, str] | None:
    """The OAuth error of this request; None when it may pass."""
    if query.get("response_type") != "code":
        return "unsupported_response_type", "only the authorization code flow"
    if "openid" not in query.get("scope", "").split():
        return "invalid_scope", "scope openid is needed"
    if query.get("code_challenge_method") != "S256" or len(asked.challenge) != 43:
        return "invalid_request", "PKCE with S256 is needed"
    if not asked.state or not asked.nonce:
        return "invalid_request", "state and nonce are needed"
    return None


def _page(
    template: str,
    language: str,
    context: Mapping[str, object],
    *,
    status: int = 200,
    back: str = "",
) -> Response:
    text = _TEMPLATES.get_template(template).render(
        t=TEXTS[language], language=language, mark=DOOR.mark, **context
    )
    headers = HEADERS | {"content-language": language}
    if back:  # a browser applies form-action to where the answer to a form sends it
        parts = urlsplit(back)
        own = f"form-action 'self' {parts.scheme}://{parts.netloc}"
        policy = headers["content-security-policy"].replace("form-action 'self'", own)
        headers["content-security-policy"] = policy
    return Response(text, status, headers, "text/html")
