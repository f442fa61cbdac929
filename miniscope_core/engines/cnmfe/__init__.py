"""The built-in one-photon engine ``cnmfe``; must not know databases, stores, flows or video formats."""

from miniscope_core.engines.cnmfe.run import CnmfeEngine

__all__ = ["CnmfeEngine"]
