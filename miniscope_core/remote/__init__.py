"""Remote files: addresses that fsspec reads, and a bounded cache of copies, so that readers know nothing of either."""

from miniscope_core.remote.cache import FileCache, Lease
from miniscope_core.remote.files import RemoteFiles

__all__ = ["FileCache", "Lease", "RemoteFiles"]
