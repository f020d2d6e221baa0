"""Tests of cdm_assets.warehouse."""
