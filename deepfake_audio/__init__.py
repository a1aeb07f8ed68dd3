"""Tell real, fake and hybrid speech apart: what ``CNNRNNLSTM.py`` and ``script.py`` share.

from deepfake_audio import Detector
print(Detector().judge("clip.wav").verdict)
"""

__version__ = "0.1.0"
__all__ = ["Detector"]


def __getattr__(name: str):
    if name == "Detector":
        from .detector import Detector

        return Detector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
