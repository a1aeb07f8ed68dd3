"""Tell real, fake and hybrid speech apart: what ``CNNRNNLSTM.py`` and ``script.py`` share."""

__version__ = "0.1.0"
