"""What holds for every file, however damaged: nothing is lost, and when and how often files load is all one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cdm_assets.loading import landing
from cdm_assets.loading.staging import staging
from cdm_assets.warehouse.file_faults import FileFault
from cdm_assets.warehouse.landing_files import LandingFile, records_of
from cdm_assets_tests.small_site import DAY, Site, day, find_file

HEADER = b"purchase_id,customer_id,product_id,amount,bought_at"

same_site = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

fields = st.one_of(
    st.sampled_from(
        ["c1", "a1", "1.50", "-1", "1e5", "2024-03-01 10:00:00", "2024-3-1", "", " ", "x" * 13, "Ä,b", 'a"b']
    ),
    st.text(st.sampled_from("ab1 ,\"'\n\r\t;\\é漢"), max_size=5),
)
sound_records = st.tuples(
    st.sampled_from(["p1", "p2", "p3"]),
    st.sampled_from(["c1", "c2"]),
    st.just("a1"),
    st.sampled_from(["1.50", "20"]),
    st.just("2024-03-01 10:00:00"),
)
records = st.one_of(sound_records, st.lists(fields, min_size=5, max_size=5), st.lists(fields, min_size=1, max_size=7))


def csv_text(rows: list[Any], end: str, quoted: bool) -> bytes:
    def field(text: str) -> str:
        needs_quotes = quoted or any(character in text for character in '",\r\n')
        doubled = text.replace('"', '""')
        return f'"{doubled}"' if needs_quotes else text

    return "".join(",".join(map(field, row)) + end for row in rows).encode()


bodies = st.builds(csv_text, st.lists(records, max_size=8), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
junk = st.sampled_from(
    [b",", b'"', b"\n", b"\r", b"\r\n", b"\0", b"\xff", b" ", b"\xc3\xa9", b'""', b",,", b'," "', b"\xef\xbb\xbf"]
)


@st.composite
def damaged_bodies(draw: st.DrawFn) -> bytes:
    """A CSV body into which a few bytes were put or from which some were taken."""
    body = draw(bodies)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(body)))
        body = (
            body[:at] + draw(junk) + body[at:]
            if draw(st.booleans())
            else body[:at] + body[at + draw(st.integers(1, 3)) :]
        )
    return body


def content(body: bytes, end: bytes = b"\n") -> bytes:
    return HEADER + end + body


files = st.builds(content, damaged_bodies(), st.sampled_from([b"\n", b"\r\n", b"\r"]))


def state(site: Site, source: str = "purchase") -> tuple[list[Any], list[Any], list[Any]]:
    return site.landed(source), site.rejected(source), site.registered(source)


@same_site
@given(file=files)
@example(file=content(b"p1,c1,a1,1,2024-03-01 10:00:00,,\n"))
@example(file=content(b'p1, "c1",a1,1,2024-03-01 10:00:00\n'))
@example(file=content(b"p1,c1,a\0,1,2024-03-01 10:00:00\n"))
@example(file=content(b"\n\n\np1,c1,a1,1,x\n\n"))
@example(file=content(b"p1,c1,a1,x,2024-03-01 10:00:00"))
def test_every_record_of_any_file_is_loaded_or_rejected_with_its_line_and_text(site: Site, file: bytes) -> None:
    site.empty_all()
    path = site.land_text("purchase", file)
    load = site.load("purchase")
    landed, rejected, registered = state(site)
    counts = load.row_counts[DAY]
    if load.file_faults:
        assert (landed, [r["whole_file"] for r in rejected]) == ([], [True])
        assert [entry["state"] for entry in registered] == ["rejected"]
        return
    (entry,) = registered
    assert counts.read == entry["rows_read"] == counts.inserted + counts.rejected
    assert counts.inserted == entry["rows_loaded"] == len(landed)
    assert counts.rejected == entry["rows_rejected"] == len(rejected)
    found = find_file(site.source("purchase"), DAY, site.landing_root)
    assert found is not None
    received = {record.number: record for record in records_of(found)}
    assert len(received) == counts.read
    loaded_numbers = [row["source_row"] for row in landed]
    assert sorted(loaded_numbers) == sorted(set(loaded_numbers))
    others = [record for number, record in received.items() if number not in loaded_numbers]
    assert [(r["line"], r["raw_text"]) for r in rejected] == [(record.line, record.raw_text) for record in others]
    for row in landed:
        assert [row["purchase_id"], row["customer_id"], row["product_id"]] == received[row["source_row"]].fields[:3]
    text = path.read_bytes().decode("utf-8-sig", "backslashreplace").replace("\0", "\\x00")
    assert all(r["raw_text"] in text for r in rejected)


def staged(site: Site, file: LandingFile) -> tuple[list[Any], Mapping[str, Any], Mapping[date, tuple[str, int | None]]]:
    with site.warehouse.connection() as connection, staging(connection, site.source("purchase")) as stage:
        stage.read([file])
        with stage.connection.begin():
            rows = stage.connection.execute(sa.select(stage.table).order_by(stage.table.c.source_row)).all()
        faults = {d: (fault.rule, fault.line) for d, fault in stage.file_faults.items()}
        return (
            ([] if faults else [tuple(row) for row in rows]),
            {n: f for n, f in stage.record_faults.items() if f},
            faults,
        )


@settings(same_site, max_examples=200)
@given(file=files)
@example(file=content(b"p1,c1,a1,1,t\r ,c1,c1,c1,c1\r", b"\r\n"))
@example(file=content(b'p1,c1,a1,1,"\n"\r ,c1,c1,c1,c1\r', b"\r\n"))
@example(file=content(b'p1,c1,"a\n1",1,t\r\n', b"\r\n"))
def test_reading_in_bulk_and_record_by_record_give_the_same(site: Site, file: bytes) -> None:
    site.land_text("purchase", file)
    try:
        found = find_file(site.source("purchase"), DAY, site.landing_root)
    except FileFault:
        return
    assert found is not None
    assert found.csv_bytes is not None
    slowly = replace(found, csv_bytes=replace(found.csv_bytes, misread_in_bulk=True))
    assert staged(site, found) == staged(site, slowly)


@same_site
@given(versions=st.lists(files, min_size=3, max_size=3), repeats=st.lists(st.integers(0, 2), max_size=3))
def test_loading_again_changes_nothing_and_a_range_equals_its_days_in_any_order(
    site: Site, versions: list[bytes], repeats: list[int]
) -> None:
    site.empty_all()
    for number, file in enumerate(versions):
        site.land_text("purchase", file, day(number))
    site.load("purchase", day(0), day(2))
    as_range = state(site)
    for number in repeats:
        site.load("purchase", day(number))
    assert state(site) == as_range
    site.load("purchase", day(0), day(2))
    assert state(site) == as_range
    with site.warehouse.transaction() as connection:
        for table in ("ldz.ldz_purchase", "cdp_metadata.landing_file", "cdp_metadata.rejected_record"):
            connection.execute(sa.delete(site.warehouse.tables[table]))
    for number in (2, 0, 1):
        site.load("purchase", day(number))
    assert state(site) == as_range


@same_site
@given(first=files, second=files)
def test_only_the_last_sound_file_of_a_date_decides_what_its_partition_holds(
    site: Site, first: bytes, second: bytes
) -> None:
    site.empty_all()
    site.land_text("purchase", second)
    refused = bool(site.load("purchase").file_faults)
    alone = site.landed("purchase")
    site.empty_all()
    site.land_text("purchase", first)
    site.load("purchase")
    before = site.landed("purchase", audit=True)
    site.land_text("purchase", second)
    site.load("purchase")
    if refused:
        assert site.landed("purchase", audit=True) == before
    else:
        assert site.landed("purchase") == alone
        assert not any(record["whole_file"] for record in site.rejected("purchase"))


def test_a_large_file_keeps_the_order_and_number_of_its_records(site: Site) -> None:
    lines = [f'p{n},"c\n1",a1,{n}.00,2024-03-01 10:00:00' for n in range(60_000)]
    lines[40_000] = 'p40000,"c\n1",a1,x,2024-03-01 10:00:00'
    site.land_text("purchase", "\n".join([HEADER.decode(), *lines, ""]))
    site.load("purchase")
    table = site.warehouse.tables["ldz.ldz_purchase"]
    out_of_order = sa.select(sa.func.count()).where(table.c.source_row != sa.cast(table.c.amount, sa.BigInteger()) + 1)
    with site.warehouse.connection() as connection:
        assert connection.execute(out_of_order).scalar_one() == 0
        assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 59_999
    (rejected,) = site.rejected("purchase")
    assert (rejected["line"], rejected["raw_text"]) == (80_002, lines[40_000])


def test_a_record_that_cannot_be_explained_stops_the_load(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.land_text("purchase", content(b"p1,c1,a1,1,2024-03-01 10:00:00\np2,c1,a1,x,2024-03-01 10:00:00\n"))
    monkeypatch.setattr(landing, "records_of", lambda _: iter(()))
    with pytest.raises(landing.RecordsLost, match="0 records were explained"):
        site.load("purchase")
    assert site.landed("purchase") == []
