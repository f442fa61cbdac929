"""Movie and parameters in, result folder out; an engine must not know databases, stores, Prefect or video formats."""
