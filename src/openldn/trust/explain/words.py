"""The words of an explanation in Dutch and English; checks keep the words of their rule."""

from collections.abc import Mapping

from openldn.trust.explain.detect import Sort

LANGUAGES = ("en", "nl")

SORTS: Mapping[str, Mapping[Sort, str]] = {
    "en": {
        Sort.JWT: "a signed assertion (JWT)",
        Sort.CREDENTIAL: "a verifiable credential (VC)",
        Sort.PRESENTATION: "a verifiable presentation (VP)",
        Sort.CERTIFICATE: "a certificate (X.509)",
        Sort.SAML: "a SAML assertion",
        Sort.OPAQUE: "an access token without content of its own",
    },
    "nl": {
        Sort.JWT: "een ondertekende verklaring (JWT)",
        Sort.CREDENTIAL: "een verifieerbaar bewijs (VC)",
        Sort.PRESENTATION: "een presentatie van bewijzen (VP)",
        Sort.CERTIFICATE: "een certificaat (X.509)",
        Sort.SAML: "een SAML-verklaring",
        Sort.OPAQUE: "een toegangstoken zonder eigen inhoud",
    },
}
LABELS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "what": "what it is",
        "issuer": "issued by",
        "subject": "about",
        "organization": "organization (URA)",
        "organization_name": "name",
        "audience": "meant for",
        "scope": "scope",
        "purpose": "purpose",
        "id": "id",
        "types": "kind",
        "begins": "counts from",
        "ends": "counts until",
        "algorithm": "algorithm",
        "person": "person",
        "patient": "patient",
        "bound": "bound by",
        "uzi": "UZI number",
        "thumbprint": "thumbprint (SHA-256)",
        "chain": "certificates given",
        "act": "came through",
        "check": "check",
        "clause": "clause",
        "outcome": "outcome",
        "pass": "pass",
        "fail": "FAIL",
        "skip": "skipped",
        "not reached": "not reached",
        "believed": "Believed: every check passes.",
        "disbelieved": "Not believed: {rule} ({source}).",
        "next": "Next step: {step}",
    },
    "nl": {
        "what": "wat het is",
        "issuer": "uitgegeven door",
        "subject": "over",
        "organization": "organisatie (URA)",
        "organization_name": "naam",
        "audience": "bedoeld voor",
        "scope": "scope",
        "purpose": "doel",
        "id": "kenmerk",
        "types": "soort",
        "begins": "telt vanaf",
        "ends": "telt tot",
        "algorithm": "algoritme",
        "person": "persoon",
        "patient": "patiënt",
        "bound": "gebonden aan",
        "uzi": "UZI-nummer",
        "thumbprint": "vingerafdruk (SHA-256)",
        "chain": "aantal certificaten",
        "act": "kwam via",
        "check": "controle",
        "clause": "bron",
        "outcome": "uitkomst",
        "pass": "goed",
        "fail": "FOUT",
        "skip": "overgeslagen",
        "not reached": "niet bereikt",
        "believed": "Geloofd: elke controle slaagt.",
        "disbelieved": "Niet geloofd: {rule} ({source}).",
        "next": "Volgende stap: {step}",
    },
}
# beginning of a reason code -> what to do, the longest that fits counts
STEPS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "": "show the table to who issued it.",
        "jwt.alg": "choose the profile of this peer with --profile; else its signer must use "
        "another algorithm.",
        "jwt.signature": "it was changed, or signed with another key; ask for a new one.",
        "certificate.chain": "give the authority that you trust with --ca; else the owner needs "
        "a certificate of a trusted authority.",
        "certificate.status": "its authority must publish a current list of what is revoked.",
        "certificate.revoked": "it was withdrawn; its owner must renew it.",
        "certificate.party": "this is not a UZI server certificate; use the one of the "
        "organization.",
        "assertion.kid": "give --network, so that the keys of the issuer can be looked up.",
        "assertion.exp": "it has expired; ask for a new one.",
        "assertion.lifetime": "its maker must let it live shorter.",
        "assertion.aud": "it is made for several parties or for none; ask for one of your own.",
        "did.": "give --network, so that its DID document can be looked up.",
        "x5c.": "its maker must send the chain leaf first, with every authority, in x5c.",
        "vc.now": "it has expired or does not count yet; ask for a new one.",
        "vp.lifetime": "its maker must let it live shorter; the profile tells how long.",
        "vp.now": "it has expired; make a new one, for presentations live seconds.",
        "vp.nonce": "its maker must put a fresh nonce in.",
        "saml.when": "it has expired; ask for a new one.",
        "saml.signature": "give the certificate that is pinned for this issuer with --ca.",
        "saml.encrypted": "only the receiver can read it; ask there.",
        "opaque": "give --network of the network it is of; it may have expired.",
    },
    "nl": {
        "": "laat de tabel zien aan wie het uitgaf.",
        "jwt.alg": "kies het profiel van deze partij met --profile; anders moet de ondertekenaar "
        "een ander algoritme gebruiken.",
        "jwt.signature": "het is veranderd of met een andere sleutel ondertekend; vraag een nieuw.",
        "certificate.chain": "geef de autoriteit die u vertrouwt met --ca; anders heeft de "
        "eigenaar een certificaat van een vertrouwde autoriteit nodig.",
        "certificate.status": "de autoriteit moet een actuele lijst van ingetrokken certificaten "
        "publiceren.",
        "certificate.revoked": "het is ingetrokken; de eigenaar moet het vernieuwen.",
        "certificate.party": "dit is geen UZI-servercertificaat; gebruik dat van de organisatie.",
        "assertion.kid": "geef --network, zodat de sleutels van de uitgever te vinden zijn.",
        "assertion.exp": "het is verlopen; vraag een nieuw.",
        "assertion.lifetime": "de maker moet het korter laten gelden.",
        "assertion.aud": "het is voor meer partijen of voor geen gemaakt; vraag er een voor u.",
        "did.": "geef --network, zodat het DID-document te vinden is.",
        "x5c.": "de maker moet de hele keten in x5c sturen, het eigen certificaat eerst.",
        "vc.now": "het is verlopen of telt nog niet; vraag een nieuw.",
        "vp.lifetime": "de maker moet het korter laten gelden; het profiel zegt hoe lang.",
        "vp.now": "het is verlopen; maak een nieuw, want presentaties gelden seconden.",
        "vp.nonce": "de maker moet er een verse nonce in zetten.",
        "saml.when": "het is verlopen; vraag een nieuw.",
        "saml.signature": "geef met --ca het certificaat dat voor deze uitgever is vastgelegd.",
        "saml.encrypted": "alleen de ontvanger kan het lezen; vraag het daar.",
        "opaque": "geef --network van het netwerk waar het bij hoort; het kan verlopen zijn.",
    },
}


def step(code: str, language: str) -> str:
    """What to do about a check that failed."""
    steps = STEPS[language]
    fitting = [begin for begin in steps if code.startswith(begin)]
    return steps[max(fitting, key=len)]
