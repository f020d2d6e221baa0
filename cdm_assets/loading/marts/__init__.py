"""The computed tables: one module a subject, each mart a function from tables and dates to a select."""
