"""Measure an engine on recordings whose truth is known; see ``python -m tests.benchmarks --help``.

The measuring takes minutes and its numbers are for people to compare; pytest only sees that it works, on the demo.
"""
