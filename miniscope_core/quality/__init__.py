"""How good a result is, by a known truth or by another result. Knows arrays and results; no engine, no database."""

from miniscope_core.quality.agreement import Agreement, compare_results
from miniscope_core.quality.scoring import Score, score_result, score_units
from miniscope_core.quality.truth import GroundTruth

__all__ = ["Agreement", "GroundTruth", "Score", "compare_results", "score_result", "score_units"]
