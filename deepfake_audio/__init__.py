"""Tell real, fake and hybrid speech apart: what ``CNNRNNLSTM.py`` and ``script.py`` share.

from deepfake_audio import Detector
print(Detector().judge("clip.wav").verdict)
"""

from .version import __version__

__all__ = ["Detector", "__version__"]


def __getattr__(name: str):
    if name == "Detector":
        from .judging.detector import Detector

        return Detector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
