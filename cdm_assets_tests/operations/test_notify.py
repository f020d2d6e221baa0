"""Messages reach a real HTTP and a real mail server on this machine; what fails is kept and tried again."""

from __future__ import annotations

import email
import email.policy
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from aiosmtpd.controller import Controller

from cdm_assets.operations.notify import (
    Delivery,
    Message,
    Route,
    addresses,
    deliver,
    fingerprint,
    messages_due,
    read_routes,
    record_deliveries,
    unsent,
)
from cdm_assets.settings import SettingsError
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.operations.incident_site import ON_DUTY, IncidentSite, broken, with_people
from cdm_assets_tests.small_site import Site


class Hook:
    """A web server that keeps what it is sent, and may be out of order."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.status = 200
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if hook.status == 200:
                    hook.received.append(body)
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def hook() -> Iterator[Hook]:
    opened = Hook()
    yield opened
    opened.server.shutdown()
    opened.server.server_close()


class Mailbox:
    """What the mail server keeps."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], email.message.EmailMessage]] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.mails.append((envelope.rcpt_tos, mail))
        return "250 taken"


@pytest.fixture
def mail_server() -> Iterator[tuple[Mailbox, str]]:
    mailbox = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    yield mailbox, f"mailto://127.0.0.1:{port}?from=cdm@example.com&to={{to}}"
    controller.stop()


@pytest.fixture(scope="module")
def open_incident_site(open_small_site: Site) -> Iterator[IncidentSite]:
    with Warehouse.open_duckdb(None, Tables(with_people(open_small_site.catalog))) as warehouse:
        create_missing(warehouse)
        yield IncidentSite(warehouse)


@pytest.fixture
def incident_site(open_incident_site: IncidentSite) -> IncidentSite:
    for table in ("incident", "incident_occurrence", "incident_message"):
        open_incident_site.clear(table)
    return open_incident_site


def send_due(site: IncidentSite, routes: tuple[Route, ...]) -> list[Delivery]:
    with site.warehouse.connection() as connection:
        due = messages_due(connection, site.tables, site.now)
    deliveries = [deliver(message, routes) for message in due]
    with site.warehouse.transaction() as connection:
        record_deliveries(connection, site.tables, deliveries, site.stamp)
    return deliveries


def test_an_incident_reaches_a_web_server_and_the_mailbox_of_who_is_on_duty(
    incident_site: IncidentSite, hook: Hook, mail_server: tuple[Mailbox, str]
) -> None:
    mailbox, mail_url = mail_server
    routes = read_routes(f"{hook.url},{mail_url}")
    incident_site.look(broken())
    assert [delivery.error for delivery in send_due(incident_site, routes)] == [None]
    (posted,) = hook.received
    assert posted["title"].startswith("[critical] INC-1 A data-quality rule that blocks or warns is broken: ldz.")
    assert "Runbook: runbooks/2_failure_handling.md#cdm-ldz-010" in posted["message"]
    ((recipients, mail),) = mailbox.mails
    assert recipients == [ON_DUTY]
    assert "INC-1" in str(mail["subject"])
    text = mail.get_body(("plain", "html"))
    assert text is not None
    assert "cdm incident ack INC-1" in text.get_content()
    assert send_due(incident_site, routes) == [], "once"


def test_what_fails_is_kept_tried_again_with_growing_pauses_and_sent_only_where_it_was_not_taken(
    incident_site: IncidentSite, hook: Hook, mail_server: tuple[Mailbox, str]
) -> None:
    mailbox, mail_url = mail_server
    routes = read_routes(f"{hook.url},{mail_url}")
    hook.status = 503
    incident_site.look(broken())
    (delivery,) = send_due(incident_site, routes)
    assert delivery.error is not None
    assert delivery.error.startswith("json: ")
    assert delivery.sent_to == {fingerprint(mail_url.replace("{to}", ON_DUTY))}
    with incident_site.warehouse.connection() as connection:
        ((name, attempts, error),) = unsent(connection, incident_site.tables)
    assert (name, attempts) == ("INC-1 opened", 1)
    assert error == delivery.error
    assert send_due(incident_site, routes) == [], "not at once"
    incident_site.later(seconds=30)
    assert len(send_due(incident_site, routes)) == 1
    incident_site.later(seconds=30)
    assert send_due(incident_site, routes) == [], "the second pause is longer"
    hook.status = 200
    incident_site.later(seconds=30)
    assert [each.error for each in send_due(incident_site, routes)] == [None]
    assert len(hook.received) == 1
    assert len(mailbox.mails) == 1, "who took it gets it once"


def test_no_address_is_no_loss(incident_site: IncidentSite, hook: Hook) -> None:
    incident_site.look(broken())
    (delivery,) = send_due(incident_site, (Route("team:*", hook.url),))
    assert delivery.error == "no address for lee@example.com; name one in CDM_NOTIFY"
    incident_site.later(hours=1)
    send_due(incident_site, read_routes(hook.url))
    assert len(hook.received) == 1


def test_a_service_that_nobody_knows_or_that_is_not_there_says_so_without_its_address() -> None:
    message = Message("INC-1 opened", ("kim@example.com",), "title", "body", 0, frozenset())
    unknown = deliver(message, (Route("*", "nonsense://secret-token@host"),))
    assert unknown.error == "nonsense: apprise does not understand the address"
    away = deliver(message, (Route("*", "json://user:secret-token@127.0.0.1:9/"),))
    assert away.error
    assert "secret-token" not in away.error


def test_a_file_names_addresses_by_recipient_with_secrets_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "notify"
    file.write_text(
        "# who: where\n\nteam:growth: slack://${SLACK}/#growth\n*@example.com: mailto://x:${PASSWORD}@h?to={to}\n"
        "*: ${ALL_OTHERS}\n"
    )
    environment = {"SLACK": "T1", "PASSWORD": "a/b", "ALL_OTHERS": "json://host/a,b"}
    routes = read_routes(str(file), environment)
    assert addresses(routes, ["team:growth"]) == ["slack://T1/#growth"]
    assert addresses(routes, ["kim@example.com", "team:other", "team:more"]) == [
        "mailto://x:a%2Fb@h?to=kim@example.com",
        "json://host/a,b",
    ]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("*: json://${NO_SUCH}", "notify:1: the environment has no NO_SUCH, which the address needs"),
        ("*: secret-token", "notify:1: not an apprise URL; expected one such as"),
        ("json://host", "notify:1: expected who, a colon, a space and an apprise URL"),
    ],
)
def test_a_mistake_in_the_file_is_told_by_line_and_without_what_stands_there(
    tmp_path: Path, line: str, complaint: str
) -> None:
    (tmp_path / "notify").write_text(line)
    with pytest.raises(SettingsError) as error:
        read_routes(str(tmp_path / "notify"), {})
    assert complaint in str(error.value)
    assert "secret-token" not in str(error.value)


def test_neither_an_url_nor_a_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is neither an apprise URL nor a file to read"):
        read_routes(str(tmp_path / "none"))
    assert read_routes("") == ()


def test_no_secret_is_stored(incident_site: IncidentSite) -> None:
    incident_site.look(broken())
    send_due(incident_site, (Route("*", "json://user:secret-token@127.0.0.1:9/"),))
    table = incident_site.tables["cdp_metadata.incident_message"]
    with incident_site.warehouse.connection() as connection:
        assert "secret-token" not in str(connection.execute(sa.select(table)).all())
