"""Which failures are tried again: those that may pass by themselves, with growing pauses; all others never."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from dagster import AssetExecutionContext, OpExecutionContext, RetryRequested

from cdm_assets.warehouse.transient import is_transient

MOST_RETRIES: Final = 4
FIRST_PAUSE_SECONDS: Final = 5
"""Before the first retry; doubled for each further one."""
FAILED_TAG: Final = "cdm/failed"
TRANSIENT: Final = "transient"
"""The tag of a run that gave up for the time being: the sensor that asked for it asks again later."""


@contextmanager
def retried_when_transient(context: AssetExecutionContext | OpExecutionContext) -> Iterator[None]:
    """Ask Dagster to run the step again if what fails inside is transient (connection, time-out, lock).

    Anything else (a bad file, a broken mapping) fails the step at once.
    """
    try:
        yield
    except Exception as fault:
        if not is_transient(fault):
            raise
        if context.retry_number >= MOST_RETRIES:
            context.instance.add_run_tags(context.run_id, {FAILED_TAG: TRANSIENT})
        pause = FIRST_PAUSE_SECONDS * 2**context.retry_number
        context.log.warning("%s\nThis may pass by itself; the next try is in %d s.", fault, pause)
        raise RetryRequested(max_retries=MOST_RETRIES, seconds_to_wait=pause) from fault
