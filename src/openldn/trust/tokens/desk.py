"""A token request on the desk: what was sent, and what it is read with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from openldn.trust.jose import Jws
from openldn.trust.peers import Profile, profile
from openldn.trust.tokens.assertions import Expected
from openldn.trust.tokens.ports import Believes, Ports


@dataclass(frozen=True)
class Desk:
    """One token request, its signed parts read but not believed, and what to judge it with."""

    form: Mapping[str, str] = field(repr=False)
    tokens: Mapping[str, Jws] = field(repr=False)
    certificate: bytes = field(repr=False)  # client certificate (DER); empty: none
    scopes: frozenset[str]
    issuer: str
    public: frozenset[str]  # addresses of this holder that a token may be asked for
    now: datetime
    profile: Profile  # what is agreed with the peer
    believes: Believes
    ports: Ports

    @property
    def audiences(self) -> frozenset[str]:
        """What `aud` may be: the issuer or its token endpoint, as agreed with the peer."""
        issuer, endpoint = self.issuer, f"{self.issuer}/token"
        forms = {"issuer": {issuer}, "token-endpoint": {endpoint}}
        return frozenset(forms.get(self.profile.aud_form, {issuer, endpoint}))

    @property
    def expected(self) -> Expected:
        """What a plain assertion must meet here."""
        allowed = self.profile.alg_in
        # beside a presentation a plain assertion is judged as any other plain one
        terms = self.profile if allowed.client_assertion or allowed.assertion else profile("twiin")
        registered = self.ports.registered
        return Expected(self.audiences, self.now, terms, self.believes, registered)
