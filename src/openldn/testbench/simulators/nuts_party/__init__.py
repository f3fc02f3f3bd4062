"""A nursing home on Nuts: eOverdracht by a notification without a body, tokens by presentations.

Source: infrastructures §4; exchange patterns §2.2; trust and broker §5.1.
"""

from openldn.testbench.simulators.party.manner import NUTS_HANDOFF, Manner

MANNER = Manner(
    infrastructure="nuts",
    wires=(NUTS_HANDOFF,),
    takes=frozenset({"D1"}),
    presents=True,
    certificates=False,
    replies={"S2": 204},  # Nictiz advises 202; the demonstration of Nuts answers 204
    unverified=("how long it goes on notifying: once, as a test decides about the next",),
)
