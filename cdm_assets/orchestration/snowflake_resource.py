"""dagster-snowflake's resource, configured from the site's settings: it opens the warehouse's connections.

A site's own assets use the same one as `snowflake`. dagster-snowflake takes a second to import and is only imported
where the database is Snowflake.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from cdm_assets.settings import Settings
from cdm_assets.warehouse.snowflake import SnowflakeAccess

if TYPE_CHECKING:
    from dagster_snowflake import SnowflakeResource

SNOWFLAKE_RESOURCE: Final = "snowflake"


def access(settings: Settings) -> SnowflakeAccess:
    """Whom the site connects as. Raises SnowflakeAddressError where its URL lacks something."""
    return SnowflakeAccess.from_url(
        sa.make_url(settings.database),
        settings.database_password,
        private_key=settings.snowflake_private_key,
        passphrase=settings.snowflake_passphrase,
    )


def database_resources(settings: Settings) -> Mapping[str, SnowflakeResource]:
    """The resources that only Snowflake has, by name."""
    return {SNOWFLAKE_RESOURCE: snowflake_resource(settings)} if settings.engine == "snowflake" else {}


def snowflake_resource(settings: Settings) -> SnowflakeResource:
    """The resource for the site's database; nothing is connected yet.

    Its configuration is shown in the UI, so no secret is part of it: one is added when a connection is opened.
    """
    library = _dagster_snowflake()

    class SiteSnowflakeResource(library.SnowflakeResource):  # type: ignore[name-defined,misc]
        """Snowflake, as the site's settings say; secrets are those of the process that connects."""

        @contextmanager
        def get_connection(self, raw_conn: bool = True) -> Iterator[Any]:  # noqa: FBT001, FBT002 - the library's
            """A connection like the warehouse's own, or through SQLAlchemy if `connector` says so."""
            configured = {name: value for name in _shown(wanted) if (value := getattr(self, name)) is not None}
            complete = library.SnowflakeResource(**configured, **_secrets(wanted))
            with complete.get_connection(raw_conn) as connection:
                yield connection

    wanted = access(settings)
    return SiteSnowflakeResource(**_shown(wanted))


def _dagster_snowflake() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its fields are declared in a way that pydantic has deprecated
        return import_module("dagster_snowflake")


def _shown(wanted: SnowflakeAccess) -> dict[str, Any]:
    """The resource's fields besides secrets."""
    further = wanted.further_arguments()
    own_fields = {name: further.pop(name) for name in ("paramstyle", "autocommit")}
    return {
        "account": wanted.account,
        "user": wanted.user,
        "database": wanted.database,
        "warehouse": wanted.warehouse,
        "role": wanted.role,
        "authenticator": "SNOWFLAKE_JWT" if wanted.private_key else "SNOWFLAKE",
        "additional_snowflake_connection_args": further,
        **own_fields,
    }


def _secrets(wanted: SnowflakeAccess) -> dict[str, Any]:
    if wanted.private_key is None:
        return {"password": wanted.password}
    return {"private_key": wanted.private_key, "private_key_password": wanted.passphrase}


def connections_of(resource: SnowflakeResource) -> Callable[[], Any]:
    """What opens a connection of `resource` for a pool, which closes it."""
    opened: list[AbstractContextManager[Any]] = []

    def connect() -> Any:
        context = resource.get_connection()
        opened.append(context)  # a context that is forgotten may close what it opened
        return context.__enter__()

    return connect
