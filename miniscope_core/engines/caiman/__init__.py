"""CaImAn's results, read without CaImAn; it must not know databases, stores or flows."""

from miniscope_core.engines.caiman.reading import CaimanResult, find_caiman_file, read_caiman
from miniscope_core.engines.caiman.writing import load_caiman, write_result

__all__ = ["CaimanResult", "find_caiman_file", "load_caiman", "read_caiman", "write_result"]
