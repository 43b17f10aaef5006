"""The image's health check, run when the engine is told to: healthy, and not when the broker does not answer."""

import time
from collections.abc import Callable

import pytest

from tests.container.engine import Container

HEALTHCHECK_S = 30.0

# Often enough for a test; docker runs it by its own clock, podman when it is asked to.
OFTEN = ("--health-interval=1s", "--health-retries=1", "--health-start-period=0s")


def health(container: Container) -> str:
    """Return the state: healthy, unhealthy, starting. Has podman run the check, which it does not do by itself."""
    if container.engine.name.endswith("podman"):
        container.engine.ask("healthcheck", "run", container.container_id)
    state = container.inspect()["State"]
    found: str = (state.get("Health") or state["Healthcheck"])["Status"]
    return found


def wait_health(container: Container, wanted: str) -> None:
    """Wait until the state of health is ``wanted``."""
    deadline = time.monotonic() + HEALTHCHECK_S
    while (found := health(container)) != wanted:
        assert time.monotonic() < deadline, f"{found}, not {wanted}: {container.inspect()['State']}"


def check_of(container: Container) -> list[str]:
    """Return the command of the image's health check."""
    test: list[str] = container.inspect()["Config"]["Healthcheck"]["Test"]
    assert test[0] == "CMD"  # no shell
    return test[1:]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="as it is"),
        pytest.param(("--read-only",), id="read-only root"),
        pytest.param(("--env=LEVERET_PORT=5700",), id="another port"),
        pytest.param(("--env=RABBITMQ_NODE_IP_ADDRESS=127.0.0.2",), id="another address"),
    ],
)
def test_a_running_broker_is_healthy(run: Callable[..., Container], options: tuple[str, ...]) -> None:
    wait_health(run(*OFTEN, *options), "healthy")


def test_a_broker_that_does_not_answer_is_unhealthy(run: Callable[..., Container]) -> None:
    container = run(*OFTEN)
    wait_health(container, "healthy")
    container.signal("STOP")
    try:
        wait_health(container, "unhealthy")
    finally:
        container.signal("CONT")
    wait_health(container, "healthy")


def test_the_check_fails_where_there_is_no_broker(run: Callable[..., Container]) -> None:
    container = run(command=("sleep", "60"), is_awaited=False)
    assert container.execute(*check_of(container)).returncode != 0
    container.signal("KILL")


def test_the_check_costs_little(leveret: Container) -> None:
    check = " ".join(check_of(leveret))
    done = leveret.execute("bash", "-c", f"TIMEFORMAT='%U %S'; time {check}")
    assert done.returncode == 0
    assert sum(float(part) for part in done.stderr.split()[-2:]) < 0.1
