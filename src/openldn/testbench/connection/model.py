"""What is checked, and how it came out."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from openldn.testbench.connection.target import Target
from openldn.testbench.connection.visit import Visit
from openldn.trust.certificates.tls_profiles import TlsProfile

LANGUAGES = ("nl", "en")


class Outcome(StrEnum):
    """How a check came out."""

    PASS = "pass"  # noqa: S105  (not a password)
    FAIL = "fail"
    WARN = "warn"
    INFO = "info"  # looked at; the profile asks nothing here
    SKIP = "skip"  # could not be judged here; the evidence says why


@dataclass(frozen=True)
class Words:
    """A text in both languages."""

    nl: str
    en: str

    def of(self, language: str) -> str:
        """The text in this language."""
        return self.nl if language == "nl" else self.en


@dataclass(frozen=True)
class Result:
    """One check as it came out; `evidence` is what was sent and seen, in the words of TLS."""

    outcome: Outcome
    evidence: str
    reason: Words | None = None  # why it was skipped, for a person

    def told(self, language: str) -> str:
        """The evidence, or the reason in this language."""
        if self.reason is None:
            return self.evidence
        said = self.reason.of(language)
        return f"{said} ({self.evidence})" if self.evidence else said


@dataclass(frozen=True)
class Check:
    """One thing that is looked at; `look` gives FAIL for a shortcoming, whatever its weight."""

    id: str
    group: str
    source: str
    title: Words
    requirement: Words
    advice: Words
    look: Callable[[Visit], Awaitable[Result]] = field(repr=False)

    def weighed(self, result: Result, profile: TlsProfile) -> Result:
        """The result as the profile weighs it: a shortcoming may be a warning or a remark only."""
        if result.outcome is not Outcome.FAIL:
            return result
        return Result(Outcome(profile.weight(self.id)), result.evidence, result.reason)


@dataclass(frozen=True)
class Checked:
    """One row of the report."""

    check: Check
    result: Result


@dataclass(frozen=True)
class Report:
    """Everything about one endpoint."""

    target: Target
    started: str  # instant
    seconds: float
    connections: int
    rows: tuple[Checked, ...]
    exceptions: tuple[Words, ...] = ()  # what was agreed with this peer and is let pass

    def count(self) -> Mapping[Outcome, int]:
        """How many of each."""
        return {o: sum(r.result.outcome is o for r in self.rows) for o in Outcome}

    @property
    def failed(self) -> bool:
        """Something must be repaired."""
        return self.count()[Outcome.FAIL] > 0


def passed(evidence: str) -> Result:
    """It is as it should be."""
    return Result(Outcome.PASS, evidence)


def failed(evidence: str) -> Result:
    """It is not as it should be; the profile decides how hard that counts."""
    return Result(Outcome.FAIL, evidence)


def warned(evidence: str) -> Result:
    """It is allowed, but should change."""
    return Result(Outcome.WARN, evidence)


def told(evidence: str) -> Result:
    """It is worth knowing."""
    return Result(Outcome.INFO, evidence)


def judged(good: bool, evidence: str) -> Result:
    """Passed or failed."""
    return passed(evidence) if good else failed(evidence)


_REASONS = {
    "client": Words(
        "geef --client-cert en --client-key: zonder certificaat komt de controle niet zo ver",
        "give --client-cert and --client-key: without a certificate the check gets no further",
    ),
    "no-mtls": Words(
        "de server vraagt geen clientcertificaat", "the server asks for no client certificate"
    ),
    "expired": Words(
        "geef --expired-cert of --revoked-cert met sleutel, uit de test-PKI van de server",
        "give --expired-cert or --revoked-cert with its key, of the server's test PKI",
    ),
    "tls12": Words("TLS 1.2 wordt niet aangeboden", "TLS 1.2 is not offered"),
    "tls": Words("er kwam geen TLS-verbinding tot stand", "no TLS connection came about"),
    "chain": Words("de server toonde geen certificaat", "the server showed no certificate"),
    "issuer": Words(
        "geef --issuer: de autorisatieserver hoort bij een ander adres of bestaat niet",
        "give --issuer: the authorization server is at another address or does not exist",
    ),
    "metadata": Words(
        "de metadata van de autorisatieserver is niet te lezen (zie C28)",
        "the metadata of the authorization server cannot be read (see C28)",
    ),
    "elsewhere": Words(
        "het adres ligt bij een andere host; alleen de opgegeven host wordt benaderd",
        "the address is at another host; only the host that was given is called",
    ),
    "fhir": Words("geef --fhir met het basisadres", "give --fhir with the base address"),
    "did": Words("geef --did", "give --did"),
    "status": Words("geef --status-list", "give --status-list"),
    "ura": Words(
        "geef --ura of --directory: er is niets om mee te vergelijken",
        "give --ura or --directory: there is nothing to compare with",
    ),
    "address": Words("een IP-adres heeft geen naam in DNS", "an IP address has no name in the DNS"),
    "resolver": Words("er is geen naamserver te bereiken", "no name server can be reached"),
    "aorta": Words("geen AORTA-koppelvlak (--aorta)", "not an AORTA interface (--aorta)"),
    "fsc": Words("geen FSC-Inway (--fsc)", "not an FSC Inway (--fsc)"),
    "token": Words(
        "geef --token met --fhir en een tweede certificaat (--other-cert en --other-key)",
        "give --token with --fhir and a second certificate (--other-cert and --other-key)",
    ),
    "untrusted": Words(
        "een token gaat alleen naar een server waarvan het certificaat vertrouwd is (C17, C18)",
        "a token is sent only to a server whose certificate is trusted (C17, C18)",
    ),
    "revocation": Words(
        "het certificaat noemt geen adres hiervoor", "the certificate names no address for this"
    ),
    "anchors": Words(
        "deze machine kent geen uitgevers; geef --ca",
        "this machine knows no authorities; give --ca",
    ),
    "browser": Words("geen pagina's voor een browser", "no pages for a browser"),
    "jwks": Words("de metadata noemt geen jwks_uri", "the metadata names no jwks_uri"),
    "token-refused": Words(
        "het token telt ook met het eigen certificaat niet; vraag een nieuw",
        "the token does not count with its own certificate either; ask a new one",
    ),
    "late": Words("geen antwoord binnen de tijd", "no answer in time"),
    "broken": Words("de verbinding brak af", "the connection broke off"),
    "http": Words("er kwam geen HTTP-antwoord", "there was no HTTP answer"),
    "https-only": Words("dit is zelf de controlepoort", "this is the port under check itself"),
}


def skipped(reason: str, evidence: str = "") -> Result:
    """It could not be judged; `reason` is a key of the reasons."""
    return Result(Outcome.SKIP, evidence, _REASONS[reason])
