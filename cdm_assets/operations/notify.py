"""Send what `incidents` wrote down, by mail, chat, webhook or whatever `apprise` knows an URL for.

`CDM_NOTIFY` says where to: URLs with commas between, which get everything; or a file with a line for each address,

    # who: apprise URL. Shell patterns and ${VARIABLES} are filled in; {to} becomes the recipient.
    team:growth-analytics: slack://${SLACK_TOKEN}/#growth
    *@example.com: mailtos://${SMTP_USER}:${SMTP_PASSWORD}@smtp.example.com?to={to}
    *: jsons://hooks.example.com/cdm

where `*` is for those whom no other line names. No secret stands in the catalog, in the database or in a log: a message
only remembers fingerprints of the addresses that took it. A message is kept until each of its addresses has; one that
fails is tried again with growing pauses.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote

import sqlalchemy as sa

from cdm_assets.loading.stamp import Stamp
from cdm_assets.settings import SettingsError
from cdm_assets.warehouse.tables import Tables

EVERYBODY: Final = "*"
_FIRST_PAUSE: Final = timedelta(seconds=30)
_LONGEST_PAUSE: Final = timedelta(hours=1)
_MOST_AT_ONCE: Final = 20
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True)
class Route:
    """Where messages for those whose name matches `pattern` go."""

    pattern: str
    url: str

    def address_for(self, recipient: str) -> str:
        """The URL for one recipient."""
        return self.url.replace("{to}", quote(recipient, safe="@"))


@dataclass(frozen=True)
class Message:
    """One that waits to be sent."""

    message_id: str
    recipients: tuple[str, ...]
    title: str
    body: str
    attempts: int
    sent_to: frozenset[str]


@dataclass(frozen=True)
class Delivery:
    """How an attempt to send a message ended."""

    message: Message
    sent_to: frozenset[str]
    error: str | None

    @property
    def is_complete(self) -> bool:
        """Whether every address has taken it."""
        return self.error is None


class Sender(Protocol):
    """Sends one text to one URL; returns None, or why it failed."""

    def __call__(self, url: str, title: str, body: str) -> str | None:
        """Send `body` to `url`."""


def read_routes(notify: str, environment: Mapping[str, str] | None = None) -> tuple[Route, ...]:
    """The addresses that `CDM_NOTIFY` names. Raises SettingsError, never showing an URL: it may hold a secret."""
    env = os.environ if environment is None else environment
    if not notify.strip():
        return ()
    if "://" in notify or _VARIABLE.match(notify):
        urls = [part.strip() for part in notify.split(",") if part.strip()]
        return tuple(Route(EVERYBODY, _filled(url, env, "CDM_NOTIFY")) for url in urls)
    path = Path(notify).expanduser()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as fault:
        raise SettingsError(f"CDM_NOTIFY={notify!r} is neither an apprise URL nor a file to read: {fault}") from fault
    routes = []
    for number, line in enumerate(lines, start=1):
        text, where = line.strip(), f"{path}:{number}"
        if not text or text.startswith("#"):
            continue
        who, separator, url = text.partition(": ")
        if not separator:
            raise SettingsError(f"{where}: expected who, a colon, a space and an apprise URL, such as `*: json://host`")
        routes.append(Route(who.strip(), _filled(url.strip(), env, where)))
    return tuple(routes)


def _filled(url: str, env: Mapping[str, str], where: str) -> str:
    """The URL with its ${VARIABLES}; a variable may hold all of it, or a part such as a password with any character."""
    missing = [name for name in _VARIABLE.findall(url) if name not in env]
    if missing:
        raise SettingsError(f"{where}: the environment has no {', '.join(missing)}, which the address needs")
    filled = _VARIABLE.sub(lambda found: quote(env[found[1]], safe="") if found.start() else env[found[1]], url)
    if not re.match(r"[a-z][a-z0-9+.-]*://", filled):
        raise SettingsError(f"{where}: not an apprise URL; expected one such as mailto://, slack:// or json://")
    return filled


def addresses(routes: Sequence[Route], recipients: Iterable[str]) -> list[str]:
    """The URLs that a message for `recipients` goes to, each once."""
    found: list[str] = []
    for recipient in recipients:
        own = [r for r in routes if r.pattern != EVERYBODY and fnmatchcase(recipient, r.pattern)]
        found += [r.address_for(recipient) for r in own or [r for r in routes if r.pattern == EVERYBODY]]
    return list(dict.fromkeys(found))


def fingerprint(url: str) -> str:
    """What is remembered of an address."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def send_by_apprise(url: str, title: str, body: str) -> str | None:
    """Send one text; None when the other side took it, else why not."""
    import apprise  # noqa: PLC0415 - only where something is sent: it takes a while

    kept = _KeptWarnings()
    logger = logging.getLogger("apprise")
    service = apprise.Apprise()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the first one loads a hundred plugins, some of old modules
        if not service.add(url):
            return "apprise does not understand the address"
    logger.addHandler(kept)
    try:
        taken = service.notify(body=body, title=title, body_format=apprise.NotifyFormat.TEXT)
    except Exception as fault:  # noqa: BLE001 - one service's fault must not keep the others' messages
        return f"{type(fault).__name__}: {fault}"
    finally:
        logger.removeHandler(kept)
    return None if taken else "; ".join(kept.texts)[:500] or "the other side did not take it"


class _KeptWarnings(logging.Handler):
    """What apprise logs while it sends: it says no more than True or False."""

    def __init__(self) -> None:
        super().__init__(level=logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def messages_due(connection: sa.Connection, tables: Tables, now: datetime) -> list[Message]:
    """The messages to send now, the oldest first."""
    table = tables["cdp_metadata.incident_message"]
    query = (
        sa.select(
            table.c.message_id, table.c.recipients, table.c.title, table.c.body, table.c.attempts, table.c.sent_to
        )
        .where(table.c.sent_at.is_(None), table.c.next_attempt_at <= now)
        .order_by(table.c.next_attempt_at, table.c.message_id)
        .limit(_MOST_AT_ONCE)
    )
    return [
        Message(key, tuple(to.split(",")), title, body, attempts, frozenset(sent.split(",")) - {""})
        for key, to, title, body, attempts, sent in connection.execute(query).tuples()
    ]


def deliver(message: Message, routes: Sequence[Route], send: Sender = send_by_apprise) -> Delivery:
    """Send a message to the addresses that have not taken it yet. Touches no database: this may take a while."""
    urls = addresses(routes, message.recipients)
    if not urls:
        names = ", ".join(message.recipients) or "nobody"
        why = f"no address for {names}; name one in CDM_NOTIFY"
        return Delivery(message, message.sent_to, why)
    sent, errors = set(message.sent_to), []
    for url in urls:
        if fingerprint(url) in sent:
            continue
        error = send(url, message.title, message.body)
        if error is None:
            sent.add(fingerprint(url))
        else:
            errors.append(f"{url.partition('://')[0]}: {error.replace(url, '…')}")
    return Delivery(message, frozenset(sent), "; ".join(errors) or None)


def record_deliveries(connection: sa.Connection, tables: Tables, deliveries: Iterable[Delivery], stamp: Stamp) -> None:
    """Note what was sent, and when what was not is tried again."""
    table = tables["cdp_metadata.incident_message"]
    for delivery in deliveries:
        attempts = delivery.message.attempts + 1
        pause = min(_FIRST_PAUSE * 2 ** min(attempts - 1, 10), _LONGEST_PAUSE)
        connection.execute(
            sa.update(table)
            .where(table.c.message_id == delivery.message.message_id)
            .values(
                attempts=attempts,
                sent_to=",".join(sorted(delivery.sent_to)),
                sent_at=stamp.load_ts if delivery.is_complete else None,
                next_attempt_at=stamp.load_ts + pause,
                last_error=(delivery.error or "")[:2000] or None,
                **stamp.row,
            )
        )


def unsent(connection: sa.Connection, tables: Tables) -> list[tuple[str, int, str | None]]:
    """The messages that are not sent: name, attempts and the last error."""
    table = tables["cdp_metadata.incident_message"]
    query = sa.select(table.c.message_id, table.c.attempts, table.c.last_error).where(table.c.sent_at.is_(None))
    return list(connection.execute(query.order_by(table.c.message_id)).tuples().all())
