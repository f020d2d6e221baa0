"""The morning as one HTML page that stands alone: no script, no font, no image and no request to anywhere.

Sparklines are inline SVG; a title on each says its dates, least and greatest value. Colours are always told as words
too, for those who do not see them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date
from functools import cache
from typing import Final

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup, escape

from cdm_assets.operations.morning_report import Morning

WIDTH, HEIGHT = 120, 22
_MARGIN: Final = 2


def morning_html(morning: Morning) -> str:
    """The page as HTML."""
    return _template().render(morning=morning, at=f"{morning.at.astimezone(UTC):%A %F %H:%M} UTC")


def morning_markdown(morning: Morning) -> str:
    """The page's summary as Markdown: the verdict, a row a hop, and what is not green."""
    due, at = morning.due_date or "none", f"{morning.at.astimezone(UTC):%F %H:%M} UTC"
    lines = [
        f"**{morning.colour.value.upper()}**: business date {due}, as of {at}",
        "",
        "| hop | state | partitions | rows | seconds |",
        "|---|---|---:|---:|---:|",
    ]
    lines += [
        f"| {hop.hop} | {hop.colour.value} | {hop.loaded} of {hop.tables} | {hop.rows:,} | {hop.seconds:,.1f} |"
        for hop in morning.hops
    ]
    every = [(reason.colour, "", reason.text) for reason in morning.reasons]
    every += [(reason.colour, f"{hop.hop}: ", reason.text) for hop in morning.hops for reason in hop.reasons]
    lines += ["", *(f"- {colour.value}: {where}{_flat(text)}" for colour, where, text in every)]
    lines += [f"- on call for {duty.group}: {duty.primary}, then {duty.secondary}" for duty in morning.on_call]
    return "\n".join(lines).rstrip() + "\n"


def _flat(text: str) -> str:
    """A message in one line that no Markdown is read into."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def sparkline(days: Sequence[date], values: Sequence[float | None], name: str, shown: Callable[[float], str]) -> Markup:
    """A line of `values`, one a day; a gap where there was none, a point where a day stands alone.

    From zero to the greatest value, so that noise does not look like a fall.
    """
    there = [value for value in values if value is not None]
    if not there:
        return Markup('<span class="none">none</span>')
    top = max(*there, 0) or 1.0
    step = (WIDTH - 2 * _MARGIN) / max(len(values) - 1, 1)
    height = HEIGHT - 2 * _MARGIN
    parts: list[list[str]] = [[]]
    for number, value in enumerate(values):
        if value is None:
            parts.append([])
        else:
            parts[-1].append(f"{_MARGIN + number * step:.1f},{HEIGHT - _MARGIN - value / top * height:.1f}")
    lines = "".join(_drawn(points) for points in parts if points)
    title = f"{name}, {days[0]} to {days[-1]}: from {shown(min(there))} to {shown(max(there))}, last {shown(there[-1])}"
    return Markup(  # noqa: S704 - numbers, and a title that is escaped
        f'<svg class="spark" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title>{lines}</svg>'
    )


def _drawn(points: Sequence[str]) -> str:
    if len(points) == 1:
        x, y = points[0].split(",")
        return f'<circle cx="{x}" cy="{y}" r="1.6"/>'
    return f'<polyline points="{" ".join(points)}"/>'


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _seconds(value: float) -> str:
    return f"{value:,.2f} s"


def _share(value: float) -> str:
    return f"{value:.2%}"


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals |= {"sparkline": sparkline, "count": _count, "seconds": _seconds, "share": _share}
    return environment.from_string(_PAGE)


_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>{{ morning.colour.value }} {{ morning.due_date or "" }}: morning of the customer-data platform</title>
<style>
body { font: 14px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 1180px; padding: 0 1rem;
  color: #1b1f24; }
h1 { font-size: 1.35rem; margin: 0 0 .3rem; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .5rem; vertical-align: top; }
th { font-weight: 600; border-bottom: 1px solid #9aa4b0; } td { border-bottom: 1px solid #e4e8ec; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
#hops td:first-child { white-space: nowrap; }
ul { margin: .2rem 0; padding-left: 1.1rem; } li, td { overflow-wrap: anywhere; } .muted { color: #57606a; }
.state { display: inline-block; min-width: 3.6em; text-align: center; border-radius: 3px; padding: 0 .45em;
  color: #fff; }
.green { background: #1a7f37; } .yellow { background: #9a6700; }
.red { background: #cf222e; } .grey { background: #6e7781; }
.spark { fill: none; stroke: #0550ae; stroke-width: 1.3; } .spark circle { fill: #0550ae; stroke: none; }
.none { color: #8c959f; } .banner { border-left: 6px solid; padding: .5rem .9rem; background: #f6f8fa; }
.banner.green { border-color: #1a7f37; } .banner.yellow { border-color: #9a6700; }
.banner.red { border-color: #cf222e; } .banner.grey { border-color: #6e7781; }
.banner.green, .banner.yellow, .banner.red, .banner.grey { background: #f6f8fa; }
</style>
</head>
<body>
{% macro state(colour) %}<span class="state {{ colour.value }}">{{ colour.value }}</span>{% endmacro %}
{% macro reasons(found) %}
{% if found %}<ul>
{% for reason in found %}<li>{{ state(reason.colour) }} {{ reason.text }}</li>{% endfor %}
</ul>{% endif %}
{% endmacro %}
{% macro sparks(series) %}
<td>{{ sparkline(morning.history, series.seconds, "seconds", seconds) }}</td>
<td>{{ sparkline(morning.history, series.rows, "rows", count) }}</td>
<td>{{ sparkline(morning.history, series.error_rate, "error rate", share) }}</td>
{% endmacro %}
<div class="banner {{ morning.colour.value }}" id="verdict">
<h1>{{ state(morning.colour) }} Business date {{ morning.due_date or "none" }}</h1>
<div class="muted">As of {{ at }}. Green: there, in line, and its checks passed. Yellow: somebody should look.
Red: due and not there, or wrong. Grey: not due yet, or not known.</div>
{{ reasons(morning.reasons) }}
</div>
{% if morning.hops %}
<h2>Hops</h2>
<table id="hops">
<tr><th>hop</th><th>state</th><th class="n">partitions</th><th class="n">rows</th><th class="n">seconds</th>
<th>seconds a date</th><th>rows a date</th><th>error rate</th></tr>
{% for hop in morning.hops %}
<tr data-hop="{{ hop.hop }}"><td>{{ hop.hop }}</td><td>{{ state(hop.colour) }}</td>
<td class="n">{{ hop.loaded }} of {{ hop.tables }}</td><td class="n">{{ count(hop.rows) }}</td>
<td class="n">{{ "%.1f"|format(hop.seconds) }}</td>
{{ sparks(hop.series) }}
</tr>
{% if hop.reasons %}<tr><td></td><td colspan="7">{{ reasons(hop.reasons) }}</td></tr>{% endif %}
{% endfor %}
</table>
<h2>Files of {{ morning.due_date }}</h2>
<table id="files">
<tr><th>source</th><th>state</th><th>arrived (UTC)</th><th>what</th><th>owners</th></tr>
{% for file in morning.files %}
<tr><td>{{ file.source }}</td><td>{{ state(file.colour) }}</td>
<td>{{ file.arrived_at.strftime("%F %H:%M") if file.arrived_at else "" }}</td>
<td>{{ file.what }}</td><td>{{ file.owners|join(", ") }}</td></tr>
{% endfor %}
</table>
{% endif %}
{% if morning.checks %}
<h2>Failed checks of the last days</h2>
<p class="muted">What to do: <code>cdm runbook CODE</code></p>
<table id="checks">
<tr><th>date</th><th>table</th><th>check</th><th>state</th><th>code</th><th>message</th></tr>
{% for check in morning.checks[:200] %}
<tr><td>{{ check.business_date }}</td><td>{{ check.table }}</td><td>{{ check.check }}</td>
<td><span class="state {{ "red" if check.blocks else "yellow" }}">{{ "blocks" if check.blocks else "warns" }}</span>
</td><td>{{ check.code }}</td><td>{{ check.message }}</td></tr>
{% endfor %}
</table>
{% if morning.checks|length > 200 %}<p>… and {{ morning.checks|length - 200 }} more</p>{% endif %}
{% endif %}
{% if morning.incidents %}
<h2>Open incidents</h2>
<table id="incidents">
<tr><th>incident</th><th>severity</th><th>since (UTC)</th><th>acknowledged by</th><th>what</th></tr>
{% for incident in morning.incidents %}
<tr><td>{{ state(incident.colour) }} {{ incident.incident }}</td><td>{{ incident.severity }}</td>
<td>{{ incident.opened_at.strftime("%F %H:%M") }}</td><td>{{ incident.acknowledged_by or "nobody" }}</td>
<td>{{ incident.what }}</td></tr>
{% endfor %}
</table>
{% endif %}
{% if morning.alerts %}
<h2>Open alerts</h2>
<table id="alerts">
<tr><th>since (UTC)</th><th>alert</th><th>about</th><th>message</th></tr>
{% for alert in morning.alerts %}
<tr><td>{{ alert.opened_at.strftime("%F %H:%M") }}</td><td>{{ alert.kind }}</td><td>{{ alert.about }}</td>
<td>{{ alert.message }}</td></tr>
{% endfor %}
</table>
{% endif %}
{% if morning.on_call %}
<h2>On call</h2>
<table id="on-call">
<tr><th>group</th><th>primary</th><th>secondary</th><th>until</th></tr>
{% for duty in morning.on_call %}
<tr><td>{{ duty.group }}</td><td>{{ duty.primary }}</td><td>{{ duty.secondary }}</td><td>{{ duty.until }}</td></tr>
{% endfor %}
</table>
{% endif %}
{% for window in morning.maintenance %}<p>Open: {{ window }}</p>{% endfor %}
{% for source, why in morning.paused.items() %}<p>Paused: {{ source }}: {{ why }}</p>{% endfor %}
{% if morning.tables %}
<h2>Tables</h2>
<table id="tables">
<tr><th>table</th><th>state</th><th>newest</th><th class="n">rows</th>
<th>seconds a date</th><th>rows a date</th><th>error rate</th></tr>
{% for table in morning.tables %}
<tr data-table="{{ table.table }}"><td>{{ table.table }}
<div class="muted">{{ table.pipeline or "" }} {{ table.owners|join(", ") }}</div></td><td>{{ state(table.colour) }}</td>
<td>{{ table.newest or "never loaded" }}</td>
<td class="n">{{ count(table.rows) if table.rows is not none else "" }}</td>
{{ sparks(table.series) }}
</tr>
{% endfor %}
</table>
{% endif %}
</body>
</html>
"""
