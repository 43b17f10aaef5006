"""Black-box AMQP 0-9-1 cases that run against any broker, given its URL: ``python -m conformance URL``."""
