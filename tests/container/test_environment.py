"""Variables and files that the official image reads, and what they do here."""

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pika
import pytest

from tests.container.engine import Container


def definitions_of(user: str, password: str) -> str:
    """Return definitions as RabbitMQ exports them: a user, its virtual host ``orders``, and a queue in that.

    A password's hash is Base64 of 4 octets of salt and the SHA-256 of both.
    """
    salt = bytes.fromhex("a55ab0cd")
    digest = base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
    return json.dumps(
        {
            "rabbit_version": "3.13.7",
            "users": [
                {
                    "name": user,
                    "password_hash": digest,
                    "hashing_algorithm": "rabbit_password_hashing_sha256",
                    "tags": ["administrator"],
                    "limits": {},
                }
            ],
            "vhosts": [{"name": "/"}, {"name": "orders"}],
            "permissions": [{"user": user, "vhost": "orders", "configure": ".*", "write": ".*", "read": ".*"}],
            "queues": [{"name": "new", "vhost": "orders", "durable": True, "auto_delete": False, "arguments": {}}],
            "exchanges": [],
            "bindings": [],
        }
    )


def mounted(directory: Path, name: str, text: str) -> Path:
    """Write a file that the container's user may read; return its path."""
    path = directory / name
    path.write_text(text)
    directory.chmod(0o755)
    path.chmod(0o644)
    return path


def test_the_default_user_and_virtual_host_take_guests_place(run: Callable[..., Container]) -> None:
    container = run(
        "--env=RABBITMQ_DEFAULT_USER=shop",
        "--env=RABBITMQ_DEFAULT_PASS=pass word",
        "--env=RABBITMQ_DEFAULT_VHOST=orders",
    )
    with container.connect("shop", "pass word", "orders") as connection:
        connection.channel().queue_declare("new")
    for user, password, vhost in (
        ("guest", "guest", "orders"),
        ("shop", "wrong", "orders"),
        ("shop", "pass word", "/"),
    ):
        with pytest.raises(pika.exceptions.AMQPConnectionError):
            container.connect(user, password, vhost)
    assert "pass word" not in container.logs


def test_the_node_has_the_port_and_name_that_it_is_given(run: Callable[..., Container]) -> None:
    container = run(
        "--env=RABBITMQ_NODE_PORT=5700", "--env=RABBITMQ_NODENAME=rabbit@there", "--publish=127.0.0.1::5700"
    )
    with container.connect(port=5700) as connection:
        connection.channel().queue_declare("new")
    assert "rabbit@there" in container.execute("rabbitmqctl", "status").stdout


def test_what_is_not_honoured_is_named_and_ignored(run: Callable[..., Container]) -> None:
    container = run("--env=RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-rabbit x", "--env=RABBITMQ_ERLANG_COOKIE=biscuit")
    assert "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS" in container.logs
    assert "biscuit" not in container.logs
    with container.connect() as connection:
        connection.channel().queue_declare("new")


def test_leverets_own_variables_count(run: Callable[..., Container]) -> None:
    container = run(
        "--env=LEVERET_LOG_FORMAT=json", "--env=LEVERET_HEARTBEAT_S=7", "--env=LEVERET_LOOPBACK_USERS=guest"
    )
    assert json.loads(container.logs.splitlines()[0])
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        container.connect()


def test_a_mounted_rabbitmq_conf_counts(run: Callable[..., Container], tmp_path: Path) -> None:
    text = "default_user = shop\ndefault_pass = secret\ndefault_vhost = orders\nheartbeat = 7\nno.such.key = 1\n"
    path = mounted(tmp_path, "rabbitmq.conf", text)
    container = run(f"--volume={path}:/etc/rabbitmq/rabbitmq.conf:ro")
    with container.connect("shop", "secret", "orders") as connection:
        connection.channel().queue_declare("new")
    assert "no.such.key" in container.logs


def test_a_file_in_conf_d_counts(run: Callable[..., Container], tmp_path: Path) -> None:
    path = mounted(tmp_path, "20-shop.conf", "default_user = shop\ndefault_pass = secret\n")
    container = run(f"--volume={path}:/etc/rabbitmq/conf.d/20-shop.conf:ro")
    with container.connect("shop", "secret") as connection:
        connection.channel().queue_declare("new")


def test_a_configuration_file_elsewhere_counts(run: Callable[..., Container], tmp_path: Path) -> None:
    path = mounted(tmp_path, "own.conf", "default_user = shop\ndefault_pass = secret\n")
    container = run(f"--volume={path}:/etc/own.conf:ro", "--env=RABBITMQ_CONFIG_FILE=/etc/own.conf")
    with container.connect("shop", "secret") as connection:
        connection.channel().queue_declare("new")


def test_mounted_definitions_are_there_when_it_is_ready(run: Callable[..., Container], tmp_path: Path) -> None:
    definitions = mounted(tmp_path, "definitions.json", definitions_of("loaded", "secret"))
    conf = mounted(tmp_path, "rabbitmq.conf", "load_definitions = /etc/rabbitmq/definitions.json\n")
    container = run(
        f"--volume={conf}:/etc/rabbitmq/rabbitmq.conf:ro",
        f"--volume={definitions}:/etc/rabbitmq/definitions.json:ro",
    )
    with container.connect("loaded", "secret", "orders") as connection:
        connection.channel().queue_declare("new", passive=True)


def test_tokens_are_understood_without_installing_anything(run: Callable[..., Container]) -> None:
    """As in the official image, which has the plugin: a start without what tokens need would end with an error."""
    container = run(
        "--env=LEVERET_AUTH_BACKENDS=oauth2,internal",
        "--env=LEVERET_OAUTH2_RESOURCE_SERVER_ID=rabbitmq",
        "--env=LEVERET_OAUTH2_JWKS_URL=https://issuer.invalid/keys",
    )
    with container.connect() as connection:
        connection.channel().queue_declare("new")
    assert container.execute("rabbitmq-plugins", "is_enabled", "rabbitmq_auth_backend_oauth2").returncode == 0


def test_a_plugins_file_is_passed_over(run: Callable[..., Container], tmp_path: Path) -> None:
    path = mounted(tmp_path, "enabled_plugins", "[rabbitmq_management,rabbitmq_prometheus].\n")
    container = run(f"--volume={path}:/etc/rabbitmq/enabled_plugins:ro")
    with container.connect() as connection:
        connection.channel().queue_declare("new")


def test_a_mounted_directory_counts_whatever_it_lacks(run: Callable[..., Container], tmp_path: Path) -> None:
    mounted(tmp_path, "enabled_plugins", "[rabbitmq_management].\n")
    container = run(f"--volume={tmp_path}:/etc/rabbitmq:ro")
    with container.connect() as connection:
        connection.channel().queue_declare("new")
