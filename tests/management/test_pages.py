"""What a browser or ``curl`` gets of the port: a page, and a rabbitmqadmin to run."""

import os
import subprocess
import sys
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from tests.management.client import Api
from tests.management.conftest import Node

SECONDS = 60


@pytest.fixture
def nobody(api: Api) -> Api:
    """The API without a login."""
    return api.as_user("", "")


def test_start_page_asks_the_api_and_may_do_nothing_else(nobody: Api) -> None:
    answer = nobody("GET", "/")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    allowed = answer.headers["content-security-policy"]
    script = answer.body.partition("<script>")[2].partition("</script>")[0]
    assert f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in allowed
    assert "innerHTML" not in script
    assert allowed.startswith("default-src 'none'; ")


def test_what_the_start_page_asks_for_is_there(api: Api, place: str) -> None:
    api.put(f"queues/{place}/q", {"durable": True})
    totals = api.get("overview")["object_totals"]
    assert {"connections", "channels", "queues", "consumers"} <= set(totals)
    columns = "vhost,name,messages_ready,messages_unacknowledged,consumers"
    page = api.get(f"queues?page=1&page_size=100&sort=messages&sort_reverse=true&columns={columns}")
    assert set(page["items"][0]) == set(columns.split(","))
    assert page["total_count"] >= 1


@pytest.mark.parametrize("path", ["/cli", "/cli/", "/cli/index.html"])
def test_download_page_names_the_command(nobody: Api, path: str) -> None:
    answer = nobody("GET", path)
    assert answer.status == 200
    assert 'href="rabbitmqadmin"' in answer.body


def test_downloaded_rabbitmqadmin_runs_by_itself(node: Node, place: str, vhost: str, tmp_path: Path) -> None:
    """In a directory of its own, by a Python that sees none of our packages."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=SECONDS)
    connection.request("GET", "/cli/rabbitmqadmin")
    octets = connection.getresponse().read()
    connection.close()
    assert octets.startswith(b"#!/usr/bin/env python3\n")
    (tmp_path / "rabbitmqadmin").write_bytes(octets)

    def admin(*arguments: str) -> str:
        command = [sys.executable, "-I", "-S", str(tmp_path / "rabbitmqadmin"), "-P", str(node.http_port), *arguments]
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", timeout=SECONDS, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    assert admin("-V", vhost, "declare", "queue", "name=q") == "queue declared\n"
    assert admin("-V", vhost, "publish", "routing_key=q", "payload=hello") == "Message published\n"
    assert admin("-V", vhost, "-f", "tsv", "list", "queues", "name", "messages") == "name\tmessages\nq\t1\n"
    assert "declare <kind>" in admin("--help")
