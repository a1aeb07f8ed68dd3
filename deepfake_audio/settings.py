"""Every fixed fact once: classes, audio, features, windows, network, training, decision.

The settings of a run travel inside its checkpoint (:mod:`deepfake_audio.model.checkpoint`), and judging a recording
uses only those, never the defaults below.
"""

from __future__ import annotations

import dataclasses
import json
import reprlib
import typing
from collections.abc import Iterable

CLASS_NAMES = ("Real", "Fake", "Hybrid")
"""Order of the softmax outputs."""

UNCERTAIN = "Uncertain"
NO_SPEECH = "No speech"
UNCLEAR = "Unclear"
"""Label of a segment that looks fake, but like which real speech looks too often for the word."""

SAMPLE_RATE = 16_000
"""Rate in Hz at which every recording of every class is analysed."""

MOST_UNITS = 512
"""Units or filters of a layer, and mel bands: eight times what the default network has."""

MOST_STEPS = 1024
"""Of the recurrence in one window, which training writes out step by step."""


def within(least: float, most: float, default):
    """Declare a setting and between which numbers it makes sense: a file from somebody else may hold any other."""
    return dataclasses.field(default=default, metadata={"within": (least, most)})


def share(default: float):
    """Declare a setting that is a share or a probability."""
    return within(0.0, 1.0, default)


@dataclasses.dataclass(frozen=True)
class FeatureSettings:
    """Log-mel spectrogram: see :mod:`deepfake_audio.features.log_mel`."""

    sample_rate: int = within(8_000, 48_000, SAMPLE_RATE)
    """Hz at which recordings are analysed."""
    fft_samples: int = within(64, 8_192, 512)
    """Samples of one spectrum."""
    hop_samples: int = within(64, 4_096, 160)
    """Samples from one spectrum to the next."""
    mel_bands: int = within(1, MOST_UNITS, 80)
    """Bands of the spectrogram."""
    lowest_hz: float = within(0.0, 24_000.0, 0.0)
    """Lower end of the lowest band."""
    highest_hz: float = within(0.0, 24_000.0, 8000.0)
    """Upper end of the highest band."""
    dynamic_range_db: float = within(1.0, 300.0, 80.0)
    """Everything further than this below the loudest point of a window is floored."""

    def __post_init__(self):
        if not 0 <= self.lowest_hz < self.highest_hz <= self.sample_rate / 2:
            raise ValueError(f"mel band edges {self.lowest_hz}-{self.highest_hz} Hz do not fit {self.sample_rate} Hz")

    @property
    def hop_seconds(self) -> float:
        """Distance between two spectrogram frames."""
        return self.hop_samples / self.sample_rate


@dataclasses.dataclass(frozen=True)
class WindowSettings:
    """What the network sees at once, and how its windows overlap when a recording is judged."""

    frames: int = within(1, 4_096, 300)
    """Spectrogram frames in a window."""
    frames_per_step: int = within(1, 256, 4)
    """Spectrogram frames in one step of the recurrence."""
    labels_per_step: int = within(1, 256, 2)
    """Timeline frames that one recurrent step answers for."""
    overlap: float = within(0.0, 0.95, 0.5)
    """Share of a window that the next one covers again when a recording is judged."""
    minority_frames: int = within(0, 4_096, 5)
    """Timeline frames of the rarer class from which on a training window counts as Hybrid."""

    def __post_init__(self):
        if min(self.frames, self.frames_per_step, self.labels_per_step) < 1:
            raise ValueError("frames, frames_per_step and labels_per_step must be 1 or more")
        if self.frames % self.frames_per_step or self.frames_per_step % self.labels_per_step:
            raise ValueError(f"{self.frames} frames do not divide into steps of {self.frames_per_step}")

    @property
    def steps(self) -> int:
        """Steps of the recurrence in one window."""
        return self.frames // self.frames_per_step

    @property
    def label_frames(self) -> int:
        """Timeline frames in one window."""
        return self.steps * self.labels_per_step

    @property
    def frames_per_label(self) -> int:
        """Spectrogram frames in one timeline frame."""
        return self.frames_per_step // self.labels_per_step


@dataclasses.dataclass(frozen=True)
class NetworkSettings:
    """Width and regularisation of CNN -> SimpleRNN -> LSTM -> softmax."""

    convolution_filters: tuple[int, ...] = within(1, MOST_UNITS, (16, 24, 32, 48))
    """Filters of each convolution."""
    strided: bool = False
    """Shrink by strides in every convolution, not by pooling after it: 1.6 times as fast."""
    texture_filters: int = within(0, MOST_UNITS, 0)
    """Filters whose mean response per mel band, over the window and around each step, goes past the convolutions
    straight to verdict and recurrence; 0 for none."""
    texture_steps: int = within(1, MOST_STEPS, 25)
    """Recurrent steps over which the response around a step is averaged, beside that in its own fifth of a second."""
    texture_dropout: float = share(0.5)
    """Share of the texture that a training step hides."""
    path_dropout: float = share(0.0)
    """How often a training window's verdict has to do without the recurrent states, so that it does not lean on the
    path that learns its training voices by heart first."""
    rnn_units: int = within(2, MOST_UNITS, 64)
    """Units of the SimpleRNN, both directions together."""
    lstm_units: int = within(2, MOST_UNITS, 64)
    """Units of the LSTM, both directions together."""
    dropout: float = share(0.3)
    """Share of the hidden values that a training step hides."""


@dataclasses.dataclass(frozen=True)
class HybridSettings:
    """What the splicer draws from; lengths in seconds, levels in dB."""

    hybrids_per_clip: float = within(0.0, 10.0, 1.0)
    """Hybrid clips per Real or Fake clip of a set."""
    controls_per_clip: float = within(0.0, 10.0, 0.5)
    """Same-class splices (real+real, fake+fake) per Real or Fake clip of a set."""
    most_per_split: int = within(0, 20_000, 4000)
    """Upper bound on either, so that a large corpus does not fill the disk with splices."""
    most_spans: int = within(1, 20, 3)
    """Spans in one hybrid at most."""
    shortest_span_seconds: float = within(0.05, 10.0, 0.2)
    """Shortest span that is spliced in."""
    longest_span_seconds: float = within(0.05, 60.0, 3.0)
    """Longest span that is spliced in."""
    longest_crossfade_seconds: float = within(0.0, 1.0, 0.08)
    """Longest crossfade at a boundary."""


@dataclasses.dataclass(frozen=True)
class AugmentSettings:
    """Random channels that training windows pass through (:mod:`deepfake_audio.examples.channels`)."""

    channel_copies: int = within(0, 100, 0)
    """Copies of every training clip, whatever its class, that go through a random room, noise and codec. None: in the
    default run they cost more than they bring; a long run on a large corpus needs them."""
    shift_chance: float = share(0.3)
    """How often the spectrum of a window is shifted."""
    most_shift_bands: float = within(0.0, MOST_UNITS, 3.0)
    """Largest shift of the whole spectrum along the mel axis. It smooths what synthesis smooths: not for the texture
    path."""
    equaliser_chance: float = share(0.5)
    """How often a window passes a random equaliser."""
    equaliser_db: float = within(0.0, 60.0, 3.0)
    """Spread of the equaliser's gains."""
    noise_chance: float = share(0.0)
    """How often noise is laid under a window."""
    most_noise_db: float = within(0.0, 200.0, 70.0)
    """Quietest noise, in dB under the loudest point of the window."""
    least_noise_db: float = within(0.0, 200.0, 30.0)
    """Loudest noise, likewise."""
    band_limit_chance: float = share(0.25)
    """How often a window loses its upper band."""
    lowest_cutoff_hz: float = within(0.0, 24_000.0, 3400.0)
    """Lowest frequency above which it is lost."""
    floor_chance: float = share(0.0)
    """How often everything further than 45-80 dB under the peak is floored, as gates and codecs do."""
    mask_chance: float = share(0.5)
    """How often bands of a window are masked."""
    mask_share: float = share(0.15)
    """Widest frequency mask as a share of the mel bands."""


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """Optimisation."""

    epochs: int = within(1, 10**9, 24)
    """Passes after each of which the network is validated."""
    batch_size: int = within(1, 10**9, 32)
    """Windows in one step."""
    windows_per_epoch: int = within(1, 10**9, 1024)
    """More for a large corpus: an epoch has at least one window for every second training clip."""
    most_minutes_per_speaker: float = within(0.0, 1e9, 60.0)
    """A voice with more in a class is drawn as often as if it had so much: it cannot dominate, and nothing of it is
    thrown away."""
    splice_share: float = share(0.5)
    """Share of the training windows that come from splices: hybrids and their same-class controls."""
    page_share: float = share(0.7)
    """Share of the others that come from sources with both classes."""
    ramp_share: float = share(0.0)
    """Share of the training in which the channels come in, from none to all."""
    validation_windows: int = within(1, 10**9, 10**9)
    """Windows by which an epoch is judged at most, evenly spread over the validation set."""
    learning_rate: float = within(0.0, 10.0, 2e-3)
    """Largest one of the schedule, after the warm-up."""
    weight_decay: float = within(0.0, 10.0, 1e-4)
    """Of Adam."""
    focal_gamma: float = within(0.0, 100.0, 2.0)
    """How much the loss of a verdict leaves to windows that are judged well already."""
    label_smoothing: float = share(0.0)
    """Share of each verdict's label that is spread over all classes."""
    weight_averaging: float = share(0.0)
    """Momentum of a running average of the weights, which is what is validated, chosen and kept: the weights of any one
    step follow its last few batches. 0 for none."""
    frame_loss_weight: float = within(0.0, 1e6, 1.0)
    """Weight of the timeline in the loss; that of the verdict is one."""
    boundary_loss_weight: float = within(0.0, 1e6, 0.5)
    """Weight of the boundaries in the loss."""
    patience_epochs: int = within(0, 10**9, 25)
    """Epochs without a better one after which training stops."""
    seed: int = within(0, 2**32 - 1, 0)
    """Of the split and of everything that is drawn."""


OPERATING_POINTS = (1, 2, 5)
"""Percent of real validation recordings, each source weighing the same, that may be called Fake or Hybrid."""

OPERATING_POINT = 2
"""Which of them answers unless another is asked for."""

STATISTICS = 7
"""What a verdict is computed from; see :func:`deepfake_audio.judging.decision.statistics`."""


def _windows_alone() -> tuple[float, ...]:
    """Return weights with which the verdict is the geometric mean of the windows' own."""
    rows = [[float(label == number - 1) for number in range(1 + STATISTICS)] for label in range(len(CLASS_NAMES))]
    return tuple(weight for row in rows for weight in row)


@dataclasses.dataclass(frozen=True)
class DecisionSettings:
    """How the network's answers become one: fitted on validation clips (:mod:`deepfake_audio.training.calibrate`)."""

    verdict_weights: tuple[float, ...] = within(-1e4, 1e4, _windows_alone())
    """For each class a constant, then a weight for each statistic of a recording."""
    accusation_thresholds: tuple[float, ...] = within(0.5, 1.0, (0.5,) * len(OPERATING_POINTS))
    """For each operating point the probability of not being Real from which on Fake or Hybrid is answered."""
    assurance_threshold: float = within(0.0, 0.5, 0.5)
    """Probability of not being Real up to which Real is answered to a clip; in between the answer is Uncertain."""
    long_assurance_threshold: float = within(0.0, 0.5, 0.5)
    """The same for a long recording: it has had time to betray itself."""
    fake_threshold: float = share(0.5)
    """A timeline frame at or above this looks synthetic."""
    segment_threshold: float = share(0.0)
    """A segment that looks synthetic is called Fake where its mean is at or above this, and otherwise Unclear."""
    boundary_threshold: float = share(1.0)
    """Peaks of the boundaries output at or above this cut the timeline into segments."""
    segment_weight: float = share(0.0)
    """How much a timeline frame follows the mean of its segment rather than its own answer."""
    shortest_segment_seconds: float = within(0.0, 60.0, 0.1)
    """Shorter segments of the timeline are merged into their neighbours."""
    least_speech_seconds: float = within(0.0, 3_600.0, 1.0)
    """Recordings with less speech than this are answered with No speech."""

    def __post_init__(self):
        wanted = {"verdict_weights": len(_windows_alone()), "accusation_thresholds": len(OPERATING_POINTS)}
        for name, count in wanted.items():
            if len(getattr(self, name)) != count:
                raise ValueError(f"{name} must be {count} numbers, not {len(getattr(self, name))}")


@dataclasses.dataclass(frozen=True)
class Settings:
    """All settings of one run."""

    features: FeatureSettings = FeatureSettings()
    window: WindowSettings = WindowSettings()
    network: NetworkSettings = NetworkSettings()
    hybrid: HybridSettings = HybridSettings()
    augment: AugmentSettings = AugmentSettings()
    training: TrainingSettings = TrainingSettings()
    decision: DecisionSettings = DecisionSettings()

    @property
    def label_seconds(self) -> float:
        """Length of one timeline frame."""
        return self.window.frames_per_label * self.features.hop_seconds


NEEDED_TO_JUDGE = ("features", "window", "decision")
"""Parts of the settings without which a checkpoint cannot be used; the others only tell how it came about."""


def of_checkpoint(values: dict) -> Settings:
    """Build settings from those in a checkpoint, which may come from a version that had other training options.

    ValueError when a part that is needed to judge recordings is not exactly what this version knows.
    """
    parts = {}
    for field in dataclasses.fields(Settings):
        kind: type = type(field.default)
        part = values[field.name] if field.name in NEEDED_TO_JUDGE else dict(values.get(field.name, {}))
        if field.name not in NEEDED_TO_JUDGE:
            defaults = to_dict(kind())
            part = {name: part.get(name, default) for name, default in defaults.items()}
        parts[field.name] = from_dict(kind, part)
    return Settings(**parts)


def to_dict(settings) -> dict:
    """Turn settings into plain JSON types."""
    return dataclasses.asdict(settings)


def from_dict(kind: type, values: dict):
    """Build settings of type `kind` from what :func:`to_dict` made.

    Raises
    ------
    ValueError
        When a field is unknown, missing, of another type than the settings declare, or beyond its bounds.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{kind.__name__} must be an object, not {reprlib.repr(values)}")
    types = typing.get_type_hints(kind)
    if set(values) != set(types):
        odd = sorted(set(values) ^ set(types))
        raise ValueError(f"{kind.__name__} has unknown or missing fields: {', '.join(odd)}")
    fields = dataclasses.fields(kind)
    return kind(**{field.name: _value(kind, field, types[field.name], values[field.name]) for field in fields})


def changed(settings: Settings, changes: Iterable[str]) -> Settings:
    """Return settings with some of them changed.

    Parameters
    ----------
    settings : Settings
        Are left as they are.
    changes : iterable of str
        ``group.name=value``, with values as in JSON; of two for the same setting the later one counts.

    Raises
    ------
    ValueError
        When there is no such setting, or its value is of another type or beyond its bounds.
    """
    values = to_dict(settings)
    for change in changes:
        name, _, text = change.partition("=")
        group, _, field = name.partition(".")
        if field not in values.get(group, {}):
            raise ValueError(f"there is no setting {name!r}; --list-settings shows all of them")
        try:
            values[group][field] = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{text!r} is no value for {name}: write 8, 0.5, true or [16,24]") from error
    return from_dict(Settings, values)


def _value(kind: type, field: dataclasses.Field, wanted: type, value: typing.Any):
    """Return the value of one field as settings of type `kind` hold it; same errors."""
    if dataclasses.is_dataclass(wanted):
        return from_dict(wanted, value)
    several = typing.get_origin(wanted) is tuple
    one = typing.get_args(wanted)[0] if several else wanted
    what = {int: "a list of whole numbers", float: "a list of numbers"}[one] if several else wanted.__name__
    items = value if several and isinstance(value, (list, tuple)) else [value]
    # A bool is an int to Python, and a whole number may stand for a float.
    if (items is value) != several or not all(
        isinstance(item, (float, int) if one is float else one) and isinstance(item, bool) == (one is bool)
        for item in items
    ):
        raise ValueError(f"{kind.__name__}.{field.name} must be {what}, not {reprlib.repr(value)}")
    if bounds := field.metadata.get("within"):
        least, most = bounds
        if not all(least <= item <= most for item in items):
            raise ValueError(
                f"{kind.__name__}.{field.name} must be between {least:g} and {most:g}, not {reprlib.repr(value)}"
            )
    return tuple(map(one, items)) if several else one(value)
