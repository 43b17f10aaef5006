"""Every path of the API, with each of its methods, does what it is for: one script that leaves none of them out."""

import contextlib
import http.client
import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from string import Template
from urllib.parse import quote

import pika
import pytest

from broker.management.table import ROUTES, ROWS
from tests.brokers import RunningBroker
from tests.management.client import Api

SECONDS = 20
VHOST = "every/one"

SCRIPT = """
GET /
GET /cli
GET /cli/index.html
GET /cli/rabbitmqadmin
GET /health/live
GET /health/ready
GET /metrics
GET /metrics/per-object
GET /metrics/memory-breakdown
GET /metrics/detailed?family=queue_coarse_metrics

GET overview
GET version
GET whoami
GET nodes
GET nodes/$node
GET nodes/$node/memory
GET nodes/$node/memory/relative
GET config/effective
DELETE reset
DELETE reset/$node
GET extensions
GET feature-flags
PUT feature-flags/quorum_queue/enable {}
GET deprecated-features
GET deprecated-features/used
GET shovels
GET shovels/$v
GET federation-links
GET federation-links/state/down
GET federation-links/$v
GET federation-links/$v/state/down
GET cluster-name
PUT cluster-name {"name": "cluster"}
GET global-parameters
PUT global-parameters/g {"value": 1}
GET global-parameters/g
DELETE global-parameters/g

GET health/checks/alarms
GET health/checks/local-alarms
GET health/checks/port-listener/$port
GET health/checks/protocol-listener/amqp
GET health/checks/virtual-hosts
GET health/checks/node-is-quorum-critical
GET health/checks/node-is-mirror-sync-critical
GET health/checks/is-in-service
GET health/checks/ready-to-serve-clients
GET health/checks/below-node-connection-limit
GET health/checks/reached-target-cluster-size
GET health/checks/metadata-store/initialized
GET health/checks/metadata-store/initialized/with-data
GET health/checks/certificate-expiration/1/weeks
GET health/checks/quorum-queues-without-elected-leaders/all-vhosts
GET health/checks/quorum-queues-without-elected-leaders/vhost/$v
GET health/checks/quorum-queues-without-elected-leaders/all-vhosts/pattern/q
GET health/checks/quorum-queues-without-elected-leaders/vhost/$v/pattern/q
GET healthchecks/node
GET healthchecks/node/$node
GET aliveness-test/$v

GET vhosts
GET vhosts/$v
PUT vhosts/gone {"description": "not for long"}
POST vhosts/gone/deletion/protection
DELETE vhosts/gone/deletion/protection
POST vhosts/gone/start/$node
DELETE vhosts/gone
GET vhost-limits
PUT vhost-limits/$v/max-queues {"value": 50}
GET vhost-limits/$v
DELETE vhost-limits/$v/max-queues
GET parameters
PUT parameters/vhost-limits/$v/limits {"value": {"max-queues": 50}}
GET parameters/vhost-limits
GET parameters/vhost-limits/$v
GET parameters/vhost-limits/$v/limits
DELETE parameters/vhost-limits/$v/limits

PUT users/u {"password": "p", "tags": "management"}
GET users
GET users/u
GET users/without-permissions
PUT permissions/$v/u {"configure": "", "write": "", "read": ""}
GET permissions
GET permissions/$v/u
GET vhosts/$v/permissions
GET users/u/permissions
PUT topic-permissions/$v/u {"exchange": "amq.topic", "write": "", "read": ""}
GET topic-permissions
GET topic-permissions/$v/u
GET topic-permissions/$v/u/amq.topic
GET vhosts/$v/topic-permissions
GET users/u/topic-permissions
DELETE topic-permissions/$v/u/amq.topic
PUT topic-permissions/$v/u {"exchange": "amq.topic", "write": "", "read": ""}
DELETE topic-permissions/$v/u
DELETE permissions/$v/u
GET user-limits
PUT user-limits/u/max-channels {"value": 5}
GET user-limits/u
DELETE user-limits/u/max-channels
POST users/bulk-delete {"users": ["u"]}
PUT users/u {"password": "p", "tags": ""}
DELETE users/u
GET auth
GET auth/hash_password/secret
GET auth/attempts/$node
GET auth/attempts/$node/source
DELETE auth/attempts/$node/source
DELETE auth/attempts/$node

PUT policies/$v/p {"pattern": "^p", "definition": {"max-length": 7}}
GET policies
GET policies/$v
GET policies/$v/p
DELETE policies/$v/p
PUT operator-policies/$v/p {"pattern": "^p", "definition": {"max-length": 7}}
GET operator-policies
GET operator-policies/$v
GET operator-policies/$v/p
DELETE operator-policies/$v/p

PUT exchanges/$v/x {"type": "direct", "durable": true}
PUT exchanges/$v/later {"type": "x-delayed-message", "arguments": {"x-delayed-type": "direct"}}
GET exchanges
GET exchanges/$v
GET exchanges/$v/x
GET exchanges/$v/later/messages
PUT queues/$v/q {"durable": true}
PUT queues/$v/qq {"durable": true, "arguments": {"x-queue-type": "quorum"}}
GET queues
GET queues/detailed
GET queues/$v
GET queues/$v/q
GET queues/quorum/$v/qq/status
POST queues/$v/q/actions {"action": "sync"}
POST queues/quorum/replicas/on/$node/grow {}
DELETE queues/quorum/replicas/on/$node/shrink
POST rebalance/queues {}
POST bindings/$v/e/x/q/q {"routing_key": "k"}
GET bindings
GET bindings/$v
GET bindings/$v/e/x/q/q
GET bindings/$v/e/x/q/q/k
GET queues/$v/q/bindings
GET exchanges/$v/x/bindings/source
GET exchanges/$v/x/route?routing_key=k
POST bindings/$v/e/x/e/amq.topic {"routing_key": "k"}
GET bindings/$v/e/x/e/amq.topic
GET bindings/$v/e/x/e/amq.topic/k
GET exchanges/$v/amq.topic/bindings/destination
DELETE bindings/$v/e/x/e/amq.topic/k

GET queues/$v/q/wait?messages=0&unacknowledged=0&timeout=5
POST exchanges/$v/x/publish {"properties": {}, "routing_key": "k", "payload": "1", "payload_encoding": "string"}
GET queues/$v/q/messages
POST queues/$v/q/get {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
DELETE queues/$v/q/contents
POST exchanges/$v/x/publish {"properties": {}, "routing_key": "no", "payload": "1", "payload_encoding": "string"}
GET unroutable
GET unroutable/$v

GET definitions
GET definitions/$v
GET all-configuration
POST definitions {"vhosts": [{"name": "gone"}]}
POST definitions/$v {"queues": [{"name": "taken", "durable": true, "auto_delete": false, "arguments": {}}]}
POST all-configuration {"vhosts": [{"name": "gone"}]}
DELETE bindings/$v/e/x/q/q/k
DELETE queues/$v/q
DELETE exchanges/$v/x

GET connections
GET connections/$connection
GET connections/$connection/channels
GET connections/$connection/sessions
GET connections/username/guest
GET vhosts/$v/connections
GET channels
GET channels/$channel
GET vhosts/$v/channels
GET consumers
GET consumers/$v
DELETE connections/$connection
DELETE connections/username/guest
"""
"""Method, path (below ``/api`` unless it begins with a slash) and body."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    data_dir: Path = tmp_path_factory.mktemp("every") / "data"
    with RunningBroker(data_dir, "--management-port", "any") as broker:
        yield broker


def steps(names: dict[str, str]) -> Iterator[tuple[str, str, bytes | None]]:
    """Give the script's requests with the names filled in."""
    for line in filter(None, SCRIPT.split("\n")):
        method, path, body = (*Template(line).substitute(names).split(" ", 2), "")[:3]
        yield method, path if path.startswith("/") else f"/api/{path}", body.encode() or None


def test_every_path_does_what_it_is_for(broker: RunningBroker) -> None:
    api = Api(int(broker.wait_for_event("HTTP")["port"]))
    place = quote(VHOST, safe="")
    assert api.put(f"vhosts/{place}") == 201
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", broker.port, VHOST))
    connection.channel().queue_declare("", exclusive=True)
    names = {
        "v": place,
        "node": api.get("overview")["node"],
        "port": str(broker.port),
        "connection": quote(api.get("connections")[0]["name"], safe=""),
        "channel": quote(api.get("channels")[0]["name"], safe=""),
    }
    login = {"authorization": f"Basic {b64encode(b'guest:guest').decode()}", "content-type": "application/json"}
    refused: dict[str, tuple[int, bytes]] = {}
    asked: set[tuple[str, str]] = set()
    with closing(http.client.HTTPConnection("127.0.0.1", api.port, timeout=SECONDS)) as http_connection:
        for method, path, body in steps(names):
            found = ROUTES.find(path.partition("?")[0])
            row = None if found is None else found.row(method)
            assert row is not None, f"{method} {path}"
            asked.add((method, row[0].path))
            http_connection.request(method, path, body, login)
            answer = http_connection.getresponse()
            octets = answer.read()
            if answer.status not in (200, 201, 204):
                refused[f"{method} {path}"] = (answer.status, octets)
            elif answer.status == 200 and answer.headers["content-type"] == "application/json":
                json.loads(octets)
    assert refused == {}
    assert {(row.method, row.path) for row in ROWS} - asked == set()
    with contextlib.suppress(pika.exceptions.AMQPError):
        connection.close()
