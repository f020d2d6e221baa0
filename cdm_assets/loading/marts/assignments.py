"""Who is in which arm of which experiment as of a date; what the marts of experiments share."""

from __future__ import annotations

import sqlalchemy as sa

from cdm_assets.loading.stamp import in_range
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.tables import Tables


def running_experiments(tables: Tables, dates: DateRange) -> sa.Subquery:
    """The experiments that run on each date of the range, as they are known on it."""
    experiment = tables["itf.experiment"]
    day = experiment.c.business_date
    return (
        sa.select(day, experiment.c.experiment_id)
        .where(in_range(day, dates), day.between(experiment.c.starts_on, experiment.c.ends_on))
        .subquery("running")
    )


def members(tables: Tables, dates: DateRange) -> sa.Subquery:
    """The customers in the experiments that run on each date, with their arm: those assigned by then."""
    running, assigned = running_experiments(tables, dates), tables["itf.experiment_assignment"]
    by_then = sa.and_(
        assigned.c.experiment_id == running.c.experiment_id, assigned.c.business_date <= running.c.business_date
    )
    return (
        sa.select(running.c.business_date, running.c.experiment_id, assigned.c.arm, assigned.c.customer_id)
        .select_from(running.join(assigned, by_then))
        .subquery("members")
    )
