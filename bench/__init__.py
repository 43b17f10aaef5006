"""Load generator for AMQP 0-9-1 brokers: raw sockets, processes of its own, nothing of any broker's inside.

`python -m bench --help` says how to run it; docs/performance.md says what each figure means.
"""
