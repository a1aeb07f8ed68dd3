"""The version, for packages, checkpoints and whatever is written about either."""

__version__ = "0.1.0"
