"""Database and object store, and what keeps them consistent. Knows models and bytes; no reader, no engine, no flow."""
