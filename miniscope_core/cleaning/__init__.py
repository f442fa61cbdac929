"""Recording in, recording fit for analysis out, broken frames filled; it must know no engine, database or store."""

from miniscope_core.cleaning.broken import find_broken, mend
from miniscope_core.cleaning.clean import Cleaned, clean

__all__ = ["Cleaned", "clean", "find_broken", "mend"]
