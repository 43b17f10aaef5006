"""pika.BlockingConnection."""
