"""The PostgreSQL server of the engines' tests."""

from cdm_assets_tests.engines.conftest import postgres

__all__ = ["postgres"]
