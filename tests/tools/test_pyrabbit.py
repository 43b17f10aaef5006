"""pyrabbit2, a client library of the HTTP API: all of its calls that a broker of one node can answer."""

import json
import subprocess
import sys

from tests.tools.conftest import DEADLINE_S, Node, require

SCRIPT = """
import json, sys
from pyrabbit2.api import Client

api = Client(sys.argv[1], "guest", "guest")
assert api.is_alive()
told = {"whoami": api.get_whoami()["name"], "nodes": len(api.get_nodes()), "overview": "rabbitmq_version" in
        api.get_overview(), "cluster": bool(api.get_cluster_name()["name"]), "extensions": api.get_extensions()}
api.create_vhost("py")
api.create_user("pu", "p", tags="management")
api.set_vhost_permissions("py", "pu", ".*", ".*", "^a")
api.set_vhost_permissions("py", "guest", ".*", ".*", ".*")
told["vhosts"] = api.get_vhost_names()
told["vhost"] = api.get_vhost("py")["name"]
told["users"] = [each["name"] for each in api.get_users()]
told["permission"] = api.get_permission("py", "pu")["write"]
told["permissions"] = [len(api.get_vhost_permissions("py")), len(api.get_user_permissions("pu"))]
assert api.create_exchange("py", "px", "topic")
api.create_queue("py", "pq")
api.create_binding("py", "px", "pq", "a.#")
told["exchange"] = api.get_exchange("py", "px")["type"]
told["bindings"] = [each["routing_key"] for each in api.get_queue_bindings("py", "pq")]
told["published"] = [api.publish("py", "px", "a.b", "hello"), api.publish("py", "px", "none", "x")]
told["depth"] = api.get_queue_depth("py", "pq")
told["queues"] = [each["name"] for each in api.get_queues("py")]
told["messages"] = [each["payload"] for each in api.get_messages("py", "pq", 1, True)]
api.purge_queues([("pq", "py")])
told["purged"] = api.get_queue("py", "pq")["messages"]
api.delete_binding("py", "px", "pq", "a.%23")
api.create_policy("py", "pp", pattern="^p", definition={"max-length": 1})
told["policy"] = api.get_policy("py", "pp")["definition"]
api.delete_policy("py", "pp")
told["connections"] = [api.get_connections(), api.get_channels()]
told["definitions"] = sorted(each["name"] for each in api.get_definitions()["vhosts"])
api.delete_queue("py", "pq")
api.delete_exchange("py", "px")
api.delete_permission("py", "pu")
api.delete_user("pu")
api.delete_vhost("py")
told["after"] = api.get_vhost_names()
json.dump(told, open(sys.argv[2], "w"))
"""


def test_pyrabbit_makes_uses_and_deletes_everything(node: Node, tmp_path) -> None:  # type: ignore[no-untyped-def]
    require("pyrabbit2")
    told = tmp_path / "told"
    command = [sys.executable, "-c", SCRIPT, f"127.0.0.1:{node.http_port}", str(told)]
    done = subprocess.run(command, env=node.environment, capture_output=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(told.read_text()) == {
        "whoami": "guest",
        "nodes": 1,
        "overview": True,
        "cluster": True,
        "extensions": [],
        "vhosts": ["/", "py"],
        "vhost": "py",
        "users": ["guest", "pu"],
        "permission": "^a",
        "permissions": [2, 1],
        "exchange": "topic",
        "bindings": ["pq", "a.#"],
        "published": [True, False],
        "depth": 1,
        "queues": ["pq"],
        "messages": ["hello"],
        "purged": 0,
        "policy": {"max-length": 1},
        "connections": [[], []],
        "definitions": ["/", "py"],
        "after": ["/"],
    }
