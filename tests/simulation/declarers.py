"""Who declares: the steward makes what the others use, the churner makes and deletes all the time."""

from functools import partial
from typing import TYPE_CHECKING

from pamqp import commands
from pamqp.base import Frame

from tests.crash.ledger import body_of, name_of
from tests.protocol.octets import message
from tests.simulation.client import Client
from tests.simulation.shape import EXCHANGES

if TYPE_CHECKING:
    from tests.simulation.world import World


class Steward(Client):
    """Declares queues, exchanges and bindings after each start of the broker, the same again."""

    kind = "steward"

    def opened(self) -> None:
        for exchange, exchange_type, arguments in EXCHANGES:
            self.ask(
                lambda _: None,
                commands.Exchange.Declare,
                exchange=exchange,
                exchange_type=exchange_type,
                durable=True,
                arguments=arguments,
            )
        for queue in self.world.shape.queues:
            self.ask(
                partial(self._declared, queue.name if queue.rules.is_durable else ""),
                commands.Queue.Declare,
                queue=queue.name,
                durable=queue.rules.is_durable,
                arguments=queue.arguments,
            )
            for exchange, key in queue.bindings:
                self.ask(lambda _: None, commands.Queue.Bind, queue=queue.name, exchange=exchange, routing_key=key)
        self.ask(self._done, commands.Basic.Qos, prefetch_count=1)

    def _declared(self, name: str, _method: Frame) -> None:
        if name:
            self.world.sure.add(name)

    def _done(self, _method: Frame) -> None:
        self.world.is_set_up = True

    def may_act(self) -> bool:
        return False


class Churner(Client):
    """Declares, binds, fills and deletes durable queues, and knows what the broker said was done."""

    kind = "churner"

    def __init__(self, world: "World", number: int) -> None:
        super().__init__(world, number)
        self.next_number = 0
        self.there: dict[str, bool] = {}  # and whether it is bound
        self.gone: list[str] = []
        self.asked_for_gone = ""

    def opened(self) -> None:
        self.asked_for_gone = ""
        for queue, is_bound in self.there.items():
            self.ask(lambda _: None, commands.Queue.Declare, queue=queue, passive=True)
            if is_bound:
                self.ask(lambda _: None, commands.Queue.Unbind, queue=queue, exchange="amq.topic", routing_key="churn")
                self.ask(lambda _: None, commands.Queue.Bind, queue=queue, exchange="amq.topic", routing_key="churn")

    def lost(self) -> None:
        self.asked_for_gone = ""

    def may_act(self) -> bool:
        return self.is_ready and not self.is_waiting

    def act(self) -> None:
        chance = self.world.turns.chance
        if self.there and chance.random() < 0.4:
            queue = chance.choice(tuple(self.there))
            if chance.random() < 0.6:
                self._use(queue)
                return
            del self.there[queue]  # from here on it may be either
            self.world.sure.discard(queue)
            self.ask(partial(self._deleted, queue), commands.Queue.Delete, queue=queue)
        elif self.gone and chance.random() < 0.2:
            self.asked_for_gone = self.gone.pop()
            self.ask(self._still_there, commands.Queue.Declare, queue=self.asked_for_gone, passive=True)
        else:
            queue = f"churn {self.number} {self.next_number}"
            self.next_number += 1
            self.ask(partial(self._declared, queue), commands.Queue.Declare, queue=queue, durable=True)
            self.ask(
                partial(self._bound, queue), commands.Queue.Bind, queue=queue, exchange="amq.topic", routing_key="churn"
            )

    def _use(self, queue: str) -> None:
        """Publish to all, get from one."""
        self.feed(message(body_of((self.number, self.next_number)), b"churn", b"\x10\x00\x02", exchange=b"amq.topic"))
        self.ask(lambda _: None, commands.Basic.Get, queue=queue, no_ack=True)

    def got_message(self, method: Frame, header: bytes, body: bytes) -> None:
        assert name_of(body)[0] == self.number

    def _declared(self, queue: str, _method: Frame) -> None:
        self.there[queue] = False
        self.world.sure.add(queue)

    def _bound(self, queue: str, _method: Frame) -> None:
        self.there[queue] = True

    def _deleted(self, queue: str, _method: Frame) -> None:
        self.gone.append(queue)

    def _still_there(self, _method: Frame) -> None:
        raise AssertionError(f"{self.asked_for_gone} was deleted, and is there")

    def refused(self, method: commands.Channel.Close) -> None:
        assert method.reply_code == 404, method.reply_text
        assert self.asked_for_gone, method.reply_text
        assert f"'{self.asked_for_gone}'" in method.reply_text
        self.asked_for_gone = ""


class Owner(Client):
    """Declares an exclusive queue, each time with the same name: it goes with the connection."""

    kind = "owner"

    def __init__(self, world: "World", number: int) -> None:
        super().__init__(world, number)
        self.queue = f"owned {number}"
        self.sent = self.seen = 0
        self.was_locked = False

    def opened(self) -> None:
        self.sent = self.seen = 0
        if not self.was_locked:
            self._declare()

    def lost(self) -> None:
        self.was_locked = False

    def _declare(self) -> None:
        self.was_locked = False
        self.ask(self._declared, commands.Queue.Declare, queue=self.queue, exclusive=True)

    def _declared(self, method: Frame) -> None:
        assert isinstance(method, commands.Queue.DeclareOk)
        assert method.message_count == 0, f"{self.queue} is another's"
        self.ask(lambda _: None, commands.Basic.Consume, queue=self.queue, no_ack=True)

    def refused(self, method: commands.Channel.Close) -> None:
        """The broker does not know yet that the former connection has gone."""
        assert method.reply_code == 405, method.reply_text
        before = [link for link in self.world.links if link is not self.link and not link.server_is_gone]
        assert before, "locked by nobody"
        self.was_locked = True

    def may_act(self) -> bool:
        return self.is_ready and not self.is_waiting

    def act(self) -> None:
        if self.was_locked:
            self._declare()
            return
        self.feed(message(body_of((self.number, self.sent)), self.queue.encode()))
        self.sent += 1

    def delivered(self, method: commands.Basic.Deliver, header: bytes, body: bytes) -> None:
        assert name_of(body) == (self.number, self.seen), f"{self.name} gets {name_of(body)}, not {self.seen}"
        assert not method.redelivered
        self.seen += 1

    @property
    def is_quiet(self) -> bool:
        return super().is_quiet and self.seen == self.sent
