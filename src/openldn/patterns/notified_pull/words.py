"""The names and codes of the harmonized notified pull on the wire (FHIR R4)."""

from openldn.fhir.identifiers import CANON

TASK_CODES = "http://hl7.org/fhir/CodeSystem/task-code"
WORKFLOW = "https://fhir.twiin.nl/ig/workflow/CodeSystem/ta-workflow"
FULFILL, ASK_WHO = "fulfill", "request-fulfillment"  # for one; to see who could
CODES = {FULFILL: TASK_CODES, ASK_WHO: WORKFLOW}
COORDINATION = f"{CANON}/CodeSystem/coordination"  # what Twiin has no code for
PROFILE = f"{CANON}/StructureDefinition/coordination-task"
CODED = f"{CANON}/StructureDefinition/coordination-input-code"  # what a part of the data is
URI = "urn:ietf:rfc:3986"
CUSTODIAN = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"

# What the inputs of a Task are.
WORK, QUERY, RESOURCE = "type-of-work", "supplemental-query", "supplemental-resource"
BASE, PROPOSED_DATE = "authorization-base", "proposed-date"

BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"
NOTIFICATION = f"{BACKPORT}/backport-subscription-notification-r4"
STATUS = f"{BACKPORT}/backport-subscription-status-r4"
PAYLOAD = f"{BACKPORT}/backport-payload-content"
FILTER = f"{BACKPORT}/backport-filter-criteria"
HEARTBEAT = f"{BACKPORT}/backport-heartbeat-period"
TOPIC = f"{CANON}/SubscriptionTopic/coordination"
BASE_TYPE = (COORDINATION, "authorization-base")
