# BgZ 2017 as published: within the capabilities, consent of the registry, a known patient, and a
# query of the table.
package openldn.oracle.bgz

import rego.v1

rest := input.action.fhir_rest

default allow := false

allow if {
	data.openldn.oracle.capabilities.allowed
	input.context.mitz_consent == true
	patient_known
	query
}

patient_known if input.context.patient_id != ""

patient_known if input.context.patient_bsn != ""

# Each repeat of a parameter is a group of values; one group, compared as a set.
values(name) := found if {
	groups := rest.search_params[name]
	count(groups) == 1
	found := {value | some value in groups[0]}
}

included := {include | some include in rest.include}

search(type) if {
	rest.interaction_type == "search-type"
	input.resource.type == type
}

last(type) if {
	rest.interaction_type == "operation"
	rest.operation == "$lastn"
	input.resource.type == type
}

sct(codes) := {sprintf("http://snomed.info/sct|%s", [code]) | some code in codes}

loinc(codes) := {sprintf("http://loinc.org|%s", [code]) | some code in codes}

query if { some type in plain; search(type) }

plain := {
	"Condition", "NutritionOrder", "Flag", "AllergyIntolerance", "ImmunizationRecommendation",
}

query if { search("Patient"); rest.include == ["Patient:general-practitioner"] }

query if { search("Coverage"); included == {"Coverage:payor:Patient", "Coverage:payor:Organization"} }

query if {
	search("Consent")
	some code in {"11291000146105", "11341000146107"}
	values("category") == sct({code})
}

query if {
	search("Observation")
	some code in {"228366006", "228273003", "365980008"}
	values("code") == sct({code})
}

query if { last("Observation"); values("category") == sct({"118228005", "384821006"}) }

query if { last("Observation"); values("code") == sct({"365508006"}) }

query if { last("Observation"); values("code") == loinc({"85354-9"}) }

query if { last("Observation"); values("code") == loinc({"8302-2", "8306-3", "8308-9"}) }

query if {
	last("Observation")
	values("category") == sct({"275711006"})
	included == {"Observation:related-target", "Observation:specimen"}
}

query if {
	search("MedicationStatement")
	values("category") == {"urn:oid:2.16.840.1.113883.2.4.3.11.60.20.77.5.3|6"}
	rest.include == ["MedicationStatement:medication"]
}

query if {
	some type, code in {"MedicationRequest": "16076005", "MedicationDispense": "422037009"}
	search(type)
	values("category") == sct({code})
	rest.include == [sprintf("%s:medication", [type])]
}

query if { search("DeviceUseStatement"); rest.include == ["DeviceUseStatement:device"] }

query if {
	search("DeviceRequest")
	values("status") == {"active"}
	rest.include == ["DeviceRequest:device"]
}

query if {
	some type, status in {"Immunization": "completed", "ProcedureRequest": "active", "DocumentReference": "current"}
	search(type)
	values("status") == {status}
}

query if { search("Procedure"); values("category") == sct({"387713003"}) }

query if {
	search("Encounter")
	values("class") == {sprintf("http://hl7.org/fhir/v3/ActCode|%s", [code]) | some code in {"IMP", "ACUTE", "NONAC"}}
}

query if { search("Appointment"); values("status") == {"booked", "pending", "proposed"} }

query if { rest.interaction_type == "read"; input.resource.type == "DocumentReference" }
