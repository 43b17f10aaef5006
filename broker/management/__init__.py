"""The management HTTP API: RabbitMQ's paths and JSON, and what RabbitMQ lacks."""
