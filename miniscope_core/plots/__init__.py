"""Figures from arrays: each function takes NumPy arrays and gives a Figure. Knows no recording, result or database.

Figures are made without pyplot, so drawing in threads and on servers leaves no global state behind.
"""

from miniscope_core.plots.agreement import plot_agreement
from miniscope_core.plots.cleaning import plot_cleaning
from miniscope_core.plots.figures import png_bytes, save_png
from miniscope_core.plots.images import plot_average_image, plot_contours, plot_summary_images
from miniscope_core.plots.overview import plot_overview
from miniscope_core.plots.recordings import plot_recording, plot_shifts
from miniscope_core.plots.seeds import SeedMap, plot_preview, plot_seeds
from miniscope_core.plots.traces import plot_mask_activity, plot_traces

__all__ = [
    "SeedMap",
    "plot_agreement",
    "plot_average_image",
    "plot_cleaning",
    "plot_contours",
    "plot_mask_activity",
    "plot_overview",
    "plot_preview",
    "plot_recording",
    "plot_seeds",
    "plot_shifts",
    "plot_summary_images",
    "plot_traces",
    "png_bytes",
    "save_png",
]
