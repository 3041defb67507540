"""The version of syscr, alone in its module so that anything may import it."""

__version__ = "0.1.0"
