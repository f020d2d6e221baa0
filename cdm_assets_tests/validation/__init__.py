"""Tests of cdm_assets.validation."""
