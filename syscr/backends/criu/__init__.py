"""CRIU in ROOTLESS mode: builders, parsers, failures explained, and the thin backend."""
