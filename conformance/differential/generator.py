"""Random scripts, the same ones for the same seed.

Each script gets a taste of its own: some of the features, a few queues and exchanges, a few channels. Few names make
collisions likely, and wrong things are tried on purpose. What brokers may legally do differently is not written:
see ``known.py``. Nothing here knows a broker.
"""

import random
from collections.abc import Callable
from typing import Any

from conformance.differential.arguments import EXCHANGE_TYPES, Taste, binding_arguments, properties, queue_arguments
from conformance.differential.script import SETTLING, Script, Step, say

MAX_STEPS = 45
SHORT_TTL_MS = 200
_CHANNELS = (11, 12, 21)
_KEYS = ("a", "b", "a.b", "a.b.c", "", "a.", "q0", "q1")
_PATTERNS = ("a", "b", "a.*", "#", "*.b", "a.#", "*", "", "#.c", "a.b", "q0")
_TAGS = ("c0", "c1", "c2")


def script_of(seed: int | str) -> Script:
    """Return the script of a seed."""
    return _Writer(random.Random(str(seed))).script()


class _Writer:
    """Writes one script; remembers what it wrote only as far as that makes the next step likelier to matter."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.taste = Taste.random(rng)
        self.steps: Script = []
        self.queues = [f"q{at}" for at in range(rng.randint(1, 3))]
        self.exchanges = [f"x{at}" for at in range(rng.randint(0, 3))]
        self.kinds = {name: rng.choice(EXCHANGE_TYPES) for name in self.exchanges}
        self.options: dict[str, dict[str, Any]] = {}
        self.message_count = 0
        self.consumers: list[tuple[int, str]] = []
        self.channels = _CHANNELS[: rng.randint(1, 3)]

    def script(self) -> Script:
        for name in self.queues:
            self.declare_queue(name)
        for name in self.exchanges:
            self.declare_exchange(name)
            self.bind()
        for _ in range(self.rng.randint(0, 4)):
            self.publish()
        actions = self._actions()
        writers, weights = list(actions), list(actions.values())
        while len(self.steps) < MAX_STEPS:
            self.rng.choices(writers, weights)[0]()
        return self.steps

    def _actions(self) -> dict[Callable[[], None], int]:
        taste = self.taste
        actions: dict[Callable[[], None], int] = {
            self.publish_one: 30,
            self.burst: 4,
            self.get: 10,
            self.consume: 9,
            self.settle: 26,
            self.cancel: 3,
            self.qos: 4,
            self.purge: 1,
            self.close_channel: 2,
            self.hang_up: 1,
            self.recover: 2,
            self.redeclare: 2,
            self.delete_queue: 2,
            self.mode: 3 if taste.confirms or taste.tx else 0,
            self.finish_tx: 6 if taste.tx else 0,
            self.bind: 6 if self.exchanges else 0,
            self.unbind: 2 if self.exchanges else 0,
            self.bind_exchanges: 3 if len(self.exchanges) > 1 else 0,
            self.delete_exchange: 1 if self.exchanges else 0,
            self.wrong: 6 if taste.wrong else 1,
            self.wait: 2 if taste.short_ttl else 0,
        }
        return {write: weight for write, weight in actions.items() if weight}

    def say(self, name: str, channel: int | None = None, **fields: Any) -> None:
        """Write a step; empty fields are left out."""
        number = self.channel() if channel is None else channel
        self.steps.append(
            say(number, name, **{key: value for key, value in fields.items() if value not in ({}, False)})
        )

    def channel(self) -> int:
        return self.rng.choice(self.channels)

    def chance(self, one_in: int) -> bool:
        return self.rng.randrange(one_in) == 0

    def queue(self) -> str:
        return self.rng.choice(self.queues)

    def exchange(self) -> str:
        return self.rng.choice(self.exchanges)

    # Topology

    def declare_queue(self, name: str) -> None:
        """Declare a queue as always, after the queue and exchange that its dead letters need."""
        if name not in self.options:
            arguments = queue_arguments(self.rng, self.taste, name)
            durable = self.chance(2)
            options = {"durable": durable, "exclusive": self.chance(8), "auto_delete": self.chance(8)}
            self.options[name] = {**options, "arguments": arguments}
            self._declare_grave(name, arguments)
        owner = self.channels[0] if self.options[name]["exclusive"] else None
        self.say("queue.declare", owner, queue=name, **self.options[name])

    def _declare_grave(self, name: str, arguments: dict[str, Any]) -> None:
        grave, exchange = f"g{name[1]}", f"d{name[1]}"
        if arguments.get("x-dead-letter-routing-key") == grave or arguments.get("x-dead-letter-exchange") == exchange:
            is_loop = not self.taste.ttl and not self.taste.limits and self.chance(3)
            back = {"x-message-ttl": 0, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": name}
            self.say("queue.declare", queue=grave, durable=True, arguments=back if is_loop else {})
        if arguments.get("x-dead-letter-exchange") == exchange:
            self.say("exchange.declare", exchange=exchange, type="fanout")
            self.say("queue.bind", queue=grave, exchange=exchange)

    def declare_exchange(self, name: str) -> None:
        """Declare an exchange as always, but for the first time."""
        if name not in self.options:
            others = [other for other in ("x0", "x1", "x2", "x9") if other != name]
            arguments = {"alternate-exchange": self.rng.choice(others)} if self.chance(4) else {}
            self.options[name] = {
                "durable": self.chance(2),
                "auto_delete": self.chance(8),
                "internal": self.chance(10),
                "arguments": arguments,
            }
        self.say("exchange.declare", exchange=name, type=self.kinds[name], **self.options[name])

    def redeclare(self) -> None:
        """Declare something again, sometimes passively."""
        name = self.rng.choice(self.queues + self.exchanges)
        if self.chance(3) and name in self.queues:
            self.say("queue.declare", queue=name, passive=True)
        elif name in self.queues:
            self.declare_queue(name)
        else:
            self.declare_exchange(name)

    def _binding(self, exchange: str) -> dict[str, Any]:
        if self.kinds[exchange] == "headers":
            return {"routing_key": "", "arguments": binding_arguments(self.rng)}
        keys = _PATTERNS if self.kinds[exchange] == "topic" else _KEYS
        return {"routing_key": self.rng.choice(keys)}

    def bind(self) -> None:
        exchange = self.exchange()
        self.say("queue.bind", queue=self.queue(), exchange=exchange, **self._binding(exchange))

    def unbind(self) -> None:
        """Take a binding back that was made, mostly."""
        made = [step for step in self.steps if step.name in ("queue.bind", "exchange.bind")]
        if made and not self.chance(4):
            step = self.rng.choice(made)
            self.say(step.name.replace("bind", "unbind"), **step.fields)
        else:
            exchange = self.exchange()
            self.say("queue.unbind", queue=self.queue(), exchange=exchange, **self._binding(exchange))

    def bind_exchanges(self) -> None:
        source = self.exchange()
        self.say("exchange.bind", destination=self.exchange(), source=source, **self._binding(source))

    def delete_queue(self) -> None:
        name = self.queue()
        self.say("queue.delete", queue=name, if_unused=self.chance(4), if_empty=self.chance(4))
        if not self.chance(3):
            self.declare_queue(name)

    def delete_exchange(self) -> None:
        self.say("exchange.delete", exchange=self.exchange(), if_unused=self.chance(3))

    # Messages

    def publish(self, channel: int | None = None) -> None:
        self.message_count += 1
        fields: dict[str, Any] = {"exchange": "", "routing_key": self.queue()}
        if self.exchanges and self.chance(2):
            fields = {"exchange": self.exchange(), "routing_key": self.rng.choice(_KEYS)}
        fields["body"] = f"m{self.message_count}" + "." * self.rng.choice((0, 0, 0, 3, 9))
        if self.chance(5):
            fields["mandatory"] = True
        chosen = properties(self.rng, self.taste)
        if chosen:
            fields["properties"] = chosen
        self.steps.append(Step("publish", self.channel() if channel is None else channel, "", fields))
        if chosen.get("expiration") == str(SHORT_TTL_MS):
            self.wait()

    def publish_one(self) -> None:
        """Publish on any channel."""
        self.publish()

    def burst(self) -> None:
        for _ in range(self.rng.randint(2, 5)):
            self.publish()

    def get(self) -> None:
        self.say("basic.get", queue=self.queue(), no_ack=self.chance(3))

    def consume(self) -> None:
        channel, tag = self.channel(), self.rng.choice(_TAGS)
        if (channel, tag) in self.consumers and not self.chance(12):
            self.say("basic.cancel", channel, consumer_tag=tag)
        arguments: dict[str, Any] = {}
        if self.taste.consumer_priorities and self.chance(2):
            arguments["x-priority"] = self.rng.choice((-1, 0, 1, 5))
        self.say(
            "basic.consume",
            channel,
            queue=self.queue(),
            consumer_tag=tag,
            no_ack=self.chance(4),
            exclusive=self.chance(12),
            arguments=arguments,
        )
        self.consumers.append((channel, tag))

    def settle(self) -> None:
        """Settle a delivery of a consumer, or of basic.get."""
        places = [*self.consumers[-4:], (self.channel(), "get")]
        channel, of = self.rng.choice(places)
        name = self.rng.choice(SETTLING)
        fields: dict[str, Any] = {"of": of, "nth": self.rng.choice((0, 0, 0, 1, -1))}
        if name != "basic.reject" and self.chance(3):
            fields["multiple"] = True
        if name != "basic.ack":
            fields["requeue"] = self.chance(2)
        self.steps.append(Step("settle", channel, name, fields))

    def cancel(self) -> None:
        if self.consumers:
            channel, tag = self.consumers.pop(self.rng.randrange(len(self.consumers)))
            self.say("basic.cancel", channel, consumer_tag=tag)

    def qos(self) -> None:
        self.say("basic.qos", prefetch_count=self.rng.choice((0, 1, 1, 2, 3)))

    def purge(self) -> None:
        self.say("queue.purge", queue=self.queue())

    def recover(self) -> None:
        self.say(self.rng.choice(("basic.recover", "basic.recover", "basic.recover-async")), requeue=True)

    # Modes and ends

    def mode(self) -> None:
        wanted = self.taste.confirms * ["confirm.select"] + self.taste.tx * ["tx.select"]
        self.say(self.rng.choice(wanted))

    def finish_tx(self) -> None:
        """Do a little in a transaction, and end it."""
        channel = self.channel()
        self.say("tx.select", channel)
        for _ in range(self.rng.randint(0, 2)):
            self.publish(channel)
        if self.chance(2):
            self.settle()
        self.say(self.rng.choice(("tx.commit", "tx.commit", "tx.rollback")), channel)

    def close_channel(self) -> None:
        self.say("channel.close", reply_code=200, reply_text="bye")

    def hang_up(self) -> None:
        self.steps.append(Step("hang_up", self.channel()))

    def wait(self) -> None:
        """Wait until what has the short time to live has expired."""
        self.steps.append(Step("wait", 0, "", {"milliseconds": SHORT_TTL_MS + 100}))

    # Wrong things

    def wrong(self) -> None:
        """Do something that must be refused, or that has nothing to act on."""
        self.rng.choice(
            (self._wrong_settling, self._wrong_name, self._wrong_redeclare, self._wrong_publish, self._odd)
        )()

    def _wrong_settling(self) -> None:
        name = self.rng.choice(SETTLING)
        fields: dict[str, Any] = {"delivery_tag": self.rng.choice((0, 0, 999))}
        if name != "basic.reject":
            fields["multiple"] = self.chance(2)
        self.say(name, **fields, **({} if name == "basic.ack" else {"requeue": self.chance(2)}))

    def _wrong_name(self) -> None:
        queue, exchange = self.rng.choice(("q9", "", self.queue())), self.rng.choice(("x9", "", *self.exchanges))
        name, fields = self.rng.choice(
            (
                ("basic.get", {"queue": queue}),
                ("basic.consume", {"queue": queue, "consumer_tag": "c0"}),
                ("queue.purge", {"queue": queue}),
                ("queue.delete", {"queue": queue}),
                ("queue.bind", {"queue": queue, "exchange": exchange, "routing_key": "a"}),
                ("queue.unbind", {"queue": queue, "exchange": exchange, "routing_key": "a"}),
                ("exchange.bind", {"destination": exchange, "source": "x9", "routing_key": "a"}),
                ("exchange.unbind", {"destination": "x9", "source": exchange, "routing_key": "a"}),
                ("exchange.delete", {"exchange": exchange}),
                ("exchange.declare", {"exchange": exchange, "type": "topic", "passive": True}),
                ("queue.declare", {"queue": queue, "passive": True}),
            )
        )
        self.say(name, **fields)

    def _wrong_redeclare(self) -> None:
        name = self.queue()
        options = dict(self.options[name])
        changed = self.rng.choice(("durable", "exclusive", "auto_delete", "arguments", "arguments"))
        if changed == "arguments":
            options["arguments"] = queue_arguments(self.rng, self.taste, name, wrong=True)
        else:
            options[changed] = not options[changed]
        self.say("queue.declare", queue=name, **options)
        if self.exchanges and self.chance(2):
            exchange = self.exchange()
            options = dict(self.options[exchange])
            changed = self.rng.choice(("durable", "internal", "auto_delete"))
            options[changed] = not options[changed]
            self.say("exchange.declare", exchange=exchange, type=self.kinds[exchange], **options)

    def _wrong_publish(self) -> None:
        wrong: tuple[dict[str, Any], ...] = (
            {"exchange": "x9"},
            {"immediate": True},
            {"mandatory": True, "routing_key": "nowhere"},
            {"properties": {"expiration": self.rng.choice(("", "x", "-1", "1x", "99999999999999"))}},
            {"properties": {"headers": {"CC": "q0"}}},
            {"properties": {"headers": {"BCC": 5}}},
            {"properties": {"user_id": "nobody"}},
            {"properties": {"reply_to": "amq.rabbitmq.reply-to"}},
        )
        fields = {"exchange": "", "routing_key": self.queue(), "body": "wrong", **self.rng.choice(wrong)}
        self.steps.append(Step("publish", self.channel(), "", fields))

    def _odd(self) -> None:
        name, fields = self.rng.choice(
            (
                ("basic.cancel", {"consumer_tag": "c9"}),
                ("basic.qos", {"prefetch_size": 1}),
                ("basic.recover", {"requeue": False}),
                ("tx.commit", {}),
                ("tx.rollback", {}),
                ("queue.declare", {"queue": "", "exclusive": True}),
                ("queue.declare", {"queue": "amq.q0"}),
                ("exchange.declare", {"exchange": "amq.direct", "type": "direct", "durable": True}),
                ("exchange.declare", {"exchange": "amq.direct", "type": "fanout", "durable": True}),
                ("exchange.declare", {"exchange": "", "type": "direct"}),
                ("exchange.delete", {"exchange": "amq.topic"}),
                ("queue.bind", {"queue": "", "exchange": "amq.direct", "routing_key": ""}),
                ("basic.consume", {"queue": self.queue(), "arguments": {"x-priority": "high"}}),
                ("channel.flow", {"active": False}),
                ("confirm.select", {}),
                ("tx.select", {}),
            )
        )
        self.say(name, **fields)
