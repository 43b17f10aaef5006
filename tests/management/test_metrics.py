"""Metrics as Prometheus reads them: the names of RabbitMQ's dashboards, summed up, by object and by family."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.management.client import Api
from tests.management.conftest import Node
from tests.waiting import until

Families = dict[str, dict[tuple[tuple[str, str], ...], float]]

OVERVIEW = """
rabbitmq_build_info rabbitmq_identity_info rabbitmq_connections rabbitmq_channels rabbitmq_consumers rabbitmq_queues
rabbitmq_queue_messages_ready rabbitmq_queue_messages_unacked rabbitmq_global_publishers
rabbitmq_process_resident_memory_bytes rabbitmq_resident_memory_limit_bytes
rabbitmq_disk_space_available_bytes rabbitmq_disk_space_available_limit_bytes
rabbitmq_process_open_fds rabbitmq_process_max_fds rabbitmq_process_open_tcp_sockets rabbitmq_process_max_tcp_sockets
rabbitmq_global_messages_received_total rabbitmq_global_messages_received_confirm_total
rabbitmq_global_messages_confirmed_total rabbitmq_global_messages_routed_total
rabbitmq_global_messages_unroutable_dropped_total rabbitmq_global_messages_unroutable_returned_total
rabbitmq_global_messages_delivered_total rabbitmq_global_messages_redelivered_total
rabbitmq_global_messages_delivered_consume_auto_ack_total rabbitmq_global_messages_delivered_consume_manual_ack_total
rabbitmq_global_messages_delivered_get_auto_ack_total rabbitmq_global_messages_delivered_get_manual_ack_total
rabbitmq_global_messages_acknowledged_total rabbitmq_global_messages_get_empty_total
rabbitmq_queues_declared_total rabbitmq_queues_created_total rabbitmq_queues_deleted_total
rabbitmq_channels_opened_total rabbitmq_channels_closed_total
rabbitmq_connections_opened_total rabbitmq_connections_closed_total rabbitmq_erlang_uptime_seconds
"""
"""What the dashboard RabbitMQ-Overview (10991) and RabbitMQ's alerts ask for."""

OLDER = """
rabbitmq_channel_messages_published_total rabbitmq_channel_messages_confirmed_total
rabbitmq_channel_messages_unroutable_returned_total rabbitmq_channel_messages_unroutable_dropped_total
rabbitmq_channel_messages_delivered_total rabbitmq_channel_messages_delivered_ack_total
rabbitmq_channel_messages_redelivered_total rabbitmq_channel_messages_acked_total
rabbitmq_channel_get_total rabbitmq_channel_get_ack_total rabbitmq_channel_get_empty_total
rabbitmq_channel_consumers rabbitmq_channel_messages_unacked rabbitmq_channel_messages_unconfirmed
rabbitmq_channel_prefetch rabbitmq_consumer_prefetch rabbitmq_connection_channels
rabbitmq_connection_incoming_bytes_total rabbitmq_connection_outgoing_bytes_total
rabbitmq_connection_incoming_packets_total rabbitmq_connection_outgoing_packets_total
rabbitmq_connection_pending_packets rabbitmq_queue_consumers rabbitmq_queue_consumer_utilisation
rabbitmq_queue_consumer_capacity rabbitmq_queue_messages rabbitmq_queue_messages_bytes rabbitmq_queue_messages_ram
rabbitmq_queue_messages_ram_bytes rabbitmq_queue_messages_ready_ram rabbitmq_queue_messages_unacked_ram
rabbitmq_queue_messages_ready_bytes rabbitmq_queue_messages_unacked_bytes rabbitmq_queue_messages_persistent
rabbitmq_queue_messages_persistent_bytes rabbitmq_queue_messages_paged_out rabbitmq_queue_messages_paged_out_bytes
rabbitmq_queue_messages_published_total rabbitmq_alarms_memory_used_watermark
rabbitmq_alarms_free_disk_space_watermark rabbitmq_alarms_file_descriptor_limit
rabbitmq_auth_attempts_total rabbitmq_auth_attempts_failed_total rabbitmq_auth_attempts_succeeded_total
rabbitmq_unreachable_cluster_peers_count
rabbitmq_channel_messages_uncommitted rabbitmq_channel_acks_uncommitted rabbitmq_queue_process_memory_bytes
rabbitmq_io_read_ops_total rabbitmq_io_read_bytes_total rabbitmq_io_read_time_seconds_total
rabbitmq_io_write_ops_total rabbitmq_io_write_bytes_total rabbitmq_io_write_time_seconds_total
rabbitmq_io_sync_ops_total rabbitmq_io_sync_time_seconds_total
rabbitmq_erlang_gc_runs_total rabbitmq_erlang_scheduler_context_switches_total rabbitmq_erlang_scheduler_run_queue
rabbitmq_erlang_processes_used rabbitmq_erlang_processes_limit process_start_time_seconds
"""
"""What dashboards of RabbitMQ 3.8 and of others ask for besides."""

DEAD_LETTERS = """
rabbitmq_global_messages_dead_lettered_expired_total rabbitmq_global_messages_dead_lettered_rejected_total
rabbitmq_global_messages_dead_lettered_maxlen_total rabbitmq_global_messages_dead_lettered_delivery_limit_total
rabbitmq_global_messages_dead_lettered_confirmed_total
"""
"""What alerts on dead letters ask for."""

MEMORY = """
rabbitmq_memory_code_module_bytes rabbitmq_memory_client_connection_reader_bytes
rabbitmq_memory_client_connection_writer_bytes rabbitmq_memory_client_connection_channel_bytes
rabbitmq_memory_classic_queue_erlang_process_bytes rabbitmq_memory_quorum_queue_erlang_process_bytes
rabbitmq_memory_stream_erlang_process_bytes rabbitmq_memory_other_system_bytes rabbitmq_memory_binary_heap_bytes
"""
"""What ``/metrics/memory-breakdown`` of RabbitMQ 4 has."""

JOINED = ("rabbitmq_node", "rabbitmq_cluster", "rabbitmq_cluster_permanent_id", "rabbitmq_endpoint")
"""What each panel of RabbitMQ's dashboards takes from identity_info; those of RabbitMQ 4 choose by the endpoint."""


@pytest.fixture
def scrape(api: Api) -> Callable[..., Families]:
    """A function that reads metrics without a login: samples by name and labels."""

    def read(path: str = "") -> Families:
        answer = api.as_user("", "")("GET", f"/metrics{path}")
        assert answer.status == 200
        found: Families = {}
        for family in text_string_to_metric_families(answer.body):
            for sample in family.samples:
                samples = found.setdefault(sample.name, {})
                labels = tuple(sorted(sample.labels.items()))
                assert labels not in samples, (sample.name, labels)
                samples[labels] = sample.value
        return found

    return read


def of_vhost(samples: dict[tuple[tuple[str, str], ...], float], vhost: str) -> dict[str, float]:
    """Return the samples of a virtual host's queues, by queue."""
    return {dict(labels)["queue"]: value for labels, value in samples.items() if ("vhost", vhost) in labels}


def test_metrics_have_the_names_of_dashboards(scrape: Callable[..., Families], node: Node, vhost: str) -> None:
    found = scrape()
    asked = (*OVERVIEW.split(), *OLDER.split(), *DEAD_LETTERS.split())
    assert not [name for name in asked if not found.get(name)], "a panel finds no series"
    assert all(labels == () for labels in found["rabbitmq_queue_messages_ready"])
    labels = dict(next(iter(found["rabbitmq_identity_info"])))
    assert set(labels) == set(JOINED)
    assert labels["rabbitmq_endpoint"] == "aggregated"
    assert labels["rabbitmq_cluster_permanent_id"].startswith("rabbitmq-cluster-id-")
    assert node.api.get("global-parameters/internal_cluster_id")["value"] == labels["rabbitmq_cluster_permanent_id"]
    build = dict(next(iter(found["rabbitmq_build_info"])))
    assert {"rabbitmq_version", "prometheus_plugin_version", "prometheus_client_version", "product_name"} <= set(build)


def test_each_object_has_its_own(
    scrape: Callable[..., Families], api: Api, place: str, vhost: str, connect: Callable[..., Any]
) -> None:
    channel = connect().channel()
    channel.queue_declare("q")
    channel.queue_declare("empty")
    channel.basic_consume("empty", print)
    for number in range(2):
        api.publish(vhost, "q", "body", timestamp=1234567 + number)
    found = scrape("/per-object")
    assert of_vhost(found["rabbitmq_queue_messages_ready"], vhost) == {"q": 2.0, "empty": 0.0}
    assert of_vhost(found["rabbitmq_queue_messages_ready_bytes"], vhost) == {"q": 8.0, "empty": 0.0}
    assert of_vhost(found["rabbitmq_queue_consumers"], vhost) == {"q": 0.0, "empty": 1.0}
    assert of_vhost(found["rabbitmq_queue_consumer_utilisation"], vhost) == {"q": 0.0, "empty": 1.0}
    assert of_vhost(found["rabbitmq_queue_head_message_timestamp"], vhost) == {"q": 1234567.0}
    assert api.get(f"queues/{place}/q")["head_message_timestamp"] == 1234567
    assert len(found["rabbitmq_channel_consumers"]) >= 1
    assert len(found["rabbitmq_connection_channels"]) >= 1


def test_counters_of_channels_that_have_gone_stay_in_the_sum(
    scrape: Callable[..., Families], vhost: str, connect: Callable[..., Any]
) -> None:
    before = scrape()["rabbitmq_channel_messages_published_total"][()]
    connection = connect()
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("q")
    channel.basic_publish("", "q", b"x")
    channel.close()
    assert scrape()["rabbitmq_channel_messages_published_total"][()] == before + 1


def test_octets_of_connections_that_have_gone_stay_in_the_sums(
    scrape: Callable[..., Families], api: Api, place: str, connect: Callable[..., Any]
) -> None:
    connection = connect()
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("q")
    channel.basic_publish("", "q", bytes(10_000))
    name = "rabbitmq_connection_incoming_bytes_total"
    before, of_vhost = scrape()[name][()], api.get(f"vhosts/{place}")["recv_oct"]
    assert of_vhost > 10_000
    connection.close()
    until(lambda: not api.get(f"vhosts/{place}/connections"), "the connection is still there")
    assert scrape()[name][()] >= before
    assert api.get(f"vhosts/{place}")["recv_oct"] >= of_vhost


def test_families_are_told_that_are_asked_for(
    scrape: Callable[..., Families], api: Api, place: str, vhost: str
) -> None:
    api.put(f"queues/{place}/q", {"durable": True})
    assert set(scrape("/detailed")) == {"rabbitmq_identity_info", "rabbitmq_build_info"}
    found = scrape(f"/detailed?family=queue_coarse_metrics&family=queue_consumer_count&vhost={place}")
    assert set(found) == {
        *("rabbitmq_identity_info", "rabbitmq_build_info", "rabbitmq_detailed_queue_consumers"),
        "rabbitmq_detailed_queue_info",
        *(f"rabbitmq_detailed_queue_messages{each}" for each in ("", "_ready", "_unacked")),
    }
    assert found["rabbitmq_detailed_queue_messages"] == {(("queue", "q"), ("vhost", vhost)): 0.0}
    found = scrape(f"/detailed?family=vhost_status&family=exchange_bindings&family=exchange_names&vhost={place}")
    assert found["rabbitmq_cluster_vhost_status"] == {(("vhost", vhost),): 1.0}
    assert (("exchange", "amq.topic"), ("type", "topic"), ("vhost", vhost)) in found["rabbitmq_cluster_exchange_name"]
    everything = (
        *("connection_churn_metrics", "node_metrics", "queue_metrics", "queue_delivery_metrics", "channel_metrics"),
        *("channel_exchange_metrics", "channel_queue_metrics", "connection_coarse_metrics", "connection_metrics"),
        *("node_coarse_metrics", "node_persister_metrics", "auth_attempt_metrics", "exchange_metrics"),
        "channel_queue_exchange_metrics",
    )
    found = scrape(
        "/detailed?" + "&".join(f"family={name}" for name in (*everything, "nonsense", "queue_consumer_count"))
    )
    for name in (
        *("connections_opened_total", "process_max_fds", "queue_consumers", "queue_messages_published_total"),
        *("process_open_fds", "io_sync_ops_total", "auth_attempts_total", "exchange_messages_published_total"),
        *("queue_messages_delivered_ack_total", "queue_get_empty_total", "queue_info"),
    ):
        assert f"rabbitmq_detailed_{name}" in found


def test_each_endpoint_says_which_it_is(scrape: Callable[..., Families], api: Api, place: str, vhost: str) -> None:
    api.put(f"queues/{place}/q", {"durable": True, "arguments": {"x-queue-type": "quorum"}})
    for path in ("per-object", "detailed", "memory-breakdown"):
        (labels,) = scrape(f"/{path}")["rabbitmq_identity_info"]
        assert ("rabbitmq_endpoint", path) in labels
    told = {dict(labels)["queue"]: dict(labels) for labels in scrape("/per-object")["rabbitmq_queue_info"]}
    assert told["q"] == {"vhost": vhost, "queue": "q", "queue_type": "rabbit_quorum_queue", "membership": "leader"}


def test_memory_is_told_by_what_takes_it(scrape: Callable[..., Families]) -> None:
    found = scrape("/memory-breakdown")
    assert not [name for name in MEMORY.split() if not found.get(name)]
    assert found["rabbitmq_memory_other_system_bytes"][()] > 1_000_000


def test_dead_letters_are_counted_by_reason_and_strategy(
    scrape: Callable[..., Families], api: Api, place: str, vhost: str
) -> None:
    def counted() -> dict[str, float]:
        found = scrape()
        keys = {"queue_type", "dead_letter_strategy"}
        return {
            f"{name.split('_')[5]} {dict(labels)['queue_type']} {dict(labels)['dead_letter_strategy']}": value
            for name in DEAD_LETTERS.split()
            for labels, value in found[name].items()
            if dict(labels).keys() == keys
        }

    sure = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish", "x-queue-type": "quorum"}
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "end"}
    api.put(f"queues/{place}/end", {"durable": True})
    api.put(f"queues/{place}/plain", {"durable": True, "arguments": {**dead, "x-max-length": 1}})
    api.put(f"queues/{place}/sure", {"durable": True, "arguments": {**dead, **sure}})
    before = counted()
    for _ in range(3):
        api.publish(vhost, "plain")
    api.publish(vhost, "sure")
    body = {"count": 1, "ackmode": "reject_requeue_false", "encoding": "auto"}
    assert api.post(f"queues/{place}/sure/get", body).status == 200
    after = counted()
    assert {key: after[key] - value for key, value in before.items() if after[key] != value} == {
        "maxlen rabbit_classic_queue at_most_once": 2,
        "rejected rabbit_quorum_queue at_least_once": 1,
        "confirmed rabbit_quorum_queue at_least_once": 1,
    }


def test_what_waits_in_a_transaction_is_told(
    scrape: Callable[..., Families], api: Api, vhost: str, connect: Callable[..., Any]
) -> None:
    channel = connect().channel()
    channel.queue_declare("q", durable=True)
    for _ in range(3):
        channel.basic_publish("", "q", bytes(10))
    channel.tx_select()
    tags = [channel.basic_get("q")[0].delivery_tag for _ in range(2)]
    channel.basic_ack(tags[0])
    channel.basic_publish("", "q", bytes(10))
    channel.queue_declare("q", passive=True)
    (shown,) = [each for each in api.get("channels") if each["vhost"] == vhost]
    assert (shown["transactional"], shown["messages_uncommitted"], shown["acks_uncommitted"]) == (True, 1, 1)
    found = scrape()
    assert found["rabbitmq_channel_messages_uncommitted"][()] == 1
    assert found["rabbitmq_channel_acks_uncommitted"][()] == 1
    shown = api.get(f"queues/{quote(vhost, safe='')}/q")
    assert (shown["message_bytes"], shown["message_bytes_unacknowledged"]) == (30, 20)
    channel.tx_rollback()
    assert api.get(f"queues/{quote(vhost, safe='')}/q")["message_bytes_unacknowledged"] == 20
