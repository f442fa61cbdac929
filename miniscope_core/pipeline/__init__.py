"""Plain functions from a folder to rows and arrays: ingest, process, curate, extract. No Prefect and no terminal."""
