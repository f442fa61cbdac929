"""Tests of the curation page."""
