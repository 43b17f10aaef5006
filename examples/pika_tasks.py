"""A durable work queue with pika: what is sent is on disk when basic_publish returns, what is done is acked.

python examples/pika_tasks.py [amqp://guest:guest@localhost:5672/]
"""

import sys

import pika

url = sys.argv[1] if len(sys.argv) > 1 else "amqp://guest:guest@localhost:5672/"

with pika.BlockingConnection(pika.URLParameters(url)) as connection:
    channel = connection.channel()
    channel.queue_declare("tasks", durable=True)

    # With confirms, basic_publish returns when the broker has the message on disk.
    channel.confirm_delivery()
    persistent = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)
    for number in range(1, 4):
        channel.basic_publish("", "tasks", f"task {number}".encode(), persistent, mandatory=True)
        print(f"sent task {number}")

    # Not more than one task at a time, so that other workers get their share.
    channel.basic_qos(prefetch_count=1)
    for method, _properties, body in channel.consume("tasks", inactivity_timeout=1):
        if method is None:
            break  # nothing came for a second
        print(f"done {body.decode()}")
        channel.basic_ack(method.delivery_tag)
    channel.cancel()
