"""Plain functions from a folder to rows and arrays: ingest, process, curate, extract, collect. No Prefect, no terminal."""
