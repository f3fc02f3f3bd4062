"""A hospital on the LSP: Twiin TA Notified Pull in STU3, AORTA headers, a closed network.

Source: infrastructures §1 and §2; exchange patterns §2.1.
"""

from openldn.testbench.simulators.party.manner import TWIIN_BGZ, Manner

MANNER = Manner(
    infrastructure="lsp",
    wires=(TWIIN_BGZ,),
    takes=frozenset({"D2"}),
    aorta=True,
    replies={"S3": 201, "again": 200, "S6": 200},
    unverified=(
        "claims of its access tokens: they are opaque here",
        "error codes of its resource broker: those of FHIR are answered",
        "signatures: ES256 with the test certificate, where AORTA has ES512",
    ),
)
