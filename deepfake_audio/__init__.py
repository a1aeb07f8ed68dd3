"""Tell real, fake and hybrid speech apart: what ``CNNRNNLSTM.py`` and ``script.py`` share.

    from deepfake_audio import Detector
    print(Detector().judge("clip.wav").verdict)

How it works:

1. Clips are found, labelled and split by speaker, generator and source, before anything is spliced (``corpus``).
2. Spans of 0.2-3 s are spliced into clips of the other class, by hard cuts and crossfades, at pauses and inside words,
   level matched or not. Real+real and fake+fake controls keep their class, so that a boundary alone proves nothing.
   Every splice has a plan that replays to the identical samples (``examples``).
3. Log-mel spectrograms with librosa's filters; loudness and the mean of each band are removed per window of 3 s
   (``features``, from what ``sound`` reads).
4. Convolutions, a SimpleRNN and an LSTM along time give the class and, for every 20 ms, the probability of fake and of
   a boundary (``model``). Focal loss, a weight per class, Adam (``training``).
5. Overlapping windows make a verdict, a calibrated confidence and a timeline (``judging``), which ``answers`` puts into
   words, tables and pages; ``evaluation`` measures it.

A checkpoint is one file, ``model.keras``: weights, class order, settings, versions, seed, fingerprint of the data, the
mel filters and the same network as ONNX, so that a verdict imports neither TensorFlow nor librosa.

Imports point one way, from ``options`` and the scripts down to ``settings`` (tests/test_house.py has the order).
"""

from .version import __version__

__all__ = ["Detector", "__version__"]


def __getattr__(name: str):
    if name == "Detector":
        from .api import Detector

        return Detector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
