"""What must hold: data-quality rules as SQL, and the checks of each table as one query.

Here: conditions and their results. Not here: loading, files, Dagster.
"""
