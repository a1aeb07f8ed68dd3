"""What other programs import: a detector of whatever they have, and results that a notebook shows as a page.

from deepfake_audio import Detector
detector = Detector()
print(detector.judge(samples, sample_rate=16000).verdict)
for source, result, error in detector.judge_all(["a.wav", "b.mp3"]):
    print(source, error or result.to_dict())
"""

from __future__ import annotations

import dataclasses
import html
import os
from collections.abc import Iterable, Iterator
from typing import Any

from .errors import DeepfakeAudioError
from .files import file_sha256
from .judging import detector, many
from .judging.decision import Judgement
from .sound.sources import Samples, opened

PAGE_PIXELS = 900
"""Height of a result in a notebook."""


@dataclasses.dataclass(frozen=True, repr=False)
class Result(Judgement):
    """A judgement, and what it is about.

    Attributes
    ----------
    path : str
        What was judged.
    sha256 : str or None
        Of the file; samples have none.
    model : dict
        Which one answered: name, date of training, version.
    threshold, operating_point : float or None
        The one of them that it was used with.
    """

    path: str = ""
    sha256: str | None = None
    model: dict[str, str] = dataclasses.field(default_factory=dict)
    threshold: float | None = None
    operating_point: int | None = None
    _again: tuple | None = dataclasses.field(default=None, compare=False)

    def __repr__(self) -> str:
        return f"<{self.verdict} {self.confidence:.2f}, {self.seconds:.1f} s, {self.path}>"

    def __getstate__(self) -> dict:
        return vars(self) | {"_again": None}  # a loaded network does not travel

    def to_dict(self) -> dict:
        """Return what ``script.py --json`` prints."""
        about = {"sha256": self.sha256, "threshold": self.threshold, "operating_point": self.operating_point}
        return many.blank(self.path, None, self.model) | super().to_dict() | about

    def _repr_html_(self) -> str:
        """Return a page with player, spectrogram and timeline; in words only, where the source is gone."""
        from .answers import page, wording

        try:
            judge, source, sample_rate = self._again or (None, None, None)
            features = judge.settings.features
            glimpse = page.Glimpse(features.sample_rate, features.hop_seconds, page.LISTEN_SECONDS)
            detector.Detector.judge(judge, source, sample_rate, glimpse)
        except (AttributeError, DeepfakeAudioError):
            return f"<pre>{html.escape(os.linesep.join(wording.describe(self.to_dict())))}</pre>"
        report = page.Report(None, judge.settings, self.model)
        report.add(self.to_dict(), glimpse)
        inside = html.escape(report.page(), quote=True)
        return (
            f'<iframe sandbox="allow-scripts" srcdoc="{inside}" width="100%" height="{PAGE_PIXELS}" '
            'style="border: 0" title="Result"></iframe>'
        )


class Detector(detector.Detector):
    """A loaded checkpoint that judges recordings; see :class:`deepfake_audio.judging.detector.Detector`."""

    def judge(self, source: Any, sample_rate: float | None = None, **options: Any) -> Result:
        """Judge a path, bytes, an open binary file, or samples with their rate.

        Parameters
        ----------
        source, sample_rate, **options
            As for :meth:`deepfake_audio.judging.detector.Detector.judge`.

        Raises
        ------
        AudioError
            If it cannot be read, or holds nothing.
        """
        with opened(source, sample_rate) as kept:
            judgement = super().judge(kept, **options)
            sha256 = None if isinstance(kept, Samples) else file_sha256(kept)
        path = str(source if isinstance(source, (str, os.PathLike)) else getattr(source, "name", "in memory"))
        again = self, source, sample_rate
        about = {"path": path, "sha256": sha256, "model": self.model_info(), **many.rule_of(self)}
        return Result(**vars(judgement), **about, _again=again)

    def judge_all(
        self, sources: Iterable[Any], jobs: int | None = None
    ) -> Iterator[tuple[Any, Result | None, str | None]]:
        """Yield each source, and its result or a sentence that says why there is none, in order.

        Parameters
        ----------
        sources : iterable
            What :meth:`judge` takes; samples as a pair with their rate.
        jobs : int, optional
            Cores to keep busy; without it, all.
        """

        def judge(source: Any) -> tuple[Any, Result | None, str | None]:
            try:
                return source, self.judge(*(source if isinstance(source, tuple) else (source,))), None
            except DeepfakeAudioError as error:
                return source, None, str(error)
            except OSError as error:
                return source, None, f"'{source}' cannot be read ({error.strerror}): check the file and the disk."

        # Half of them wait for their decoders, which are processes of their own.
        return many.in_order(judge, sources, 2 * (jobs or os.cpu_count() or 1))
