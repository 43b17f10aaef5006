"""What a broker's log must not hold, whatever is done to the broker."""

from tests.brokers import RunningBroker


def logged_errors(broker: RunningBroker) -> list[str]:
    """The lines of this run of the broker, since it was last started, that tell of an error or a bug."""
    return [line for line in broker.output if '"level": "error"' in line or "Traceback" in line]
