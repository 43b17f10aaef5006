"""Numbers of AMQP 0-9-1 that more than one file needs: frame types, class and method ids, limits.

Spec: AMQP 0-9-1, 4.2 (framing) and the class and method ids of the method reference; RabbitMQ's own
methods from its "AMQP 0-9-1 extensions" page. Where the printed specification and its machine-readable
form differ (heartbeat: 4 or 8), the value that clients use stands here.
"""

from typing import Final

PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
"""What a client sends first, and what the server answers to any other header. Spec: 4.2.2."""

PROTOCOL_HEADER_0_9: Final = b"AMQP\x01\x01\x00\x09"
"""The header of AMQP 0-9 proper; RabbitMQ serves it with 0-9-1, and old clients still send it."""

PROTOCOL_HEADER_OCTETS: Final = 8

# Frames. Spec: 4.2.3.
FRAME_METHOD: Final = 1
FRAME_HEADER: Final = 2
FRAME_BODY: Final = 3
FRAME_HEARTBEAT: Final = 8
FRAME_END: Final = 206
FRAME_END_OCTET: Final = b"\xce"
FRAME_HEADER_OCTETS: Final = 7
"""Type (1), channel (2) and payload size (4)."""

FRAME_OVERHEAD_OCTETS: Final = 8
"""What frame_max counts beside the payload: the frame header and the end octet."""

# Limits. Spec: 4.2.3 and 1.4.2.6 of the method reference; RabbitMQ: "Networking", "Channels", "Heartbeats".
FRAME_MIN_SIZE: Final = 4096
"""The least frame_max that may be negotiated, and the limit that holds until tune-ok."""

FRAME_MAX_DEFAULT: Final = 131072
CHANNEL_MAX_DEFAULT: Final = 2047
HEARTBEAT_DEFAULT_S: Final = 60
CHANNEL_NUMBER_MAX: Final = 65535
SHORTSTR_MAX_OCTETS: Final = 255

# Class ids.
CLASS_CONNECTION: Final = 10
CLASS_CHANNEL: Final = 20
CLASS_ACCESS: Final = 30
CLASS_EXCHANGE: Final = 40
CLASS_QUEUE: Final = 50
CLASS_BASIC: Final = 60
CLASS_CONFIRM: Final = 85
CLASS_TX: Final = 90

# Methods as (class id, method id).
CONNECTION_START: Final = (10, 10)
CONNECTION_START_OK: Final = (10, 11)
CONNECTION_SECURE: Final = (10, 20)
CONNECTION_SECURE_OK: Final = (10, 21)
CONNECTION_TUNE: Final = (10, 30)
CONNECTION_TUNE_OK: Final = (10, 31)
CONNECTION_OPEN: Final = (10, 40)
CONNECTION_OPEN_OK: Final = (10, 41)
CONNECTION_CLOSE: Final = (10, 50)
CONNECTION_CLOSE_OK: Final = (10, 51)
CONNECTION_BLOCKED: Final = (10, 60)
CONNECTION_UNBLOCKED: Final = (10, 61)
CONNECTION_UPDATE_SECRET: Final = (10, 70)
CONNECTION_UPDATE_SECRET_OK: Final = (10, 71)
CHANNEL_OPEN: Final = (20, 10)
CHANNEL_OPEN_OK: Final = (20, 11)
CHANNEL_FLOW: Final = (20, 20)
CHANNEL_FLOW_OK: Final = (20, 21)
CHANNEL_CLOSE: Final = (20, 40)
CHANNEL_CLOSE_OK: Final = (20, 41)
ACCESS_REQUEST: Final = (30, 10)
ACCESS_REQUEST_OK: Final = (30, 11)
EXCHANGE_DECLARE: Final = (40, 10)
EXCHANGE_DECLARE_OK: Final = (40, 11)
EXCHANGE_DELETE: Final = (40, 20)
EXCHANGE_DELETE_OK: Final = (40, 21)
EXCHANGE_BIND: Final = (40, 30)
EXCHANGE_BIND_OK: Final = (40, 31)
EXCHANGE_UNBIND: Final = (40, 40)
EXCHANGE_UNBIND_OK: Final = (40, 51)
"""51, not 41: RabbitMQ's numbering, which every client shares."""
QUEUE_DECLARE: Final = (50, 10)
QUEUE_DECLARE_OK: Final = (50, 11)
QUEUE_BIND: Final = (50, 20)
QUEUE_BIND_OK: Final = (50, 21)
QUEUE_PURGE: Final = (50, 30)
QUEUE_PURGE_OK: Final = (50, 31)
QUEUE_DELETE: Final = (50, 40)
QUEUE_DELETE_OK: Final = (50, 41)
QUEUE_UNBIND: Final = (50, 50)
QUEUE_UNBIND_OK: Final = (50, 51)
BASIC_QOS: Final = (60, 10)
BASIC_QOS_OK: Final = (60, 11)
BASIC_CONSUME: Final = (60, 20)
BASIC_CONSUME_OK: Final = (60, 21)
BASIC_CANCEL: Final = (60, 30)
BASIC_CANCEL_OK: Final = (60, 31)
BASIC_PUBLISH: Final = (60, 40)
BASIC_RETURN: Final = (60, 50)
BASIC_DELIVER: Final = (60, 60)
BASIC_GET: Final = (60, 70)
BASIC_GET_OK: Final = (60, 71)
BASIC_GET_EMPTY: Final = (60, 72)
BASIC_ACK: Final = (60, 80)
BASIC_REJECT: Final = (60, 90)
BASIC_RECOVER_ASYNC: Final = (60, 100)
BASIC_RECOVER: Final = (60, 110)
BASIC_RECOVER_OK: Final = (60, 111)
BASIC_NACK: Final = (60, 120)
CONFIRM_SELECT: Final = (85, 10)
CONFIRM_SELECT_OK: Final = (85, 11)
TX_SELECT: Final = (90, 10)
TX_SELECT_OK: Final = (90, 11)
TX_COMMIT: Final = (90, 20)
TX_COMMIT_OK: Final = (90, 21)
TX_ROLLBACK: Final = (90, 30)
TX_ROLLBACK_OK: Final = (90, 31)
