"""How a database is spoken to: the engine, the dialect differences, the tables as SQLAlchemy sees them, DDL, file reading.

Here: everything that knows which database it is. Not here: what a layer's load means, or when it happens.
"""
