"""What the tables are: typed models of the catalog and the reader of its YAML.

Here: models, the reader with its line-exact messages, names of layers and tables.
Not here: SQL, files, databases, Dagster; this package imports nothing else of ours.
"""
