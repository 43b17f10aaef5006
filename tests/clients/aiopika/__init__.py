"""aio-pika."""
