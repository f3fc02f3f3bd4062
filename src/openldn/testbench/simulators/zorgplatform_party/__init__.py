"""A hospital on Zorgplatform: TLS 1.2, assertions of its token service, Twiin TA Notified Pull.

It offers the BgZ as Twiin has it, and the eOverdracht in the mixed form: a Twiin notification about
an eOverdracht Task. Source: infrastructures §3; exchange patterns §2.1, §2.4.
"""

from openldn.testbench.simulators.party.manner import MIXED_HANDOFF, TWIIN_BGZ, Manner

MANNER = Manner(
    infrastructure="zorgplatform",
    wires=(TWIIN_BGZ, MIXED_HANDOFF),
    takes=frozenset({"D2", "SAML"}),
    tls_1_2=True,
    replies={"S3": 201, "again": 200, "S6": 200},
    unverified=(
        "its own endpoints for the notified pull are not public: Twiin's are simulated",
        "the renegotiation that its TLS asks for: refused by the TLS of this process",
    ),
)
