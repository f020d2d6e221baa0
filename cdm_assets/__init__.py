"""CDM Assets: a canonical customer-data platform whose every table is a daily-partitioned Dagster asset.

Three questions, three places: *what* the tables are (`catalog`, `canonical`), *how* they are filled and checked
(`warehouse`, `loading`, `validation`), and *when* it happens and who is told (`orchestration`, `operations`).
"""
