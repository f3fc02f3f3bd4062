"""A stand-in for Zorgplatform: an STS over mutual TLS, launches into applications, and FHIR.

What is not published of the real one stands in `behavior.json`, marked `verified: false`.
"""

from openldn.testbench.simulators.zorgplatform.api import app, context_of
from openldn.testbench.simulators.zorgplatform.model import ZorgplatformSettings
from openldn.testbench.simulators.zorgplatform.platform import Platform

__all__ = ["Platform", "ZorgplatformSettings", "app", "context_of"]
