"""Measurements that the documentation quotes: ``python -m benchmarks.NAME`` from a checkout."""
