"""Measurements and long checks that do not belong into the test suite."""
