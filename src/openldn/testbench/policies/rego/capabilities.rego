# Whether a request stays within a CapabilityStatement: interaction, parameters, includes.
package openldn.oracle.capabilities

import rego.v1

resources := [resource |
	some rest in data.statements[input.policy].rest
	some resource in rest.resource
	resource.type == input.resource.type
]

default allowed := false

allowed if {
	count(resources) > 0
	interaction_known
	every name, _ in input.action.fhir_rest.search_params { name in parameters }
	every include in input.action.fhir_rest.include { include in includes }
	every include in input.action.fhir_rest.revinclude { include in revincludes }
}

interaction_known if {
	some resource in resources
	some interaction in resource.interaction
	interaction.code == input.action.fhir_rest.interaction_type
}

interaction_known if {
	input.action.fhir_rest.interaction_type == "operation"
	input.resource.id == ""
	some resource in resources
	some operation in resource.operation
	operation.name == trim_prefix(input.action.fhir_rest.operation, "$")
}

parameters contains parameter.name if {
	some resource in resources
	some parameter in resource.searchParam
}

includes contains include if {
	some resource in resources
	some include in resource.searchInclude
}

revincludes contains include if {
	some resource in resources
	some include in resource.searchRevInclude
}
