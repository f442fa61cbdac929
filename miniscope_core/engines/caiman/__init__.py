"""CaImAn driven in a process of its own, and its results read without it; it must not know databases, stores, flows."""

from miniscope_core.engines.caiman.reading import CaimanResult, find_caiman_file, read_caiman
from miniscope_core.engines.caiman.writing import load_caiman, write_result

__all__ = ["CaimanResult", "find_caiman_file", "load_caiman", "read_caiman", "write_result"]
