"""Tests of addresses and of the cache of what they hold."""
