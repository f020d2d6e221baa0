"""How a table is filled: one module a layer, each load a set-based, idempotent function of a range of dates.

Every loader keeps the load contract: its table's content is a function of what is upstream now, never of the order or
the number of loads; one transaction a table and range; cost follows the change.
Not here: Dagster, and what counts as valid (`validation`).
"""
