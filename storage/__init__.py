"""The append-only segment log: what is in it, how it is recovered and trimmed. Ids and octets, nothing of
AMQP.
"""
