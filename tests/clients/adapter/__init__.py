"""pika.adapters.asyncio_connection.AsyncioConnection."""
