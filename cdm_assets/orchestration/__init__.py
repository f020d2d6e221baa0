"""When tables are filled and who is told: the only package that imports Dagster.

What belongs here: asset, check, sensor and schedule factories fed by the catalog, runs and their events, the instance
and its storage. What does not: SQL, file reading, rules and row counting (`loading`, `validation`), and anything an
operator could be told without a Dagster instance (`operations`). A loader hands over a `LoadReport`; this package turns
it into materializations and check results.
"""
