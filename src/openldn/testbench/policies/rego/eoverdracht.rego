# Nursing transfer as published, at the sender and at the receiver.
package openldn.oracle.eoverdracht

import rego.v1

rest := input.action.fhir_rest

default sender := false

sender if { consented; rest.interaction_type == "read" }

sender if {
	consented
	input.action.request.method == "PUT"
	rest.interaction_type == "update"
	input.resource.type == "Task"
	input.resource.id != ""
}

sender if {
	consented
	rest.interaction_type == "operation"
	rest.operation == "$document"
	input.resource.type == "Composition"
	input.resource.id != ""
}

said := {consent.permit | some consent in input.resource.consents; consent.scope == "eoverdracht"}

consented if said == {true}

default receiver := false

receiver if {
	input.subject.organization.ura != ""
	input.action.request.method == "POST"
	input.action.request.path in {"", "/"}
}
