"""Tests of the demo landing area."""
