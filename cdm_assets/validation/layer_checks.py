"""Which checks each layer's tables have, built from the catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from cdm_assets.catalog.consistency import catalog_hub_between
from cdm_assets.catalog.model import Bound, EntityKind, InterfaceEntity, Mart, Source, Total
from cdm_assets.catalog.rules import Referential, Unique
from cdm_assets.catalog.types import Delivery, Layer, OnFailure
from cdm_assets.validation.checks import Condition, Examples, PerDate, TableChecks, difference, repeats, table_counts
from cdm_assets.validation.rules import expectation, judged_later, row_rules, violates
from cdm_assets.validation.trouble_checks import trouble_checks
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.functions import canonical_text, concat, fixed_text
from cdm_assets.warehouse.lineage import SOME_DATES, tables_read
from cdm_assets.warehouse.tables import Tables

_KEY_IS_NULL = Condition("keys", "null_key", "rows with a NULL in the key")
_DRIFT = Condition("rules", "drift", "files whose columns are not as declared", blocks=False)
_KEY_REPEATS = Condition("keys", "repeated_key", "rows that repeat the key of another")


class ChecksOf:
    """The checks of every partitioned table.

    `sent_keys(table)` gives, for hubs, links and events, what the sources send: (business_date, hash key) by range.
    """

    def __init__(self, tables: Tables, sent_keys: Callable[[str], PerDate]) -> None:
        self._tables, self._catalog, self._sent_keys = tables, tables.catalog, sent_keys
        self._calendar = tables["cdp_metadata.calendar"]
        self._built: dict[str, TableChecks] = {}

    def __getitem__(self, key: str) -> TableChecks:
        """The checks of the table `schema.table`."""
        if key not in self._built:
            self._built[key] = self._build(key)
        return self._built[key]

    def _build(self, key: str) -> TableChecks:
        layer, name = key.split(".")
        match Layer(layer):
            case Layer.LANDING:
                return self._landing(key, self._catalog.sources[name.removeprefix("ldz_")])
            case Layer.VAULT:
                return self._satellite(key) if name.startswith("s_") else self._key_table(key)
            case Layer.INTERFACE:
                return self._interface(key, self._catalog.interface[name])
            case Layer.PUBLISH:
                return self._copy(key, self._catalog.marts[name])
            case _:
                return self._mart(key, self._catalog.marts[name])

    def reads(self, key: str) -> frozenset[str]:
        """Tables that the checks of `key` look at besides the table itself."""
        checks = self[key]
        found: set[str] = set()
        for select in (checks.query(SOME_DATES), *(e.select(SOME_DATES) for e in checks.examples)):
            found |= tables_read(select)
        return frozenset(k for k in found if k != key and k in self._tables.partitioned)

    def _own(
        self, key: str, measures: dict[str, ColumnElement[Any]] | None = None, *, key_is_unique: bool = True
    ) -> tuple[list[PerDate], list[Condition]]:
        """Counts and conditions that every table has: its key, unique on a date or not, and its required columns."""
        table, meta = self._tables[key], self._tables.meta(key)
        required = [name for name in meta.required if name not in meta.key]
        counts = [table_counts(table, key=meta.key, required=required, measures=measures or {})]
        if key_is_unique:
            counts.append(repeats(_KEY_REPEATS.label, table, meta.key))
        missing = [Condition("required", f"null_{name}", f"rows without {name}") for name in required]
        return counts, [_KEY_IS_NULL, *([_KEY_REPEATS] if key_is_unique else []), *missing]

    def _landing(self, key: str, source: Source) -> TableChecks:
        table = self._tables[key]
        measures: dict[str, ColumnElement[Any]] = {}
        conditions: list[Condition] = []
        for on_failure in (OnFailure.BLOCK, OnFailure.WARN):
            for rule in row_rules(source, on_failure):
                label = f"rule_{len(measures)}"
                measures[label] = sa.case((violates(rule, source, lambda name: table.c[name]), 1), else_=0)
                text = f"rows that break {rule.label} (expected {expectation(rule)})"
                conditions.append(Condition("rules", label, text, blocks=on_failure is OnFailure.BLOCK))
        own, own_conditions = self._own(key, measures, key_is_unique=source.delivery is Delivery.SNAPSHOT)
        reconciled = Condition("row_count", "unreconciled", "records read - rejected - loaded")
        counts = [*own, self._unreconciled(key, source)]
        for rule in source.rules:
            if isinstance(rule, Unique) and rule.on_failure is not OnFailure.REJECT:
                label = f"rule_{len(conditions)}"
                text = f"rows that break {rule.label} (expected {expectation(rule)})"
                conditions.append(Condition("rules", label, text, blocks=rule.on_failure is OnFailure.BLOCK))
                counts.append(repeats(label, table, rule.columns))
        drift = Examples(_DRIFT, self._drift(source))
        troubles = trouble_checks(self._tables, key, source.checks, source)
        conditions += troubles.conditions
        return TableChecks(
            self._calendar,
            (*own_conditions, reconciled, *conditions),
            (*counts, *troubles.counts),
            (drift, *troubles.examples),
        )

    def _drift(self, source: Source) -> PerDate:
        """What the register says of the columns of each loaded file."""
        register = self._tables["cdp_metadata.landing_file"]

        def select(dates: DateRange) -> sa.Select[Any]:
            one: ColumnElement[int] = sa.literal_column("1")
            columns = (register.c.business_date, one.label("files"), register.c.drift, one.label("nth"))
            return sa.select(*columns).where(
                register.c.source == source.source,
                register.c.state == "loaded",
                register.c.drift.is_not(None),
                register.c.business_date.between(dates.first, dates.last),
            )

        return select

    def _unreconciled(self, key: str, source: Source) -> PerDate:
        register, rejected = self._tables["cdp_metadata.landing_file"], self._tables["cdp_metadata.rejected_record"]

        def kept(dates: DateRange) -> sa.Select[Any]:
            refused = (
                sa.select(sa.func.count())
                .where(
                    rejected.c.source == source.source,
                    rejected.c.business_date == register.c.business_date,
                    rejected.c.whole_file == sa.false(),
                    sa.not_(judged_later(rejected)),
                )
                .scalar_subquery()
            )
            return sa.select(register.c.business_date, (register.c.rows_read - refused).label("value")).where(
                register.c.source == source.source,
                register.c.state == "loaded",
                register.c.business_date.between(dates.first, dates.last),
            )

        return difference("unreconciled", kept, self._rows(key), self._calendar)

    def _rows(self, key: str, date_column: str = "business_date") -> PerDate:
        table = self._tables[key]

        def select(dates: DateRange) -> sa.Select[Any]:
            day = table.c[date_column]
            counted = sa.select(day.label("business_date"), sa.func.count().label("value"))
            return counted.where(day.between(dates.first, dates.last)).group_by(day)

        return select

    def _key_table(self, key: str) -> TableChecks:
        """A hub, link or event: one row a key in the whole table, all that was sent is there, its hubs exist."""
        table, name = self._tables[key], key.split(".")[1][2:]
        own, conditions = self._own(key, key_is_unique=False)
        conditions.append(Condition("keys", "repeated_anywhere", "rows whose key stands in the table more than once"))
        conditions.append(Condition("row_count", "missing_keys", "keys that sources sent and the table lacks"))
        conditions.append(Condition("row_count", "surplus_keys", "rows whose key no source sent on their date"))
        counts = [*own, self._repeated_anywhere(table, f"{name}_hk"), self._against_sent(key, f"{name}_hk")]
        examples: list[Examples] = []
        if key.split(".")[1].startswith("l_"):
            vault = self._catalog.vault
            link = vault.links.get(name) or vault.events[name]
            for hub in link.hubs:
                conditions.append(Condition("links", f"orphan_{hub}", f"rows whose {hub} is not in h_{hub}"))
                counts.append(self._orphans(table, hub))
            sources = self._catalog.sources_of_link(name)
            if name in vault.events:
                sources = [self._catalog.source_of_event(name)]
            examples = self._undescribed(key, sources)
        return TableChecks(self._calendar, tuple(conditions), tuple(counts), tuple(examples))

    @staticmethod
    def _repeated_anywhere(table: sa.Table, hash_key: str) -> PerDate:
        """Rows of a date whose key other rows have too, on whatever date."""

        def select(dates: DateRange) -> sa.Select[Any]:
            here, there = table.alias("here"), table.alias("there")
            in_dates = here.c.business_date.between(dates.first, dates.last)
            repeated = (
                sa.select(there.c[hash_key])
                .where(there.c[hash_key].in_(sa.select(here.c[hash_key]).where(in_dates)))
                .group_by(there.c[hash_key])
                .having(sa.func.count() > 1)
                .subquery("repeated")
            )
            return (
                sa.select(table.c.business_date, sa.func.count().label("repeated_anywhere"))
                .select_from(table.join(repeated, repeated.c[hash_key] == table.c[hash_key]))
                .where(table.c.business_date.between(dates.first, dates.last))
                .group_by(table.c.business_date)
            )

        return select

    def _against_sent(self, key: str, hash_key: str) -> PerDate:
        """Keys sent on a date that are not there by then, and rows of a date whose key was not first sent on it."""
        table, sent_keys = self._tables[key], self._sent_keys(key)

        rows_of, calendar = self._rows(key), self._calendar

        def select(dates: DateRange) -> sa.Select[Any]:
            sent = sent_keys(dates).subquery("sent_keys")
            same_key = sa.and_(table.c[hash_key] == sent.c[hash_key], table.c.business_date <= dates.last)
            is_missing = sa.or_(table.c[hash_key].is_(None), table.c.business_date > sent.c.business_date)
            is_here = table.c.business_date == sent.c.business_date
            found = (
                sa.select(
                    sent.c.business_date,
                    sa.func.sum(sa.case((is_missing, 1), else_=0)).label("missing_keys"),
                    sa.func.sum(sa.case((is_here, 1), else_=0)).label("keys_here"),
                )
                .select_from(sent.outerjoin(table, same_key))
                .group_by(sent.c.business_date)
                .subquery("found")
            )
            rows = rows_of(dates).subquery("rows_here")
            surplus = sa.func.coalesce(rows.c.value, 0) - sa.func.coalesce(found.c.keys_here, 0)
            return (
                sa.select(calendar.c.business_date, found.c.missing_keys, surplus.label("surplus_keys"))
                .select_from(
                    calendar.outerjoin(found, found.c.business_date == calendar.c.business_date).outerjoin(
                        rows, rows.c.business_date == calendar.c.business_date
                    )
                )
                .where(calendar.c.business_date.between(dates.first, dates.last))
            )

        return select

    def _orphans(self, table: sa.Table, parent: str) -> PerDate:
        prefix = "h" if parent in self._catalog.vault.hubs else "l"
        of_parent, hash_key = self._tables[f"rdv.{prefix}_{parent}"], f"{parent}_hk"

        def select(dates: DateRange) -> sa.Select[Any]:
            exists = sa.exists().where(of_parent.c[hash_key] == table.c[hash_key])
            return (
                sa.select(table.c.business_date, sa.func.count().label(f"orphan_{parent}"))
                .where(table.c.business_date.between(dates.first, dates.last), sa.not_(exists))
                .group_by(table.c.business_date)
            )

        return select

    def _undescribed(self, key: str, sources: Iterable[Source]) -> list[Examples]:
        """The referential rules of the sources that fill a table, each with the keys that break it."""
        found = []
        for source in sources:
            for rule in source.rules:
                between = catalog_hub_between(self._catalog, source, rule) if isinstance(rule, Referential) else None
                if isinstance(rule, Referential) and between and f"{between[0]}_hk" in self._tables[key].c:
                    hub, satellite = between
                    text = f"{hub} keys that source {rule.references} does not describe"
                    blocks = rule.on_failure is OnFailure.BLOCK
                    condition = Condition("links", f"undescribed_{hub}", text, blocks=blocks)
                    found.append(Examples(condition, self._undescribed_keys(key, source, hub, satellite)))
        return found

    def _undescribed_keys(self, key: str, source: Source, hub: str, satellite: str) -> PerDate:
        table, of_hub = self._tables[key], self._tables[f"rdv.h_{hub}"]
        described, hash_key = self._tables[f"rdv.s_{satellite}"], f"{hub}_hk"
        parts: list[ColumnElement[Any]] = []
        for column in self._catalog.vault.hubs[hub].key:
            parts += [fixed_text("+")] if parts else []
            parts.append(canonical_text(of_hub.c[column.name], column.type.kind, column.type.scale or 0))
        example = concat(*parts) if len(parts) > 1 else parts[0]

        def select(dates: DateRange) -> sa.Select[Any]:
            is_described = sa.exists().where(
                described.c[hash_key] == table.c[hash_key], described.c.business_date <= table.c.business_date
            )
            keys = (
                sa.select(table.c.business_date, example.label("example"))
                .select_from(table.join(of_hub, of_hub.c[hash_key] == table.c[hash_key]))
                .where(
                    table.c.business_date.between(dates.first, dates.last),
                    table.c.rec_src == source.source,
                    sa.not_(is_described),
                )
                .distinct()
                .subquery("keys")
            )
            number = sa.func.count().over(partition_by=keys.c.business_date).label("number")
            nth = sa.func.row_number().over(partition_by=keys.c.business_date, order_by=keys.c.example).label("nth")
            return sa.select(keys.c.business_date, number, keys.c.example, nth)

        return select

    def _satellite(self, key: str) -> TableChecks:
        source, feed = self._catalog.satellites[key.split(".")[1][2:]]
        own, conditions = self._own(key)
        conditions.append(Condition("links", f"orphan_{feed.parent}", f"rows whose {feed.parent} does not exist"))
        counts = (*own, self._orphans(self._tables[key], feed.parent))
        return TableChecks(self._calendar, tuple(conditions), counts, tuple(self._undescribed(key, [source])))

    def _interface(self, key: str, entity: InterfaceEntity) -> TableChecks:
        own, conditions = self._own(key)
        spine = f"rdv.{entity.spine}"
        is_state = entity.kind is EntityKind.STATE
        expected = self._known_keys(spine) if is_state else self._rows(spine, "event_date")
        conditions.append(Condition("row_count", "row_difference", f"rows of {entity.spine} - rows of {entity.entity}"))
        troubles = trouble_checks(self._tables, key, entity.checks)
        counts = (*own, difference("row_difference", expected, self._rows(key), self._calendar), *troubles.counts)
        return TableChecks(self._calendar, (*conditions, *troubles.conditions), counts, tuple(troubles.examples))

    def _known_keys(self, spine: str) -> PerDate:
        """The number of keys known on each date."""
        table, calendar = self._tables[spine], self._calendar

        def select(dates: DateRange) -> sa.Select[Any]:
            new = (
                sa.select(table.c.business_date, sa.func.count().label("n"))
                .where(table.c.business_date <= dates.last)
                .group_by(table.c.business_date)
                .subquery("new_keys")
            )
            return (
                sa.select(calendar.c.business_date, sa.func.sum(new.c.n).label("value"))
                .select_from(calendar.join(new, new.c.business_date <= calendar.c.business_date))
                .where(calendar.c.business_date.between(dates.first, dates.last))
                .group_by(calendar.c.business_date)
            )

        return select

    def _mart(self, key: str, mart: Mart) -> TableChecks:
        table = self._tables[key]
        measures: dict[str, ColumnElement[Any]] = {
            f"bound_{n}": sa.case((_beyond(table, b), 1), else_=0) for n, b in enumerate(mart.bounds)
        }
        own, conditions = self._own(key, measures)
        conditions += [
            Condition(b.check, f"bound_{n}", b.description, blocks=b.on_failure is OnFailure.BLOCK)
            for n, b in enumerate(mart.bounds)
        ]
        counts: list[PerDate] = own
        for total in mart.totals:
            label = f"total_{total.column}"
            text = f"sum of {total.column} - {total.against} in the vault"
            conditions.append(Condition("totals", label, text))
            counts.append(difference(label, self._sum(table, total.column), self._total(mart, total), self._calendar))
        if mart.one_row_per is not None:
            entity = mart.one_row_per.split(".")[0]
            conditions.append(Condition("row_count", "row_difference", f"rows of itf.{entity} - rows of {mart.mart}"))
            rows = difference("row_difference", self._rows(f"itf.{entity}"), self._rows(key), self._calendar)
            counts.append(rows)
        troubles = trouble_checks(self._tables, key, mart.checks)
        return TableChecks(
            self._calendar,
            (*conditions, *troubles.conditions),
            (*counts, *troubles.counts),
            tuple(troubles.examples),
        )

    @staticmethod
    def _sum(table: sa.Table, column: str) -> PerDate:
        def select(dates: DateRange) -> sa.Select[Any]:
            return (
                sa.select(table.c.business_date, sa.func.sum(table.c[column]).label("value"))
                .where(table.c.business_date.between(dates.first, dates.last))
                .group_by(table.c.business_date)
            )

        return select

    def _total(self, mart: Mart, total: Total) -> PerDate:
        """What the vault says: the sum of the date, or of all dates up to it.

        An event older than the first date its customer is known counts from that date, as in the mart's rows.
        """
        name, column = total.against.split(".")
        event, calendar = self._tables[f"rdv.{name}"], self._calendar
        value = sa.func.count() if column == "rows" else sa.func.sum(event.c[column])
        day: ColumnElement[Any] = event.c.event_date
        rows: Any = event
        if total.window == "up_to_date" and mart.one_row_per is not None:
            spine = self._catalog.interface[mart.one_row_per.split(".")[0]].spine
            known = self._tables[f"rdv.{spine}"]
            hash_key = f"{spine[2:]}_hk"
            rows = event.join(known, known.c[hash_key] == event.c[hash_key])
            day = sa.case((event.c.event_date < known.c.business_date, known.c.business_date), else_=day)

        def same_date(dates: DateRange) -> sa.Select[Any]:
            summed = sa.select(day.label("business_date"), value.label("value")).select_from(rows)
            return summed.where(day.between(dates.first, dates.last)).group_by(day)

        def up_to_date(dates: DateRange) -> sa.Select[Any]:
            daily = sa.select(day.label("day"), value.label("value")).select_from(rows).group_by(day).subquery("daily")
            return (
                sa.select(calendar.c.business_date, sa.func.sum(daily.c.value).label("value"))
                .select_from(calendar.join(daily, daily.c.day <= calendar.c.business_date))
                .where(calendar.c.business_date.between(dates.first, dates.last))
                .group_by(calendar.c.business_date)
            )

        return same_date if total.window == "same_date" else up_to_date

    def _copy(self, key: str, mart: Mart) -> TableChecks:
        original = f"{mart.layer}.{mart.mart}"
        own, conditions = self._own(key)
        conditions.append(Condition("row_count", "row_difference", f"rows of {original} - rows of {key}"))
        counts = [*own, difference("row_difference", self._rows(original), self._rows(key), self._calendar)]
        if mart.enriched_by is not None:
            enrichment = self._catalog.marts[mart.enriched_by]
            conditions.append(Condition("enrichment", "not_shown", f"rows of {mart.enriched_by} - rows that show one"))
            shown = self._rows_with(key, [c.name for c in enrichment.columns if c.required and c.name not in mart.key])
            every = self._rows(f"{enrichment.layer}.{enrichment.mart}")
            counts.append(difference("not_shown", every, shown, self._calendar))
        return TableChecks(self._calendar, tuple(conditions), tuple(counts))

    def _rows_with(self, key: str, names: Iterable[str]) -> PerDate:
        """The rows of each date that have a value in all of some columns."""
        table = self._tables[key]
        has_all = sa.and_(sa.true(), *(table.c[name].is_not(None) for name in names))

        def select(dates: DateRange) -> sa.Select[Any]:
            return (
                sa.select(table.c.business_date, sa.func.count().label("value"))
                .where(table.c.business_date.between(dates.first, dates.last), has_all)
                .group_by(table.c.business_date)
            )

        return select


def _beyond(table: sa.Table, bound: Bound) -> ColumnElement[bool]:
    """True where a row does not keep to a bound; NULL keeps to it."""
    value = table.c[bound.column]

    def limit(given: Decimal | str) -> Any:
        return table.c[given] if isinstance(given, str) else sa.literal(given, value.type)

    broken = [value < limit(bound.at_least)] if bound.at_least is not None else []
    broken += [value > limit(bound.at_most)] if bound.at_most is not None else []
    return sa.or_(*broken)
