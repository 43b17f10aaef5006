"""Where Leveret differs from RabbitMQ on purpose, and why."""

DIFFERENCES: dict[str, str] = {}
