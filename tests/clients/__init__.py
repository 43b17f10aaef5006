"""Real clients over real sockets: pika (blocking and asyncio adapter) and aio-pika."""
