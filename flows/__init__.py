"""Prefect flows over the plain functions of ``miniscope_core``; the only package that imports Prefect.

A flow called from Python needs no server: Prefect starts one for the time. Its time limit for that is short for
a loaded machine, so it is raised here, before Prefect reads its settings, where the user has not set it; and nothing
is sent to Prefect's makers unless the user asks for it.
"""

import os

os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")

from flows.closing import close_reviews
from flows.curate import curate_processing
from flows.extract import extract_traces
from flows.ingest import ingest_recording
from flows.pending import process_pending
from flows.pipeline import run_pipeline
from flows.process import process_recording
from flows.waking import wake_runs

__all__ = [
    "close_reviews",
    "curate_processing",
    "extract_traces",
    "ingest_recording",
    "process_pending",
    "process_recording",
    "run_pipeline",
    "wake_runs",
]
