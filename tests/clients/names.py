"""Names that no other test uses, and that are gone from the broker when the test ends."""

import uuid

import pika


class Names:
    """Invents queue and exchange names and remembers them for deletion."""

    def __init__(self) -> None:
        self.queues: list[str] = []
        self.exchanges: list[str] = []

    def queue(self, label: str = "queue") -> str:
        name = f"leveret-test.{label}.{uuid.uuid4().hex[:12]}"
        self.queues.append(name)
        return name

    def exchange(self, label: str = "exchange") -> str:
        name = f"leveret-test.{label}.{uuid.uuid4().hex[:12]}"
        self.exchanges.append(name)
        return name

    def delete_all(self, broker_url: str) -> None:
        """Delete what was declared under these names; deleting what is not there is no error."""
        if not self.queues and not self.exchanges:
            return
        connection = pika.BlockingConnection(pika.URLParameters(broker_url))
        channel = connection.channel()
        for queue in self.queues:
            channel.queue_delete(queue)
        for exchange in self.exchanges:
            channel.exchange_delete(exchange)
        connection.close()
