"""The words of the simulated provider's pages in Dutch and English."""

LANGUAGES = ("nl", "en")

_NL = {
    "title": "Inloggen bij de testregistratie van zorgverleners",
    "site": "Dezi-simulator",
    "test": "Nagebootste inlogdienst met verzonnen zorgverleners. Niet gebruiken voor echte zorg.",
    "lead": "Kies als wie u wilt inloggen.",
    "warning": "Deze pagina bootst een inlogdienst na; er wordt geen wachtwoord of pas gevraagd. "
    "In een echte omgeving logt u in met een erkend middel.",
    "as": "Inloggen als",
    "cancel": "Annuleren en teruggaan",
    "skip": "Naar de inhoud",
    "languages": "Taal",
    "problem": "Inloggen kan zo niet beginnen",
    "problem_lead": "De toepassing waar u vandaan komt stuurde een vraag die wij weigeren. "
    "Ga terug en probeer het opnieuw; blijft dit zo, vraag dan de beheerder van die toepassing.",
    "nl": "Nederlands",
    "en": "English",
}
_EN = {
    "title": "Sign in at the test register of practitioners",
    "site": "Dezi simulator",
    "test": "Simulated sign-in provider with fictitious practitioners. Not for real care.",
    "lead": "Choose whom to sign in as.",
    "warning": "This page simulates a sign-in provider; no password or card is asked. "
    "In a real environment you sign in with a recognized means.",
    "as": "Sign in as",
    "cancel": "Cancel and go back",
    "skip": "Skip to content",
    "languages": "Language",
    "problem": "Signing in cannot begin like this",
    "problem_lead": "The application you came from sent a question that we refuse. "
    "Go back and try again; if it stays so, ask that application's operator.",
    "nl": "Nederlands",
    "en": "English",
}
TEXTS = {"nl": _NL, "en": _EN}


def language(wanted: str, accepted: str) -> str:
    """The language to answer in: the first of ours that is asked for, else Dutch."""
    for part in [*wanted.split(), *accepted.split(",")][:16]:
        code = part.partition(";")[0].strip().lower()[:2]
        if code in LANGUAGES:
            return code
    return LANGUAGES[0]
