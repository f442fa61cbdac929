"""How good a result is: scores against a known truth. Knows arrays and results; no engine, no database, no figures."""

from miniscope_core.quality.scoring import Score, score_result, score_units
from miniscope_core.quality.truth import GroundTruth

__all__ = ["GroundTruth", "Score", "score_result", "score_units"]
