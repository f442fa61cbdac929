"""The real CaImAn, driven in a process of its own, and its results; it must not know databases, stores or flows."""
