"""The version, for packages, checkpoints and whatever is written about either."""

__version__ = "0.1.0"

SCHEMA = 1
"""To be raised when what --json prints changes so that a program that reads it has to change."""
