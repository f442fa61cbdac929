"""Miniscope calcium imaging: typed entities, readers, engines, a database, an object store and what joins them."""

from importlib.metadata import version

__version__ = version("miniscope-core")
