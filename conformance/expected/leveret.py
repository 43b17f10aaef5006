"""Where Leveret differs from RabbitMQ on purpose, and why."""

_SAYS_WHY = "RabbitMQ drops the connection without a word; Leveret says in connection.close what was wrong."
_NO_LIMIT = (
    "The specification's 0 means that the client sets no limit of its own; RabbitMQ drops the connection, "
    "Leveret uses its own limit."
)

DIFFERENCES: dict[str, str] = {
    "handshake/a_channel_before_open_drops": _SAYS_WHY,
    "publish/an_unknown_delivery_mode_is_406": (
        "RabbitMQ 4 takes any delivery mode but 2 as transient; Leveret's default profile accepts what any version of "
        "3.8 to 4.2 does."
    ),
    "tune/a_huge_start_ok_is_dropped": (
        "RabbitMQ's limit before tuning is 4,096 octets (8,192 in 4.x), too low for long tokens; Leveret's is its own "
        "frame_max."
    ),
    "tune/channel_max_0_is_dropped": _NO_LIMIT,
    "tune/channel_max_above_the_offer_is_dropped": _SAYS_WHY,
    "tune/frame_max_0_is_dropped": _NO_LIMIT,
    "tune/frame_max_above_the_offer_is_dropped": _SAYS_WHY,
    "tune/frame_max_under_the_minimum_is_dropped": _SAYS_WHY,
    "framing/an_unknown_class_drops": _SAYS_WHY,
    "framing/an_unknown_method_drops": _SAYS_WHY,
}
