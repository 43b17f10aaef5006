"""Policies and operator policies. RabbitMQ: HTTP API, ``/api/policies``, ``/api/operator-policies``."""

from typing import Any, Final

from broker.core.policies.policies import Policy, PolicyKind
from broker.management.call import CREATED, NO_CONTENT, Call, Empty, Handler, Listing, found
from broker.management.errors import BadRequest, NotThere
from broker.management.json_terms import escaped, json_term
from broker.management.routing import Row


def describe_policy(vhost: str, policy: Policy) -> dict[str, Any]:
    """Return a policy of a virtual host."""
    return {
        "vhost": vhost,
        "name": policy.name,
        "pattern": policy.pattern,
        "apply-to": policy.apply_to,
        "definition": dict(policy.definition),
        "priority": policy.priority,
    }


def policy_of(kind: PolicyKind, name: str, fields: dict[str, Any]) -> Policy:
    """Return the policy that a body's fields make. Raises BadRequest, PolicyError."""
    pattern, definition, apply_to = fields["pattern"], fields["definition"], fields.get("apply-to", "all")
    if not isinstance(pattern, str):
        raise BadRequest(escaped(f"Validation failed\n\npattern should be a binary but was {json_term(pattern)}\n"))
    if not isinstance(definition, dict):
        raise BadRequest("Validation failed\n\ndefinition should be an object\n")
    priority = fields.get("priority", 0)
    if not isinstance(priority, int) or isinstance(priority, bool):
        text = f"Validation failed\n\npriority should be a number, actually was {json_term(priority)}\n"
        raise BadRequest(escaped(text))
    return Policy(
        name, pattern, definition, priority, apply_to if isinstance(apply_to, str) else json_term(apply_to), kind
    )


def _named(call: Call, kind: PolicyKind) -> Policy | None:
    listed = call.vhost().policies.listed(kind)
    return next((policy for policy in listed if policy.name == call["name"]), None)


def _list_all(kind: PolicyKind) -> Handler:
    def list_policies(call: Call) -> Listing:
        pairs = [(vhost.name, policy) for vhost in call.visible_vhosts() for policy in vhost.policies.listed(kind)]
        return Listing(pairs, lambda pair: describe_policy(*pair), name_of=lambda pair: pair[1].name)

    return list_policies


def _list_vhost(kind: PolicyKind) -> Handler:
    def list_policies(call: Call) -> Listing:
        name = call["vhost"]
        listed = call.vhost().policies.listed(kind)
        return Listing(listed, lambda policy: describe_policy(name, policy))

    return list_policies


def _get(kind: PolicyKind) -> Handler:
    def get_policy(call: Call) -> dict[str, Any]:
        return describe_policy(call["vhost"], found(_named(call, kind)))

    return get_policy


def _put(kind: PolicyKind) -> Handler:
    def put_policy(call: Call) -> Empty:
        call.check_entry()
        policy = policy_of(kind, call["name"], call.fields("pattern", "definition"))
        was_there = _named(call, kind) is not None
        call.vhost().policies.set(policy)
        return NO_CONTENT if was_there else CREATED

    return put_policy


def _delete(kind: PolicyKind) -> Handler:
    def delete_policy(call: Call) -> Empty:
        call.check_entry()
        if _named(call, kind) is None:
            raise NotThere
        call.vhost().policies.clear(kind, call["name"])
        return NO_CONTENT

    return delete_policy


ROWS: Final = (
    Row("GET", "/api/policies", _list_all("policy"), "All policies"),
    Row("GET", "/api/policies/{vhost}", _list_vhost("policy"), "Policies of a virtual host"),
    Row("GET", "/api/policies/{vhost}/{name}", _get("policy"), "One policy", "policymaker"),
    Row("PUT", "/api/policies/{vhost}/{name}", _put("policy"), "Set a policy", "policymaker"),
    Row("DELETE", "/api/policies/{vhost}/{name}", _delete("policy"), "Remove a policy", "policymaker"),
    Row("GET", "/api/operator-policies", _list_all("operator-policy"), "All operator policies"),
    Row("GET", "/api/operator-policies/{vhost}", _list_vhost("operator-policy"), "Those of a virtual host"),
    Row(
        "GET", "/api/operator-policies/{vhost}/{name}", _get("operator-policy"), "One operator policy", "administrator"
    ),
    Row("PUT", "/api/operator-policies/{vhost}/{name}", _put("operator-policy"), "Set one", "administrator"),
    Row("DELETE", "/api/operator-policies/{vhost}/{name}", _delete("operator-policy"), "Remove one", "administrator"),
)
