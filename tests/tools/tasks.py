"""Celery's tasks for the tests: a worker and a client of it load this module."""

import os

import celery

app = celery.Celery("tools", broker=os.environ["BROKER_URL"], backend="rpc://")
app.conf.task_default_queue = "tools"
app.conf.worker_prefetch_multiplier = 1


@app.task(bind=True, max_retries=2, name="tools.add")
def add(self, one, other, failures=0):  # type: ignore[no-untyped-def]
    """Return a sum, at the attempt after so many that fail."""
    if self.request.retries < failures:
        raise self.retry(countdown=0.1)
    return one + other


def send() -> None:
    """Send tasks, wait for their results and print those."""
    waiting = [add.delay(number, 1) for number in range(20)]
    waiting += [add.delay(100, 1, failures=1), add.apply_async((200, 1), countdown=1)]
    print(*(each.get(timeout=60) for each in waiting))  # noqa: T201 - what the test reads
