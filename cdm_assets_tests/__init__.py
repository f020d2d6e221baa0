"""Tests of CDM Assets; the folders mirror the packages."""
