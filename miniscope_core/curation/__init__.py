"""Policies that decide which units are cells; it must know results and nothing of databases, stores or flows."""
