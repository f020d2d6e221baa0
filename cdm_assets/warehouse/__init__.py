"""How a database is spoken to: engine, differences of dialects, tables as SQLAlchemy sees them, DDL, landing files.

Here: everything that knows which database it is. Not here: what a layer's load means, or when it happens.
"""
