"""Parameters, of virtual hosts and of the node. RabbitMQ: HTTP API, ``/api/parameters``, ``/api/global-parameters``.

Limits and operator policies show here, too, since RabbitMQ keeps them so.
"""

from typing import Any, Final

from broker.core.access.limits import VHOST_LIMITS
from broker.core.parameters import ParameterKey
from broker.core.vhosts import VirtualHost
from broker.management.call import CREATED, NO_CONTENT, Call, Empty, Listing, found, text_in
from broker.management.errors import BadRequest, NotThere
from broker.management.limits import checked_limits
from broker.management.node import CLUSTER_NAME
from broker.management.policies import policy_of
from broker.management.routing import Row

VHOST_LIMITS_COMPONENT: Final = "vhost-limits"
OPERATOR_POLICY_COMPONENT: Final = "operator_policy"

Parameter = dict[str, Any]


def parameters_of(call: Call, vhost: VirtualHost, component: str | None = None) -> list[Parameter]:
    """Return the parameters of a virtual host, all or those of one component."""
    listed: list[Parameter] = []
    if vhost.limits and component in (None, VHOST_LIMITS_COMPONENT):
        listed.append(_parameter(dict(vhost.limits), ParameterKey(vhost.name, VHOST_LIMITS_COMPONENT, "limits")))
    if component in (None, OPERATOR_POLICY_COMPONENT):
        for policy in vhost.policies.listed("operator-policy"):
            value = {
                "pattern": policy.pattern,
                "definition": dict(policy.definition),
                "priority": policy.priority,
                "apply-to": policy.apply_to,
            }
            listed.append(_parameter(value, ParameterKey(vhost.name, OPERATOR_POLICY_COMPONENT, policy.name)))
    kept = call.broker.parameters.listed(vhost.name, component)
    return listed + [_parameter(value, key) for key, value in kept]


def _parameter(value: Any, key: ParameterKey) -> Parameter:
    return {"value": value, "vhost": key.vhost, "component": key.component, "name": key.name}


def list_parameters(call: Call) -> Listing:
    component = call.parameters.get("component")
    listed = [each for vhost in call.visible_vhosts() for each in parameters_of(call, vhost, component)]
    return Listing(listed, dict, name_of=lambda each: str(each["name"]))


def list_vhost_parameters(call: Call) -> Listing:
    return Listing(parameters_of(call, call.vhost(), call["component"]), dict, name_of=lambda each: str(each["name"]))


def _named(call: Call) -> Parameter | None:
    listed = parameters_of(call, call.vhost(), call["component"])
    return next((each for each in listed if each["name"] == call["name"]), None)


def get_parameter(call: Call) -> Parameter:
    parameter: Parameter = found(_named(call))
    return parameter


def set_parameter(call: Call, key: ParameterKey, value: Any) -> None:
    """Set a parameter that may be one of those that the broker acts on. Raises BadRequest, PolicyError."""
    if key.component == VHOST_LIMITS_COMPONENT:
        if not isinstance(value, dict):
            raise BadRequest("Validation failed\n\nlimits should be an object\n")
        call.broker.access_control.set_vhost_limits(key.vhost, checked_limits(value, VHOST_LIMITS, "limits"))
    elif key.component == OPERATOR_POLICY_COMPONENT:
        if not isinstance(value, dict) or not {"pattern", "definition"} <= value.keys():
            raise BadRequest("Validation failed\n\npattern and definition should be given\n")
        call.broker.vhosts[key.vhost].policies.set(policy_of("operator-policy", key.name, value))
    elif key.component == "policy":
        raise BadRequest("policies may not be set using this method")
    else:
        # Shovels and federation among them: RabbitMQ without their plugins says the same.
        raise BadRequest(f"Validation failed\n\ncomponent {key.component} not found\n")


def put_parameter(call: Call) -> Empty:
    call.check_entry()
    value = call.fields("value")["value"]
    was_there = _named(call) is not None
    set_parameter(call, ParameterKey(call["vhost"], call["component"], call["name"]), value)
    return NO_CONTENT if was_there else CREATED


def delete_parameter(call: Call) -> Empty:
    call.check_entry()
    if _named(call) is None:
        raise NotThere
    if call["component"] == VHOST_LIMITS_COMPONENT:
        call.broker.access_control.set_vhost_limits(call["vhost"], {})
    elif call["component"] == OPERATOR_POLICY_COMPONENT:
        call.vhost().policies.clear("operator-policy", call["name"])
    else:
        call.broker.parameters.set(ParameterKey(call["vhost"], call["component"], call["name"]), None)
    return NO_CONTENT


# Of the node


def list_globals(call: Call) -> list[Parameter]:
    return [{"name": name, "value": value} for name, value in call.broker.parameters.globals_listed()]


def get_global(call: Call) -> Parameter:
    return {"value": found(call.broker.parameters.get_global(call["name"])), "name": call["name"]}


def put_global(call: Call) -> Empty:
    value = call.fields("value")["value"]
    if value is None:
        raise BadRequest("null_not_allowed")
    return NO_CONTENT if call.broker.parameters.set_global(call["name"], value) else CREATED


def delete_global(call: Call) -> Empty:
    if not call.broker.parameters.set_global(call["name"], None):
        raise NotThere
    return NO_CONTENT


def get_cluster_name(call: Call) -> dict[str, str]:
    return {"name": call.node.cluster_name}


def put_cluster_name(call: Call) -> Empty:
    call.broker.parameters.set_global(CLUSTER_NAME, text_in(call.fields("name"), "name"))
    return NO_CONTENT


_OF_VHOST: Final = "/api/parameters/{component}/{vhost}"

ROWS: Final = (
    Row("GET", "/api/parameters", list_parameters, "All parameters", "policymaker"),
    Row("GET", "/api/parameters/{component}", list_parameters, "Those of one component", "policymaker"),
    Row("GET", _OF_VHOST, list_vhost_parameters, "Those of one component in a virtual host", "policymaker"),
    Row("GET", _OF_VHOST + "/{name}", get_parameter, "One parameter", "policymaker"),
    Row("PUT", _OF_VHOST + "/{name}", put_parameter, "Set a parameter", "policymaker"),
    Row("DELETE", _OF_VHOST + "/{name}", delete_parameter, "Remove a parameter", "policymaker"),
    Row("GET", "/api/global-parameters", list_globals, "All parameters of the node", "policymaker"),
    Row("GET", "/api/global-parameters/{name}", get_global, "One of them", "policymaker"),
    Row("PUT", "/api/global-parameters/{name}", put_global, "Set one", "policymaker"),
    Row("DELETE", "/api/global-parameters/{name}", delete_global, "Remove one", "policymaker"),
    Row("GET", "/api/cluster-name", get_cluster_name, "The cluster's name"),
    Row("PUT", "/api/cluster-name", put_cluster_name, "Name the cluster", "administrator"),
)
