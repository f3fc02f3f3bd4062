"""Conversions of several elements at once, by the name that the rows use."""

from openldn.functions.transformation.groups import GROUPS
from openldn.functions.transformation.parties import PARTIES
from openldn.functions.transformation.special import Special
from openldn.functions.transformation.statuses import STATUSES

SPECIALS: dict[str, Special] = {**GROUPS, **PARTIES, **STATUSES}
