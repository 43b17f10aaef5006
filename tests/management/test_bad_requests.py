"""No path of the API does anything for a request that makes no sense, or may not be made; nor tells what it knows."""

import http.client
import json
import socket
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from broker.config import Mark, Settings
from broker.management.app import BODY_OCTETS_MAX
from broker.management.table import ROWS
from tests.brokers import RunningBroker
from tests.management.bad_requests import (
    BODIES,
    VHOST,
    Bad,
    bad_logins,
    no_objects,
    odd_names,
    outsiders,
    path_of,
    prepare,
    rows_with_body,
    state,
    undo,
    without_tags,
    wrong_methods,
    wrong_types,
)
from tests.management.client import Answer, Api
from tests.torture import those_of_slice

LEAKS = ("Traceback", "/broker/", ".py", "site-packages", "object at 0x", "dataclass", "password_hash")
GUESSES_AT_ONCE = 24

NAMES_BY_DAY, TYPES_BY_DAY, JUDGED_BY_DAY = 500, 250, 60
"""How many are sent on every push; at night each of them is."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    data_dir: Path = tmp_path_factory.mktemp("bad") / "data"
    with RunningBroker(data_dir, "--management-port", "any") as broker:
        yield broker


@pytest.fixture(scope="module")
def bad_api(broker: RunningBroker) -> Api:
    api = Api(int(broker.wait_for_event("HTTP")["port"]))
    prepare(api)
    return api


def check_refusal(request: Bad, answer: Answer) -> None:
    """Assert that an answer is an error of RabbitMQ's form, and has nothing in it that is not the client's to know."""
    assert 400 <= answer.status < 500, (request.name, answer)
    if answer.body is not None:
        assert set(answer.body) == {"error", "reason"}, (request.name, answer)
    assert not any(leak in json.dumps(answer.body) for leak in LEAKS), (request.name, answer)


def refused(api: Api, requests: Iterable[Bad], check: Callable[[Bad, Answer], None] = check_refusal) -> int:
    """Send requests that are all to be refused; return how many. Nothing may have changed after them."""
    before = state(api)
    count = 0
    with closing(http.client.HTTPConnection("127.0.0.1", api.port, timeout=20)) as connection:
        for request in requests:
            check(request, request.send_on(connection))
            count += 1
    assert state(api) == before
    return count


def test_nobody_gets_in_without_a_login(bad_api: Api) -> None:
    def check(request: Bad, answer: Answer) -> None:
        assert (answer.status, answer.body) == (401, None), request.name
        assert answer.headers["www-authenticate"] == 'Basic realm="RabbitMQ Management"'

    assert refused(bad_api, bad_logins(), check) > 100


def test_wrong_password_opens_nothing(bad_api: Api) -> None:
    before = state(bad_api)
    requests = [each._replace(user="guest", password="wrong") for each in bad_logins()]
    with ThreadPoolExecutor(GUESSES_AT_ONCE) as pool:
        answers = list(pool.map(lambda request: request.send(bad_api), requests))
    assert {(each.status, each.body["reason"]) for each in answers} == {(401, "Login failed")}
    assert state(bad_api) == before


def test_tag_that_is_missing_is_named(bad_api: Api) -> None:
    reasons = dict(without_tags())

    def check(request: Bad, answer: Answer) -> None:
        assert (answer.status, answer.body) == (401, {"error": "not_authorised", "reason": reasons[request]}), request

    assert refused(bad_api, reasons, check) > 150


def test_virtual_host_stays_shut_to_who_has_no_permission(bad_api: Api) -> None:
    reason = "User not authorised to access virtual host"

    def check(request: Bad, answer: Answer) -> None:
        assert (answer.status, answer.body) == (401, {"error": "not_authorised", "reason": reason}), request.name

    assert refused(bad_api, outsiders(), check) > 30


def test_names_of_nothing_and_tricks_find_nothing(bad_api: Api) -> None:
    """What lists may answer with an empty list; everything else refuses."""

    def check(request: Bad, answer: Answer) -> None:
        if request.method == "GET" and answer.status == 200:
            assert answer.body == [], request.name
        elif request.method == "DELETE" and answer.status == 204:
            assert "limits" in request.path or "username" in request.path, request.name  # There is none any more.
        else:
            check_refusal(request, answer)

    requests = those_of_slice(list(odd_names()), NAMES_BY_DAY)
    assert refused(bad_api, requests, check) == len(requests)


def test_method_that_a_path_has_not_is_refused(bad_api: Api) -> None:
    def check(request: Bad, answer: Answer) -> None:
        # A name where another path has a word of its own, such as users/without-permissions.
        assert answer.status in (405, 404, 400), (request.name, answer)
        assert answer.status != 405 or "OPTIONS" in answer.headers["allow"]

    assert refused(bad_api, wrong_methods(), check) > 400


def test_body_that_is_no_object_is_refused(bad_api: Api) -> None:
    assert refused(bad_api, no_objects()) > 150


def test_body_of_wrong_types_changes_nothing_or_all_of_it(bad_api: Api) -> None:
    """Some values are right after all, or of no account; what is refused has changed nothing."""
    before = state(bad_api)
    counts = {"refused": 0, "taken": 0}
    with closing(http.client.HTTPConnection("127.0.0.1", bad_api.port, timeout=20)) as connection:
        for request in those_of_slice(list(wrong_types()), TYPES_BY_DAY):
            answer = request.send_on(connection)
            if answer.status in (200, 201, 204):
                counts["taken"] += 1
                undo(bad_api, request)
            else:
                counts["refused"] += 1
                check_refusal(request, answer)
                assert counts["refused"] % 10 or state(bad_api) == before, request.name
    assert state(bad_api) == before
    assert counts["refused"] > counts["taken"]


def test_huge_body_is_refused_unread_by_each_path_that_takes_one(bad_api: Api) -> None:
    before = state(bad_api)
    login = b64encode(b"guest:guest").decode()
    for row in rows_with_body():
        head = (
            f"{row.method} {path_of(row)} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Basic {login}\r\n"
        )
        with socket.create_connection(("127.0.0.1", bad_api.port), timeout=20) as peer:
            peer.sendall(f"{head}content-length: {BODY_OCTETS_MAX + 1}\r\n\r\n".encode())
            with peer.makefile("rb") as answer:
                assert answer.readline() == b"HTTP/1.1 400 Bad Request\r\n", row
                text = b"".join(iter(answer.readline, b""))
        assert text.endswith(b'{"error":"bad_request","reason":"Exceeded HTTP request body size limit"}'), row
    assert state(bad_api) == before


def test_broker_has_met_no_error_of_its_own(broker: RunningBroker, bad_api: Api) -> None:
    """The last test of this file: what the others have sent has brought no exception up."""
    assert bad_api.get(f"queues/{VHOST}/q")["name"] == "q"
    shown = "".join(broker.output)
    assert "Traceback" not in shown
    assert "internal error" not in shown


def test_bodies_are_of_paths_that_there_are() -> None:
    assert set(BODIES) <= {(row.method, row.path) for row in ROWS}


def test_no_secret_is_among_the_settings_that_are_shown(bad_api: Api) -> None:
    shown = bad_api.get("config/effective")
    secrets = {key for key, field in Settings.model_fields.items() if Mark.SECRET in field.metadata}
    assert secrets
    assert not secrets & shown.keys()
    assert "port" in shown


# What RabbitMQ says to the same


KNOWN = {
    "/start/": "RabbitMQ looks for the node before the virtual host",
    "/bindings": "what is there of something that is not there is an empty list, not 404",
    "/definitions/": "400 for a virtual host that is not there, as it is for no other GET",
    "/consumers/": "a list without what is not to be seen, not a refusal",
    "/publish": "401 before 404 for a virtual host that is not there",
    "/get": "401 before 404 for a virtual host that is not there",
    "/topic-permissions/bad/u/x": "PUT with the exchange in the path, too",
}
"""Where RabbitMQ's answers differ, by part of the path, and how."""


def differs_knowingly(request: Bad, ours: Answer, theirs: Answer) -> bool:
    """Whether Leveret's answer is to be another than RabbitMQ 3.10's: docs/management.md says why."""
    if theirs.status >= 500 or theirs.status == 301:
        return True  # It crashes on what is refused here, or sends the client elsewhere.
    if any(odd in request.path for odd in ("%2e%2e", "..%2f", "%00", "%ff")):
        return True  # It makes another path of these, or drops them.
    if theirs.status < 300 and ours.status == 400:
        return request.what.startswith("wrong ")  # It takes wrong types here and there.
    if "/cli" in request.path or any(part in request.path for part in KNOWN):
        return ours.status in (401, 404, 405) or ours.status == theirs.status
    return ours.status == theirs.status == 400 and request.what.startswith(("wrong ", "no object"))


def has_path(rabbitmq: Api, request: Bad) -> bool:
    """Whether RabbitMQ 3.10 has a path, with this method. It serves files for all others, to anybody."""
    allowed = rabbitmq("OPTIONS", request.path).headers.get("allow", "")
    if request.method not in allowed:
        return False
    return "GET" not in allowed or rabbitmq.as_user("", "")("GET", request.path).status != 404


@pytest.fixture(scope="module")
def rabbitmq(judge: tuple[Api, str]) -> Api:
    prepare(judge[0])
    return judge[0]


KINDS: dict[str, Callable[[], Iterable[Bad]]] = {
    "logins": bad_logins,
    "tags": lambda: [request for request, _ in without_tags()],
    "outsiders": outsiders,
    "names": odd_names,
    "methods": wrong_methods,
    "no objects": no_objects,
    "types": wrong_types,
}


@pytest.mark.parametrize("kind", KINDS)
def test_refusals_are_rabbitmqs(bad_api: Api, rabbitmq: Api, kind: str) -> None:
    different = []
    for request in those_of_slice(list(KINDS[kind]()), JUDGED_BY_DAY):
        if kind != "methods" and not has_path(rabbitmq, request):
            continue
        ours, theirs = request.send(bad_api), request.send(rabbitmq)
        for api, answer in ((bad_api, ours), (rabbitmq, theirs)):
            if answer.status in (201, 204):
                undo(api, request)
        same = ours.status == theirs.status and (ours.status < 300 or ours.body == theirs.body)
        if not same and not differs_knowingly(request, ours, theirs):
            different.append(f"{request.name} -> {ours.status} {ours.body}, RabbitMQ: {theirs.status} {theirs.body}")
    assert not different, "\n".join(different)
