"""Which faults may pass by themselves, so that another try is worth it."""

from __future__ import annotations

import errno
import re
from typing import Final

import sqlalchemy as sa

from cdm_assets.warehouse.engine import WarehouseBusy

_PASSING: Final = re.compile(
    r"\block(ed|s)?\b|deadlock|could not serialize|serialization failure|conflict|connection|timed? ?out|temporarily"
    r"|too many requests|slow ?down|service unavailable",
    re.IGNORECASE,
)
"""What databases and object stores say of locks, lost connections and load."""
_PASSING_ON_ORACLE: Final = re.compile(r"ORA-(00060|08177)")
"""Deadlocks and writes that met: to its driver these are no OperationalError."""
_PASSING_ON_SNOWFLAKE: Final = re.compile(r"\b000625\b|\b250003\b|Could not connect to Snowflake backend")
"""A lock that was waited for in vain, a request that failed on its way; wrong passwords begin with 250001, too."""
_PASSING_NAMES: Final = re.compile("Connect|Timeout|Throttl|SlowDown")
"""In the names of object stores' own faults, such as EndpointConnectionError, which is no ConnectionError."""
_PASSING_NUMBERS: Final = {
    errno.EBUSY,
    errno.EAGAIN,
    getattr(errno, "EREMOTEIO", errno.EBUSY),
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
}
"""Of file systems; s3fs says "busy" for SlowDown and "remote" for InternalError."""


def is_transient(fault: BaseException) -> bool:
    """Whether a fault, or what caused it, is one of connection, time or a lock; a bad file or statement is not."""
    seen: BaseException | None = fault
    while seen is not None:
        if isinstance(seen, ConnectionError | TimeoutError | WarehouseBusy):
            return True
        if _PASSING_NAMES.search(type(seen).__name__) and not isinstance(seen, sa.exc.DBAPIError):
            return True
        if isinstance(seen, OSError) and seen.errno in _PASSING_NUMBERS:
            return True
        if isinstance(seen, sa.exc.DBAPIError):
            said = str(seen.orig)
            if seen.connection_invalidated or _PASSING_ON_ORACLE.search(said) or _PASSING_ON_SNOWFLAKE.search(said):
                return True
            if isinstance(seen, sa.exc.OperationalError | sa.exc.InterfaceError):
                return bool(_PASSING.search(str(seen.orig)))
        seen = seen.__cause__ or seen.__context__
    return False
