"""Audio of any length -> verdict, confidence and timeline.

The recording is scanned by overlapping windows while it is read. Each window answers with three class probabilities
and one probability of fake per timeline frame; :func:`decide` turns all answers into one. What is kept of a recording
are a few numbers per timeline frame, so hours need hardly more memory than seconds.
"""

from __future__ import annotations

import array
import dataclasses
import functools
import heapq
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from .. import places
from ..errors import AudioError
from ..features.draw import Glimpse
from ..features.log_mel import LogMelStream
from ..features.speech import LEVELS_DB, Compact, SpeechMeter, pause_level, speech_seconds
from ..features.windows import cut_window, normalise_window, window_starts, window_step
from ..model.checkpoint import Checkpoint, newest_checkpoint, read_checkpoint
from ..model.engines import ENGINES, load_engine
from ..settings import CLASS_NAMES, NO_SPEECH, UNCERTAIN, DecisionSettings, Settings
from ..sound.reading import stream_audio

BATCH_WINDOWS = 16
MOST_BATCHES = 2
"""Of one recording that wait for the network, or for their turn in the timeline."""

LEAST_SEGMENT_FRAMES = 5
"""Timeline frames between two boundaries, at least."""

SHORTEST_PAUSE_SECONDS = 1.0
"""Pauses from this length on are No speech in the timeline; shorter ones belong to speaking."""

SPOKEN_SECONDS = 0.3
"""Windows with less speech than this have no say in the verdict."""

CREDIBLE_SECONDS = 0.2
"""A verdict of Hybrid needs a fake segment and a real one of at least this length, each on average on its own side of
the timeline's threshold."""

LOW_CONFIDENCE = "low confidence"
MIGHT_ACCUSE = "too many real recordings look like that"
NO_FAKE_SEGMENT = "no credible fake segment"
NO_REAL_SEGMENT = "no credible real speech"


@dataclasses.dataclass(frozen=True, slots=True)
class Segment:
    """A segment of the timeline, in seconds: Real, Fake, or No speech, which has no probability of being fake."""

    start: float
    end: float
    label: str
    fake_probability: float | None


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


@dataclasses.dataclass(frozen=True)
class Judgement:
    """The answer for one recording.

    Attributes
    ----------
    verdict : str
        ``Real``, ``Fake``, ``Hybrid``, ``Uncertain`` or ``No speech``.
    confidence : float
        Calibrated probability of the verdict; where it is withheld, of the most probable class.
    probabilities : dict of str to float
        One per class; they sum to one.
    segments : tuple of Segment
        Segments that are Real, Fake or No speech, without gaps.
    frame_probabilities : ndarray, shape (timeline frames,)
        Probability of fake.
    seconds, speech_seconds : float
        Lengths.
    reason : str or None
        Why the verdict is Uncertain: one of ``LOW_CONFIDENCE``, ``MIGHT_ACCUSE``, ``NO_FAKE_SEGMENT``,
        ``NO_REAL_SEGMENT``.
    """

    verdict: str
    confidence: float
    probabilities: dict[str, float]
    segments: tuple[Segment, ...]
    frame_probabilities: np.ndarray
    seconds: float
    speech_seconds: float
    reason: str | None = None

    @property
    def fake_seconds(self) -> float:
        """Total length of the fake segments."""
        return float(sum(s.end - s.start for s in self.segments if s.label == "Fake"))

    def to_dict(self) -> dict:
        """Plain JSON types, rounded to what they are worth."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "confidence": round(self.confidence, 4),
            "probabilities": {name: round(value, 4) for name, value in self.probabilities.items()},
            "seconds": round(self.seconds, 3),
            "speech_seconds": round(self.speech_seconds, 3),
            "fake_seconds": round(self.fake_seconds, 3),
            "segments": [
                {
                    "start": round(s.start, 3),
                    "end": round(s.end, 3),
                    "label": s.label,
                    "fake_probability": None if s.fake_probability is None else round(s.fake_probability, 4),
                }
                for s in self.segments
            ],
        }


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
    settings : Settings
        Of the checkpoint.
    predict : callable
        From network inputs, shape (windows, frames, mel_bands), to its two outputs.
    seconds, speech : float
        Length of the recording and of its speech.
    """
    scanner = Scanner(settings, predict)
    scanner.push(spectrogram)
    return scanner.finish(seconds, speech)


class Scanner:
    """:func:`scan_features` of a spectrogram that comes in pieces: the same windows, whatever the pieces are.

    Parameters
    ----------
    settings, predict
        As for :func:`scan_features`.
    pool : Executor, optional
        Where `predict` is called while the next pieces come; without one, in between.
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
        self._verdicts = array.array("f")  # small arrays that stay would leave holes where larger ones come and go
        self._levels = Compact(*LEVELS_DB)
        self._rest = np.zeros(0, dtype=np.float32)  # levels that do not fill a timeline frame yet
        # The timeline is a sum of windows; what no later window reaches is moved from `_total` to `_timeline`.
        self._timeline, self._boundaries = Compact(0.0, 1.0), Compact(0.0, 1.0)
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
        self._levels.append(levels[:whole].reshape(-1, window.frames_per_label).max(axis=1))
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
        """Look at the end and return all answers.

        Parameters
        ----------
        seconds, speech : float
            Length of the recording and of its speech.
        """
        window = self.settings.window
        count = self._first + len(self._spectrogram)
        frames = -(-count // window.frames_per_label)
        self._look(int(window_starts(count, window)[-1]))
        self._ask()
        self._hear(0)
        self._settle(frames)
        if len(self._rest):
            self._levels.append(self._rest.max(keepdims=True))
        starts = np.array(self._starts) // window.frames_per_label
        ends = np.minimum(starts + window.label_frames, frames)
        return Scan(
            np.frombuffer(self._verdicts, dtype=np.float32).reshape(-1, len(CLASS_NAMES)),
            self._timeline.pop_all(),
            self._boundaries.pop_all(),
            np.stack([starts, ends], axis=1),
            seconds,
            speech,
            self._levels.pop_all(),
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
        self._verdicts.frombytes(answer["verdict"].astype(np.float32, copy=False).tobytes())
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
        self._timeline.append(means[:, 0])
        self._boundaries.append(means[:, 1])
        self._total, self._weight = self._total[count:], self._weight[count:]
        self._settled = frame


def decide(
    scan: Scan, settings: Settings, threshold: float | None = None, overwrite_timeline: bool = False
) -> Judgement:
    """Turn the answers of all windows into one.

    The most probable class is the verdict, if it is confident enough; Hybrid also needs a timeline that shows a
    credible fake segment and credible real speech.

    Parameters
    ----------
    scan : Scan
        From :func:`scan_features`.
    settings : Settings
        Of the checkpoint.
    threshold : float, optional
        The verdict is Real where the probability of being anything else is under this, and otherwise the more probable
        one of Fake and Hybrid, however low the confidence.
    overwrite_timeline : bool
        See :func:`smooth_segments`.
    """
    decision = settings.decision
    frames, voiced = smooth_segments(scan, decision, overwrite_timeline), voiced_frames(scan, settings)
    probabilities = class_probabilities(scan, voiced, settings, decision.temperature)
    segments = _segments(frames, voiced, settings.label_seconds, scan.seconds, decision)
    if scan.speech_seconds < decision.least_speech_seconds:
        # What the network makes of noise says nothing about a voice.
        probabilities = np.full(len(CLASS_NAMES), 1.0 / len(CLASS_NAMES))
        verdict, reason, segments = NO_SPEECH, None, ()
    else:
        verdict, reason = _verdict(probabilities, segments, decision, threshold)
    shares = dict(zip(CLASS_NAMES, map(float, probabilities), strict=True))
    return Judgement(
        verdict=verdict,
        confidence=shares.get(verdict, max(shares.values())),
        probabilities=shares,
        segments=segments,
        frame_probabilities=frames,
        seconds=scan.seconds,
        speech_seconds=scan.speech_seconds,
        reason=reason,
    )


def _verdict(
    probabilities: np.ndarray, segments: tuple[Segment, ...], decision: DecisionSettings, threshold: float | None
) -> tuple[str, str | None]:
    """Return the verdict, and why it is Uncertain."""
    if threshold is None:
        verdict = CLASS_NAMES[int(probabilities.argmax())]
        if probabilities.max() < decision.least_confidence:
            return UNCERTAIN, LOW_CONFIDENCE
        if verdict != "Real" and probabilities.max() < decision.least_accusation:
            return UNCERTAIN, MIGHT_ACCUSE
    else:
        verdict = "Real" if 1.0 - probabilities[0] < threshold else CLASS_NAMES[1 + int(probabilities[1:].argmax())]
    if verdict == "Hybrid" and not _shows("Fake", segments, decision):
        return UNCERTAIN, NO_FAKE_SEGMENT
    if verdict == "Hybrid" and not _shows("Real", segments, decision):
        return UNCERTAIN, NO_REAL_SEGMENT
    return verdict, None


def class_probabilities(scan: Scan, voiced: np.ndarray, settings: Settings, temperature: float) -> np.ndarray:
    """Return how probable each class is for the whole recording.

    The probability of Real is the harmonic mean of the windows' probabilities of Real, likewise for Fake, and
    Hybrid has the rest: one window that speaks clearly against a class weighs more than one that speaks for it,
    and a recording whose windows disagree is Hybrid. With a single window the network's own softmax is unchanged.
    Windows with hardly any speech have no say.

    Parameters
    ----------
    scan : Scan
        From :func:`scan_features`.
    voiced : ndarray of bool, shape (timeline frames,)
        From :func:`voiced_frames`.
    settings : Settings
        Of the checkpoint.
    temperature : float
        What the windows' log-probabilities are divided by.

    Returns
    -------
    ndarray, shape (3,)
    """
    counts = np.array([np.count_nonzero(voiced[first:last]) for first, last in scan.windows_of_frames])
    spoken = counts * settings.label_seconds >= SPOKEN_SECONDS
    verdicts = scan.verdicts[spoken] if spoken.any() else scan.verdicts
    log_probabilities = np.log(np.clip(verdicts.astype(np.float64), 1e-7, 1.0)) / temperature
    verdicts = np.exp(log_probabilities - log_probabilities.max(axis=1, keepdims=True))
    verdicts /= verdicts.sum(axis=1, keepdims=True)
    real, fake = (1.0 / np.mean(1.0 / np.maximum(verdicts[:, i], 1e-6)) for i in (0, 1))
    return np.array([real, fake, max(0.0, 1.0 - real - fake)])


def smooth_segments(scan: Scan, decision: DecisionSettings, overwrite_timeline: bool = False) -> np.ndarray:
    """Draw the timeline towards its mean between two boundaries: what was spliced in is of one kind from end to end.

    Parameters
    ----------
    scan : Scan
        From :func:`scan_features`.
    decision : DecisionSettings
        ``boundary_threshold`` and ``segment_weight``.
    overwrite_timeline : bool
        The result takes the place of ``scan.timeline``, which saves the memory of another one.

    Returns
    -------
    ndarray, shape (timeline frames,)
        Probability of fake.
    """
    if not decision.segment_weight:
        return scan.timeline
    peaks = _peaks(scan.boundaries, decision.boundary_threshold, LEAST_SEGMENT_FRAMES)
    drawn = scan.timeline if overwrite_timeline else scan.timeline.copy()
    for start, end in itertools.pairwise([0, *peaks, len(drawn)]):
        segment = drawn[start:end]
        mean = segment.mean(dtype=np.float64)
        segment *= 1.0 - decision.segment_weight
        segment += decision.segment_weight * mean
    return drawn


def _peaks(values: np.ndarray, height: float, distance: int) -> np.ndarray:
    """Return what ``scipy.signal.find_peaks`` does; importing scipy takes longer than judging a clip."""
    # Runs of equal values; hours have few that are high enough.
    high = np.flatnonzero(values >= height)
    begins = np.ones(len(high), dtype=bool)
    begins[1:] = (np.diff(high) > 1) | (np.diff(values[high]) != 0)
    first, last = high[begins], high[np.append(begins[1:], True)[: len(high)]]
    inside = (first > 0) & (last < len(values) - 1)  # neither end is a peak
    first, last = first[inside], last[inside]
    is_peak = (values[first - 1] < values[first]) & (values[last + 1] < values[last])
    peaks = ((first + last) // 2)[is_peak]
    kept = np.zeros(len(values), dtype=bool)
    for peak in peaks[np.argsort(values[peaks], kind="stable")[::-1]]:  # of two that are too close, the higher one
        kept[peak] = not kept[max(0, peak - distance + 1) : peak + distance].any()
    return np.flatnonzero(kept)


def _shows(label: str, segments: tuple[Segment, ...], decision: DecisionSettings) -> bool:
    """Return whether a credible segment has this label: long enough, and on its own side of the threshold."""
    return any(
        s.label == label
        and s.end - s.start >= CREDIBLE_SECONDS - 1e-9
        and (s.fake_probability >= decision.fake_threshold) == (label == "Fake")
        for s in segments
    )


def voiced_frames(scan: Scan, settings: Settings) -> np.ndarray:
    """Return which timeline frames, shape (timeline frames,), belong to speech: all but long runs of quiet ones."""
    if scan.levels is None:
        return np.ones(len(scan.timeline), dtype=bool)
    voiced = scan.levels > pause_level(scan.levels, settings.label_seconds)
    for start, end in itertools.pairwise(_changes(voiced)):
        # Short pauses belong to speaking.
        if not voiced[start] and (end - start) * settings.label_seconds < SHORTEST_PAUSE_SECONDS:
            voiced[start:end] = True
    return voiced


def _changes(mask: np.ndarray) -> np.ndarray:
    """Return where runs of equal values begin, and where the last one ends."""
    return np.concatenate([[0], np.flatnonzero(np.diff(mask)) + 1, [len(mask)]])


def _segments(
    frames: np.ndarray, voiced: np.ndarray, frame_seconds: float, seconds: float, decision: DecisionSettings
) -> tuple[Segment, ...]:
    """Cut the timeline at pauses and at the threshold."""
    shortest = round(decision.shortest_segment_seconds / frame_seconds)
    fake = frames >= decision.fake_threshold

    def runs() -> Iterator[tuple[int, int, str]]:
        for first, last in itertools.pairwise(_changes(voiced)):
            if not voiced[first]:
                yield first, last, NO_SPEECH
                continue
            _merge_short_runs(fake[first:last], shortest)
            for start, end in itertools.pairwise(first + _changes(fake[first:last])):
                yield start, end, "Fake" if fake[start] else "Real"

    return tuple(
        Segment(
            start=float(start * frame_seconds),
            end=float(min(end * frame_seconds, seconds)) if end < len(fake) else float(seconds),
            label=label,
            fake_probability=None if label == NO_SPEECH else float(frames[start:end].mean()),
        )
        for start, end, label in runs()
    )


def _merge_short_runs(mask: np.ndarray, shortest: int) -> None:
    """Flip the shortest run, of equals the first one, until every run has `shortest` frames or there is only one."""
    changes = _changes(mask)
    enough = np.flatnonzero(np.diff(changes) >= shortest)
    # A run that is long enough stays, so that what lies between two of them has nothing to do with the rest: hours have
    # a hundred thousand runs, a second has few.
    for first, last in zip([0, *changes[enough]], [*changes[enough + 1], len(mask)], strict=True):
        _merge_between(mask[first:last], shortest)


def _merge_between(mask: np.ndarray, shortest: int) -> None:
    ends = dict(itertools.pairwise(_changes(mask).tolist()))
    starts = {end: start for start, end in ends.items()}
    # Noise may be nothing but short runs: a heap finds the shortest; its entries of runs that grew are passed over.
    waiting = [(end - start, start) for start, end in ends.items()]
    heapq.heapify(waiting)
    while len(ends) > 1:
        length, start = heapq.heappop(waiting)
        end = ends.get(start, start)
        if end - start != length:
            continue
        if length >= shortest:
            break
        mask[start:end] ^= True
        # The run becomes one with its neighbours, of which the first and the last run have only one.
        first, last = starts.get(start, start), ends.get(end, end)
        for gone in {first, start, end} & ends.keys():
            del starts[ends.pop(gone)]
        ends[first], starts[last] = last, first
        heapq.heappush(waiting, (last - first, first))


class Detector:
    """A loaded checkpoint that judges recordings; several threads may use one.

    Parameters
    ----------
    checkpoint : Checkpoint or path, optional
        Its settings, and only those, are used. Without it, the newest one under ``outputs/``, as
        ``script.py`` chooses.
    threshold : float, optional
        See :func:`decide`.
    engine : str
        ``onnx``, which falls back to the checkpoint itself where its ONNX twin is missing or does not fit, or
        ``keras``.

    Raises
    ------
    CheckpointError
        If there is none, or it cannot be loaded.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | str | os.PathLike | None = None,
        threshold: float | None = None,
        engine: str = ENGINES[0],
    ):
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = read_checkpoint(Path(checkpoint or newest_checkpoint(places.outputs())))
        self.checkpoint = checkpoint
        self.settings = checkpoint.settings
        self.threshold = threshold
        self.engine = load_engine(checkpoint, engine)
        # Every core runs a batch of windows, whichever recording it is of, while others are decoded and transformed.
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="network")

    def judge(
        self,
        recording: str | os.PathLike | np.ndarray,
        glimpse: Glimpse | None = None,
        heard: Callable[[float], None] | None = None,
    ) -> Judgement:
        """Judge a recording of any length; a file is read piece by piece.

        Parameters
        ----------
        recording : path or ndarray of float32, shape (samples,)
            An audio file of any kind that :func:`deepfake_audio.sound.reading.read_audio` reads, or mono samples in
            -1..1 at the checkpoint's sample rate.
        glimpse : Glimpse, optional
            Shown the recording on its way, for pictures.
        heard : callable, optional
            Told now and then how many seconds have been read; what it raises ends the work.

        Raises
        ------
        AudioError
            If the file cannot be read, or holds nothing.
        """
        # Whatever listened is gone before the decision: of hours, both need memory.
        judgement = decide(self._scan(recording, glimpse, heard), self.settings, self.threshold, True)
        if glimpse is not None:
            glimpse.timeline = judgement.frame_probabilities
        return judgement

    def _scan(
        self,
        recording: str | os.PathLike | np.ndarray,
        glimpse: Glimpse | None,
        heard: Callable[[float], None] | None,
    ) -> Scan:
        features = self.settings.features
        if isinstance(recording, np.ndarray):
            if not len(recording):
                raise AudioError("The recording holds no samples; record again or give another file.")
            pieces = iter([recording])
        else:
            pieces = stream_audio(recording, features.sample_rate)
        spectrogram, meter = LogMelStream(features, self.engine.mel_filters), SpeechMeter(features.sample_rate)
        scanner, count = Scanner(self.settings, self.engine.predict, self._pool), 0

        def see(frames: np.ndarray) -> None:
            scanner.push(frames)
            if glimpse is not None:
                glimpse.see(frames)

        for piece in pieces:
            count += len(piece)
            meter.push(piece)
            see(spectrogram.push(piece))
            if glimpse is not None:
                glimpse.hear(piece)
            if heard is not None:
                heard(count / features.sample_rate)
        see(spectrogram.finish())
        return scanner.finish(count / features.sample_rate, meter.seconds())

    def rolling(self, seconds: float) -> Rolling:
        """Return what judges the last seconds of a sound that goes on."""
        return Rolling(self, seconds)

    def model_info(self) -> dict[str, str]:
        """Say which model answered: name, date of training, version."""
        return self.checkpoint.about()


class Rolling:
    """The last seconds of a sound that goes on; features of a frame are computed once, however often it is judged.

    Parameters
    ----------
    detector : Detector
        Who judges.
    seconds : float
        How much of the past a judgement is about.
    """

    BLOCK_FRAMES = 5
    """Features lag behind the sound by no more than this."""

    def __init__(self, detector: Detector, seconds: float):
        features = detector.settings.features
        self._detector = detector
        self._most_frames = round(seconds / features.hop_seconds)
        self._stream = LogMelStream(features, detector.engine.mel_filters, self.BLOCK_FRAMES)
        self._samples = np.zeros(0, dtype=np.float32)
        self._frames = np.zeros((0, features.mel_bands), dtype=np.float16)

    def push(self, samples: np.ndarray) -> None:
        """Take the next samples, shape (samples,)."""
        most_samples = self._most_frames * self._detector.settings.features.hop_samples
        self._samples = np.concatenate([self._samples, samples])[-most_samples:]
        self._frames = np.concatenate([self._frames, self._stream.push(samples)])[-self._most_frames :]

    def judge(self) -> Judgement:
        """Judge what is kept.

        Raises
        ------
        AudioError
            If hardly anything came yet.
        """
        if not len(self._frames):
            raise AudioError("There is hardly any sound yet; listen for longer.")
        settings, rate = self._detector.settings, self._detector.settings.features.sample_rate
        seconds, speech = len(self._samples) / rate, speech_seconds(self._samples, rate)
        scan = scan_features(self._frames, settings, self._detector.engine.predict, seconds, speech)
        return decide(scan, settings, threshold=self._detector.threshold)
