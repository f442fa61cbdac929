"""Measure an engine on recordings whose truth is known; see ``python -m tests.benchmarks --help``.

Not collected by pytest: it takes minutes, and its numbers are for people to compare.
"""
