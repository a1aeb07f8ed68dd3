"""A spectrogram of any length -> what the network answers to every window of it, laid into one timeline."""

from __future__ import annotations

import array
import dataclasses
import functools
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor

import numpy as np

from ..features.windows import cut_window, normalise_window, window_starts, window_step
from ..settings import CLASS_NAMES, Settings

BATCH_WINDOWS = 16
MOST_BATCHES = 2
"""Of one recording that wait for the network, or for their turn in the timeline."""


@dataclasses.dataclass(frozen=True)
class Scan:
    """Answers of all windows over one recording, before any decision.

    Attributes
    ----------
    verdicts : ndarray, shape (windows, 3)
        Softmax outputs.
    timeline : ndarray, shape (timeline frames,)
        Probability of fake from the frame output, overlapping windows averaged.
    boundaries : ndarray, shape (timeline frames,)
        Probability of a boundary between two spans, likewise.
    windows_of_frames : ndarray, shape (windows, 2)
        First and one past last timeline frame that each window covers.
    seconds, speech_seconds : float
        Length of the recording, and of what is not pause.
    levels : ndarray, shape (timeline frames,), optional
        Loudness of each timeline frame in dB; without it, every frame counts as speech.
    """

    verdicts: np.ndarray
    timeline: np.ndarray
    boundaries: np.ndarray
    windows_of_frames: np.ndarray
    seconds: float
    speech_seconds: float
    levels: np.ndarray | None = None


def scan_features(
    spectrogram: np.ndarray,
    settings: Settings,
    predict: Callable[[np.ndarray], dict[str, np.ndarray]],
    seconds: float,
    speech: float,
) -> Scan:
    """Run the network over a whole spectrogram.

    Parameters
    ----------
    spectrogram : ndarray, shape (frames, mel_bands)
        From :func:`deepfake_audio.features.log_mel.log_mel`.
    predict : callable
        From network inputs, shape (windows, frames, mel_bands), to its outputs by name.
    seconds, speech : float
        Length of the recording and of its speech.
    """
    scanner = Scanner(settings, predict)
    scanner.push(spectrogram)
    return scanner.finish(seconds, speech)


class Scanner:
    """:func:`scan_features` of a spectrogram that comes in pieces: the same windows, whatever the pieces are.

    `predict` is called in a pool while the next pieces come, or, without one, in between.
    """

    def __init__(
        self,
        settings: Settings,
        predict: Callable[[np.ndarray], dict[str, np.ndarray]],
        pool: Executor | None = None,
    ):
        self.settings, self._predict, self._pool = settings, predict, pool
        window = settings.window
        self._step = window_step(window)
        self._spectrogram = np.zeros((0, settings.features.mel_bands), dtype=np.float16)
        self._first = 0  # frame of the recording that the kept spectrogram begins with
        self._next = 0  # where the next window starts
        self._batch: list[np.ndarray] = []
        self._starts = array.array("q")
        self._asked: deque[tuple[list[int], Callable[[], dict[str, np.ndarray]]]] = deque()
        # Small arrays that stay would leave holes where larger ones come and go.
        self._verdicts, self._levels = array.array("f"), array.array("f")
        self._timeline, self._boundaries = array.array("f"), array.array("f")
        self._rest = np.zeros(0, dtype=np.float32)  # levels that do not fill a timeline frame yet
        # The timeline is a sum of windows; what no later window reaches is moved from `_total` to `_timeline`.
        self._settled = 0
        self._total, self._weight = np.zeros((0, 2)), np.zeros((0, 1))
        # The middle of a window has seen what comes before and after, its ends have not.
        rising = np.arange(1, window.label_frames + 1)
        self._trust = np.minimum(rising, rising[::-1])[:, np.newaxis]

    def push(self, frames: np.ndarray) -> None:
        """Take the next spectrogram frames, shape (frames, mel_bands)."""
        window = self.settings.window
        self._spectrogram = np.concatenate([self._spectrogram, frames])
        powers = 10 ** (np.asarray(frames, dtype=np.float32) / 10)
        levels = np.concatenate([self._rest, 10 * np.log10(powers.sum(axis=1))])
        whole = len(levels) - len(levels) % window.frames_per_label
        _append(self._levels, levels[:whole].reshape(-1, window.frames_per_label).max(axis=1))
        self._rest = levels[whole:]
        # The last window is another one: it ends where the recording does, which is not known here.
        while self._first + len(self._spectrogram) > self._next + window.frames:
            self._look(self._next)
            # The last window may start right after this one.
            self._spectrogram = self._spectrogram[self._next - self._first :]
            self._first = self._next
            self._next += self._step
        self._spectrogram = self._spectrogram.copy()  # a view would keep all that came alive

    def finish(self, seconds: float, speech: float) -> Scan:
        """Look at the end and return all answers."""
        window = self.settings.window
        count = self._first + len(self._spectrogram)
        frames = -(-count // window.frames_per_label)
        self._look(int(window_starts(count, window)[-1]))
        self._ask()
        self._hear(0)
        self._settle(frames)
        if len(self._rest):
            _append(self._levels, self._rest.max(keepdims=True))
        starts = np.array(self._starts) // window.frames_per_label
        ends = np.minimum(starts + window.label_frames, frames)
        return Scan(
            _values(self._verdicts).reshape(-1, len(CLASS_NAMES)),
            _values(self._timeline),
            _values(self._boundaries),
            np.stack([starts, ends], axis=1),
            seconds,
            speech,
            _values(self._levels),
        )

    def _look(self, start: int) -> None:
        window = cut_window(self._spectrogram, start - self._first, self.settings.window.frames)
        self._batch.append(normalise_window(window, self.settings.features))
        self._starts.append(start)
        if len(self._batch) == BATCH_WINDOWS:
            self._ask()

    def _ask(self) -> None:
        if not self._batch:
            return
        windows, starts = np.stack(self._batch), self._starts[-len(self._batch) :].tolist()
        later = self._pool.submit(self._predict, windows).result if self._pool else None
        self._asked.append((starts, later or functools.partial(self._predict, windows)))
        self._batch = []
        self._hear(MOST_BATCHES if self._pool else 0)

    def _hear(self, left: int) -> None:
        """Lay the answers into the timeline, in order, until only so many batches are out."""
        while len(self._asked) > left:
            starts, answer = self._asked.popleft()
            self._lay(starts, answer())

    def _lay(self, starts: list[int], answer: dict[str, np.ndarray]) -> None:
        window = self.settings.window
        _append(self._verdicts, answer["verdict"])
        frames = np.concatenate([answer["timeline"], answer["boundaries"]], axis=-1)
        for start, values in zip(starts, frames, strict=True):
            first = start // window.frames_per_label - self._settled
            missing = max(0, first + window.label_frames - len(self._total))
            self._total, self._weight = (np.pad(sums, ((0, missing), (0, 0))) for sums in (self._total, self._weight))
            self._total[first : first + window.label_frames] += values * self._trust
            self._weight[first : first + window.label_frames] += self._trust
        self._settle(starts[-1] // window.frames_per_label)

    def _settle(self, frame: int) -> None:
        """Finish the timeline up to a frame before which no window will start."""
        count = frame - self._settled
        means = self._total[:count] / self._weight[:count]
        _append(self._timeline, means[:, 0])
        _append(self._boundaries, means[:, 1])
        self._total, self._weight = self._total[count:], self._weight[count:]
        self._settled = frame


def _append(numbers: array.array, values: np.ndarray) -> None:
    numbers.frombytes(values.astype(np.float32, copy=False).tobytes())


def _values(numbers: array.array) -> np.ndarray:
    return np.frombuffer(numbers, dtype=np.float32)
