"""What can come of each step: the sentence, whose turn it is and what to do. Data only."""

from collections.abc import Mapping
from dataclasses import dataclass

US, PEER, DIRECTORY, NOBODY = "us", "peer", "directory", ""


@dataclass(frozen=True)
class Saying:
    """One outcome of a step in words; pages have the same under the same key in each language."""

    text: str
    turn: str = NOBODY
    advice: str = ""


_RENEW = "renew it, put it in its place and restart the node"
_ASK_LATER = "try again; when it goes on, call its operator"
SAYINGS: Mapping[str, Saying] = {
    "participant.known": Saying("Both stand in the directory and are active."),
    "participant.us-unknown": Saying(
        "We do not stand in the directory.", US, "let the node publish its entry; see its log"
    ),
    "participant.us-inactive": Saying(
        "We stand in the directory as no longer active.", US, "make our entry active again"
    ),
    "participant.unknown": Saying(
        "The other party does not stand in the directory.",
        PEER,
        "check the URA; else it must publish its entry",
    ),
    "participant.inactive": Saying(
        "The other party stands in the directory as no longer active.",
        PEER,
        "ask whether it still takes part; choose another",
    ),
    "directory.away": Saying(
        "The directory cannot be asked.", DIRECTORY, "see whether it runs and we can reach it"
    ),
    "endpoint.found": Saying("The directory has an address of it for this exchange."),
    "endpoint.none": Saying(
        "The directory has no active address of it for this exchange.",
        PEER,
        "it must publish an address with the payload type of the exchange",
    ),
    "road.own": Saying("We travel its road, and prove ourselves there."),
    "road.broker": Saying("We travel its road; the broker translates who we are."),
    "road.none": Saying(
        "This node has no road to the infrastructure it is on.", US, "connect that infrastructure"
    ),
    "road.unable": Saying(
        "This node cannot prove itself on its road.", US, "set a broker in the settings of the node"
    ),
    "dialect.shared": Saying("Both speak this exchange in the same FHIR version."),
    "dialect.fhir": Saying(
        "Its address speaks a FHIR version in which this exchange has no release.",
        PEER,
        "it must publish an address in a version of the exchange",
    ),
    "tls.reached": Saying("It answers at its address, over TLS."),
    "tls.timeout": Saying("It gives no answer in time.", PEER, _ASK_LATER),
    "tls.unreachable": Saying("It cannot be reached at its address.", PEER, _ASK_LATER),
    "trust.believed": Saying("Both sides believe each other's certificate; it is the right party."),
    "trust.own-ended": Saying(
        "A certificate of our own does not count: it has ended, or does not begin yet.", US, _RENEW
    ),
    "trust.own-unreadable": Saying(
        "A key or certificate of our own cannot be used.", US, "run openldn doctor"
    ),
    "trust.own-credential": Saying(
        "Our wallet has no credential that counts, and its road asks for one.",
        US,
        "have one issued and load it into the wallet",
    ),
    "trust.ours": Saying(
        "It does not accept our certificate.",
        US,
        "see whether ours counts still; else it must add who issued it",
    ),
    "trust.broken": Saying(
        "It broke off the connection; mostly that is our certificate.",
        US,
        "see whether ours counts still, and ask its operator whether it believes who issued it",
    ),
    "trust.theirs": Saying(
        "We do not believe the certificate at its address.",
        PEER,
        "it must show one that counts, of an issuer we believe",
    ),
    "trust.other": Saying(
        "At its address another organization answers; nothing was sent.",
        PEER,
        "it must correct its entry in the directory",
    ),
    "token.given": Saying("It gives us a token."),
    "token.refused": Saying(
        "It refuses us a token.", PEER, "give it the time and our URA; its log has the reason"
    ),
    "token.unable": Saying(
        "We cannot ask a token in its dialect.", US, "set a broker in the settings of the node"
    ),
    "token.away": Saying("Who gives tokens for it does not answer well.", PEER, _ASK_LATER),
    "capability.all": Saying("It says that it can answer every question of this exchange."),
    "capability.unsure": Saying(
        "Its statement does not list all that this exchange asks; it may answer all the same.",
        NOBODY,
        "tell its operator when answers stay out",
    ),
    "capability.some": Saying(
        "It says that it cannot answer some questions of this exchange.",
        PEER,
        "expect gaps in the answer; ask its operator for the rest",
    ),
    "capability.none": Saying(
        "It says that it cannot answer any question of this exchange.",
        PEER,
        "it must serve the exchange, or take its address out of the directory",
    ),
    "capability.pushed": Saying("It has an address for what is pushed in this exchange."),
    "capability.untold": Saying(
        "It does not tell what it can answer; a question may be put all the same.",
        NOBODY,
        "tell its operator that its CapabilityStatement is missing or wrong",
    ),
    "policy.open": Saying("It refused only because we named no patient: the way is open."),
    "policy.purpose": Saying(
        "The exchange may not be used for this purpose.", US, "choose a purpose of the exchange"
    ),
    "policy.role": Saying("This is no role code of UZI.", US, "give a code such as 01.015"),
    "policy.unpurposed": Saying(
        "It refused because we named no patient, and saw no purpose: without a person some roads "
        "carry none.",
        NOBODY,
        "ask as a person about a real patient to know more",
    ),
    "policy.token": Saying(
        "It does not accept the token that it gave us.", PEER, "give it the time and our URA"
    ),
    "policy.party": Saying(
        "It refuses us whatever the patient.", PEER, "have it look at the reason with us"
    ),
    "policy.not-served": Saying(
        "It does not serve this kind of data at its address.", PEER, "tell its operator"
    ),
    "policy.untold": Saying(
        "It refuses a question without a patient and gives no reason that we know.",
        NOBODY,
        "ask about a real patient to know more",
    ),
    "policy.unguarded": Saying(
        "It answered a question without a patient; what came was thrown away.",
        PEER,
        "tell its operator at once",
    ),
    "policy.busy": Saying("It is too busy to answer now.", NOBODY, "try again in a minute"),
    "policy.fails": Saying("It fails to answer.", PEER, _ASK_LATER),
    "not-tried": Saying("Not tried: an earlier step fails."),
}
