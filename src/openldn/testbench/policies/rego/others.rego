# Advance care planning, medication transfer and the directories, as published.
package openldn.oracle.others

import rego.v1

rest := input.action.fhir_rest

within := data.openldn.oracle.capabilities.allowed

searched(type) if { rest.interaction_type == "search-type"; input.resource.type == type }

only(name) := rest.search_params[name][0][0] if {
	count(rest.search_params[name]) == 1
	count(rest.search_params[name][0]) == 1
}

by_bsn if {
	searched("Patient")
	input.context.patient_bsn != ""
	startswith(only("identifier"), "http://fhir.nl/fhir/NamingSystem/bsn|")
}

default pzp_gf := false

pzp_gf if { within; input.context.mitz_consent == true; by_bsn }

pzp_gf if {
	within
	input.context.mitz_consent == true
	searched("Consent")
	input.context.patient_id != ""
	startswith(only("patient"), "Patient/")
	only("scope") == "http://terminology.hl7.org/CodeSystem/consentscope|treatment"
	only("category") == "http://snomed.info/sct|129125009"
}

default medicatieoverdracht_gf := false

medicatieoverdracht_gf if { medication_ground; by_bsn }

medicatieoverdracht_gf if { medication_ground; searched("MedicationRequest") }

medication_ground if {
	within
	input.context.mitz_consent == true
	input.context.patient_bsn != ""
	enrolled := sprintf("http://fhir.nl/fhir/NamingSystem/bsn|%s", [input.context.patient_bsn])
	input.subject.patient_enrollment_identifier == enrolled
}

default mcsd := false

mcsd if within
