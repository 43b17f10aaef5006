"""The commands in the container, called as the scripts and health checks of pipelines call them."""

import json
import uuid

import pika
import pytest

from tests.container.engine import Container


@pytest.mark.parametrize(
    "command",
    [
        "rabbitmq-diagnostics -q ping",
        "rabbitmq-diagnostics ping",
        "rabbitmq-diagnostics -q check_running",
        "rabbitmq-diagnostics -q check_local_alarms",
        "rabbitmq-diagnostics -q check_port_connectivity",
        "rabbitmq-diagnostics -q status",
        "rabbitmq-diagnostics -q alarms",
        "rabbitmq-diagnostics -q is_running",
        "rabbitmqctl status",
        "rabbitmqctl await_startup --timeout 30",
        "rabbitmqctl list_users",
        "rabbitmqctl list_queues name messages consumers",
        "rabbitmqctl -q list_connections user peer_host state",
        "rabbitmqctl list_exchanges -p /",
        "rabbitmqctl set_vm_memory_high_watermark 0.6",
        "rabbitmq-queues check_if_node_is_quorum_critical",
        "rabbitmq-upgrade await_online_quorum_plus_one -t 604800",
        "rabbitmqctl wait --timeout 60 /var/lib/rabbitmq/mnesia/rabbitmq.pid",
        "rabbitmqctl wait --pid 1 --timeout 60",
        "rabbitmqctl list_node_auth_attempt_stats",
        "rabbitmqadmin --non-interactive queues list",
        "rabbitmq-plugins list",
        "rabbitmq-plugins enable rabbitmq_management",
        "rabbitmq-plugins enable --offline rabbitmq_management rabbitmq_shovel",
    ],
)
def test_a_check_or_list_of_a_healthy_broker_succeeds(leveret: Container, command: str) -> None:
    done = leveret.execute(*command.split())
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("command", "exit_code"),
    [
        ("rabbitmqctl no_such_verb", 64),
        ("rabbitmqctl add_user", 64),
        ("rabbitmqctl delete_user nobody", 67),
        ("rabbitmqctl add_user guest guest", 70),
    ],
)
def test_what_cannot_be_done_fails_as_with_rabbitmqctl(leveret: Container, command: str, exit_code: int) -> None:
    done = leveret.execute(*command.split())
    assert done.returncode == exit_code
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_eval_says_that_there_is_no_erlang(leveret: Container) -> None:
    done = leveret.execute("rabbitmqctl", "eval", "rabbit_misc:version().")
    assert done.returncode != 0
    assert "Erlang" in done.stderr


def test_a_script_provisions_a_user_and_a_virtual_host(leveret: Container) -> None:
    name = f"shop-{uuid.uuid4().hex[:8]}"
    script = f"""set -eu
        rabbitmqctl add_vhost {name}
        rabbitmqctl add_user {name} secret
        rabbitmqctl set_user_tags {name} administrator
        rabbitmqctl set_permissions -p {name} {name} ".*" ".*" ".*"
        rabbitmqctl set_policy -p {name} short "^q" '{{"message-ttl": 60000}}' --apply-to queues
        rabbitmqctl list_permissions -p {name}
    """
    done = leveret.execute("bash", "-c", script)
    assert done.returncode == 0, done.stderr
    with leveret.connect(name, "secret", name) as connection:
        connection.channel().queue_declare("q", durable=True)
        listed = leveret.execute(
            "rabbitmqctl", "-q", "--formatter", "json", "-p", name, "list_queues", "name", "policy"
        )
        assert json.loads(listed.stdout) == [{"name": "q", "policy": "short"}]
    assert leveret.execute("rabbitmqctl", "delete_vhost", name).returncode == 0
    assert leveret.execute("rabbitmqctl", "delete_user", name).returncode == 0
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        leveret.connect(name, "secret", name)


def test_a_script_declares_publishes_and_gets_with_rabbitmqadmin(leveret: Container) -> None:
    script = """set -eu
        rabbitmqadmin declare exchange name=orders type=topic
        rabbitmqadmin declare queue name=orders.new durable=true
        rabbitmqadmin declare binding source=orders destination=orders.new routing_key='orders.#'
        rabbitmqadmin publish exchange=orders routing_key=orders.1 payload=hello
        rabbitmqadmin get queue=orders.new ackmode=ack_requeue_false
        rabbitmqadmin -f bash list queues name
        rabbitmqadmin declare queue --name orders.old --durable true
        rabbitmqadmin delete queue --name orders.old
        rabbitmqadmin delete queue name=orders.new
        rabbitmqadmin delete exchange name=orders
    """
    done = leveret.execute("bash", "-c", script)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hello" in done.stdout
    assert "orders.new" in done.stdout


def test_root_may_use_them_too(leveret: Container) -> None:
    done = leveret.execute("rabbitmqctl", "list_users", options=("--user=root",))
    assert done.returncode == 0, done.stderr
