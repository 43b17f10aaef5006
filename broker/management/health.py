"""Health checks: for load balancers, containers and pipelines. RabbitMQ: HTTP API, ``/api/health/checks``.

``/health/live`` and ``/health/ready`` need no login: who can connect may know that much.
"""

from datetime import datetime
from pathlib import Path
from typing import Any, Final

from starlette.responses import Response

from broker.management.call import Call, encode, found, whole_number
from broker.management.errors import BadRequest
from broker.management.routing import Row
from broker.server.certificate_dates import expiries

OK: Final = {"status": "ok"}
DAYS: Final = {"days": 1, "weeks": 7, "months": 30, "years": 365}
DAY_MS: Final = 86_400_000


def failed(reason: str, **facts: Any) -> Response:
    """Return a check that did not pass."""
    return Response(encode({"status": "failed", "reason": reason, **facts}), 503, media_type="application/json")


def check_alarms(call: Call) -> Any:
    raised = sorted(call.broker.alarms.raised)
    if raised:
        alarms = [{"node": call.node.name, "resource": resource} for resource in raised]
        return failed("There are alarms in effect in the cluster", alarms=alarms)
    return OK


def check_port(call: Call) -> Any:
    port = whole_number(call["port"])
    ports = sorted({each for _, _, each in call.broker.listening})
    if port not in ports:
        return failed("No active listener", missing=port, ports=ports)
    return {**OK, "port": port}


def check_protocols(call: Call) -> Any:
    protocols = list(dict.fromkeys(protocol for protocol, _, _ in call.broker.listening))
    wanted = [_protocol(name) for name in call["protocols"].split(",")]
    missing = [name for name in wanted if name not in protocols]
    if missing:
        return failed("No active listener", missing=call["protocols"], protocols=protocols)
    return {**OK, "protocol": ",".join(wanted)}


def _protocol(name: str) -> str:
    return {"amqp091": "amqp", "amqp0.9.1": "amqp", "amqp10": "amqp", "amqps": "amqp/ssl"}.get(name, name)


def is_ok(call: Call) -> dict[str, str]:
    return OK


def is_taking_clients(call: Call) -> Any:
    why_shut = call.broker.door.why_shut
    return failed(why_shut) if why_shut else OK


def is_below_connection_limit(call: Call) -> Any:
    most, count = call.broker.admission.connection_max, len(call.broker.connections)
    if most and count >= most:
        return failed("node connection limit is reached", connections=count, limit=most)
    return OK


def is_single(call: Call) -> dict[str, str]:
    return {**OK, "reason": "single node cluster"}


def check_certificates(call: Call) -> Any:
    """Say which listeners have a certificate, or an authority, that ends soon. The files are looked at, not the TLS."""
    if call["unit"] not in DAYS:
        raise BadRequest(f"Time unit not recognised. Supported units: {', '.join(DAYS)}.")
    try:
        days = whole_number(call["within"]) * DAYS[call["unit"]]
    except BadRequest:
        raise BadRequest("Invalid expiration value.") from None
    last_ms = call.broker.clock.wall_ms() + days * DAY_MS
    ending = []
    for protocol, address, port in call.broker.listening:
        tls = call.broker.tls_files.get(protocol)
        if tls is None:
            continue
        files = {"certfile": tls.certificate, "cacertfile": tls.authorities}
        dates = {kind: expiry_dates(file) for kind, file in files.items() if file is not None}
        if any(date is None or date.timestamp() * 1000 <= last_ms for each in dates.values() for date in each):
            facts: dict[str, Any] = {"node": call.node.name, "protocol": protocol, "interface": address, "port": port}
            for kind, each in dates.items():
                facts[kind] = str(files[kind])
                facts[f"{kind}_expires_on"] = [f"{date:%Y-%m-%d %H:%M:%S}" if date else "unreadable" for date in each]
            ending.append(facts)
    return failed("Certificates expiring", expired=ending) if ending else OK


def expiry_dates(file: Path) -> list[datetime | None]:
    """Return when the certificates of a file end; None for a file that cannot be read any more."""
    try:
        return list(expiries(file))
    except (OSError, ValueError):
        return [None]


def check_vhost(call: Call) -> dict[str, str]:
    """Say that a virtual host is alive; RabbitMQ sends a message to a queue of its own there."""
    call.check_entry()
    found(call.broker.vhosts.get(call["vhost"]))
    return OK


def is_ready(call: Call) -> Any:
    if call.broker.store.failure is not None:
        return failed("the disk has failed")
    if not call.broker.door.is_open:
        return is_taking_clients(call)
    return {**OK, "alarms": sorted(call.broker.alarms.raised)}


_CHECKS: Final = "/api/health/checks"
_LEADERS: Final = f"{_CHECKS}/quorum-queues-without-elected-leaders"

ROWS: Final = (
    Row("GET", "/health/live", is_ok, "The process answers", None),
    Row("GET", "/health/ready", is_ready, "Clients can connect and publish", None),
    Row("GET", f"{_CHECKS}/alarms", check_alarms, "No alarm is on"),
    Row("GET", f"{_CHECKS}/local-alarms", check_alarms, "No alarm is on, on this node"),
    Row("GET", f"{_CHECKS}/port-listener/{{port}}", check_port, "A port is listened on"),
    Row("GET", f"{_CHECKS}/protocol-listener/{{protocols}}", check_protocols, "Protocols are spoken"),
    Row("GET", f"{_CHECKS}/virtual-hosts", is_ok, "All virtual hosts run"),
    Row("GET", f"{_CHECKS}/node-is-quorum-critical", is_single, "The node may be stopped"),
    Row("GET", f"{_CHECKS}/node-is-mirror-sync-critical", is_single, "The node may be stopped"),
    Row("GET", f"{_CHECKS}/is-in-service", is_taking_clients, "The node takes connections"),
    Row("GET", f"{_CHECKS}/ready-to-serve-clients", is_taking_clients, "The node takes connections"),
    Row("GET", f"{_CHECKS}/below-node-connection-limit", is_below_connection_limit, "More connections may come"),
    Row("GET", f"{_CHECKS}/reached-target-cluster-size", is_ok, "All nodes are there"),
    Row("GET", f"{_CHECKS}/metadata-store/initialized", is_ok, "Definitions are loaded"),
    Row("GET", f"{_CHECKS}/metadata-store/initialized/with-data", is_ok, "Definitions are loaded"),
    Row("GET", f"{_CHECKS}/certificate-expiration/{{within}}/{{unit}}", check_certificates, "No certificate ends soon"),
    Row("GET", f"{_CHECKS}/quorum-queues-without-elected-leaders/all-vhosts", is_ok, "Quorum queues have leaders"),
    Row("GET", f"{_CHECKS}/quorum-queues-without-elected-leaders/vhost/{{vhost}}", is_ok, "Quorum queues have leaders"),
    Row("GET", f"{_LEADERS}/all-vhosts/pattern/{{pattern}}", is_ok, "Quorum queues have leaders"),
    Row("GET", f"{_LEADERS}/vhost/{{vhost}}/pattern/{{pattern}}", is_ok, "Quorum queues have leaders"),
    Row("GET", "/api/healthchecks/node", is_ok, "Deprecated"),
    Row("GET", "/api/healthchecks/node/{node}", is_ok, "Deprecated"),
    Row("GET", "/api/aliveness-test/{vhost}", check_vhost, "A virtual host is alive"),
)
