"""`product.csv.gz`: all products on Day 0, then each day the few that changed, as full rows."""

from collections import defaultdict
from datetime import date
from typing import Any, NamedTuple

import numpy as np

from cdm_assets.demo.business_dates import FIRST_DATE, ONE_DAY
from cdm_assets.demo.completejourney import CompleteJourney
from cdm_assets.demo.extract import ExtractFile, Layout, csv_file
from cdm_assets.demo.seeds import generator, pick, pick_weighted

PRODUCT = Layout(
    file_name="product.csv.gz",
    delivery="delta, daily",
    columns=(
        "product_id",
        "manufacturer_id",
        "department",
        "brand",
        "product_category",
        "product_type",
        "package_size",
    ),
    generated=(),
    note="All products as they really are on 2017-01-01; the 5 to 40 changed products of each later day are generated.",
)

_DAILY_CHANGES = (5, 40)
_CHANGES = {"package_size": 0.60, "product_type": 0.25, "brand": 0.13, "department": 0.02}
_OTHER_BRAND = {"National": "Private", "Private": "National"}
# Departments a product is plausibly refiled under: the ones that hold many products.
_LARGE_DEPARTMENT_PRODUCTS = 2000


class Product(NamedTuple):
    """One row of the file."""

    product_id: int
    manufacturer_id: int
    department: str
    brand: str
    product_category: str | None
    product_type: str | None
    package_size: str | None


class Products:
    """The products as they stand; `file_on` replays the seeded changes up to the date asked."""

    def __init__(self, journey: CompleteJourney) -> None:
        self._day = FIRST_DATE
        self._products = _products_on_day_0(journey)
        self._sizes = _values_by_category(self._products, "package_size")
        self._types = _values_by_category(self._products, "product_type")
        self._departments = _large_departments(self._products)
        self._delivered = list(self._products)

    def file_on(self, day: date) -> ExtractFile:
        """The products that changed on `day` (all of them on Day 0), by product."""
        while self._day < day:
            self._day += ONE_DAY
            self._delivered = self._changes_on(self._day)
        return csv_file(PRODUCT, self._delivered)

    def _changes_on(self, day: date) -> list[Product]:
        rng = generator("product", day)
        fewest, most = _DAILY_CHANGES
        chosen = rng.choice(len(self._products), size=rng.integers(fewest, most + 1), replace=False)
        positions = sorted(int(position) for position in chosen)
        for position in positions:
            self._products[position] = self._changed(rng, self._products[position])
        return [self._products[position] for position in positions]

    def _changed(self, rng: np.random.Generator, product: Product) -> Product:
        """The product with one value changed: to one that its category has, or else the other brand."""
        what = pick_weighted(rng, _CHANGES)
        values = {
            "package_size": self._sizes.get(product.product_category, []),
            "product_type": self._types.get(product.product_category, []),
            "department": self._departments,
            "brand": [],
        }[what]
        others = [value for value in values if value != getattr(product, what)]
        if not others:
            return product._replace(brand=_OTHER_BRAND[product.brand])
        change: dict[str, Any] = {what: pick(rng, others)}
        return product._replace(**change)


def _products_on_day_0(journey: CompleteJourney) -> list[Product]:
    rows = journey.rows(
        """
        select product_id, manufacturer_id, department, brand, product_category, product_type, package_size
        from read_parquet($path)
        order by product_id
        """,
        table="products",
    )
    return [Product(*row) for row in rows]


def _values_by_category(products: list[Product], column: str) -> dict[str | None, list[str]]:
    values: dict[str | None, set[str]] = defaultdict(set)
    for product in products:
        value = getattr(product, column)
        if value is not None:
            values[product.product_category].add(value)
    return {category: sorted(found) for category, found in values.items()}


def _large_departments(products: list[Product]) -> list[str]:
    sizes: dict[str, int] = defaultdict(int)
    for product in products:
        sizes[product.department] += 1
    return sorted(department for department, size in sizes.items() if size >= _LARGE_DEPARTMENT_PRODUCTS)
