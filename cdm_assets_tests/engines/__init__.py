"""What runs on engines besides the embedded DuckDB, and the servers and stand-ins that the tests start themselves."""
