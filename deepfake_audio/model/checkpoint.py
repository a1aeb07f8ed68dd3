"""A trained run as one self-describing file.

A checkpoint is a Keras archive (``.keras``) with more members: what is needed to use the network rightly, and the same
network as ONNX (:mod:`deepfake_audio.model.export`), so that a verdict needs neither TensorFlow nor librosa.
Keras alone opens it too, with ``keras.models.load_model(path, compile=False)``.
"""

from __future__ import annotations

import dataclasses
import json
import math
import reprlib
import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import places
from ..errors import CheckpointError, in_short
from ..features.log_mel import mel_filters
from ..files import atomic_path, file_sha256
from ..settings import CLASS_NAMES, Settings, of_checkpoint, to_dict
from ..text import clean
from ..version import __version__
from .trust import suspicious_members, suspicious_settings, suspicious_weights

if TYPE_CHECKING:  # a verdict needs no corpus
    from ..corpus.clips import Clip

MEMBER = "deepfake_audio.json"
SEEN_MEMBER = "seen.txt"
FILTERS_MEMBER = "mel_filters.f32"
ONNX_MEMBER = "model.onnx"
WEIGHTS_MEMBER = "model.weights.h5"
SEEN_DIGITS = 12
"""Digits of a clip's SHA-256 that are remembered: enough to know it again."""
MODEL = "model.keras"
KIND = "deepfake_audio checkpoint"
FORMAT = 6
FINE_TUNING_SHARE = 0.25
"""Share of the usual learning rate at which a trained network goes on: the first steps shall not undo it."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says of itself, and where its weights are.

    Attributes
    ----------
    settings : Settings
        Feature, window, network settings and calibration of the run.
    trained : str
        ISO date and time at which training ended.
    version : str
        Version of this project that wrote it.
    manifest : str
        Fingerprint of the training manifest (:func:`deepfake_audio.corpus.manifest.write_manifest`).
    packages : dict of str to str
        Versions of the libraries that trained it.
    """

    path: Path
    settings: Settings
    trained: str
    version: str
    seed: int
    manifest: str
    packages: dict[str, str]

    def about(self) -> dict[str, str]:
        """Say which model this is: name, date of training, version."""
        return {
            "name": f"{self.path.parent.name}/{self.path.name}",
            "trained": self.trained,
            "version": self.version,
        }

    def seen(self) -> frozenset[str]:
        """Return the first ``SEEN_DIGITS`` digits of the SHA-256 of every training and validation clip."""
        try:
            return frozenset(self.member(SEEN_MEMBER).decode("ascii").split())
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{self.path} has a {SEEN_MEMBER} that is no text; copy it again.") from error

    def member(self, name: str) -> bytes:
        """Return a member of the archive; CheckpointError if there is none of that name."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(name)
        except KeyError as error:
            raise CheckpointError(f"{self.path} lacks {name}; copy it again, or use another checkpoint.") from error

    def mel_filters(self) -> np.ndarray:
        """Return what its spectrograms are made with, float32, shape (mel_bands, bins), if that fits the settings."""
        features = self.settings.features
        shape = features.mel_bands, features.fft_samples // 2 + 1
        filters = np.frombuffer(self.member(FILTERS_MEMBER), dtype="u1")
        if filters.size != 4 * math.prod(shape) or not np.isfinite(filters := filters.view("<f4")).all():
            raise CheckpointError(f"{self.path} has mel filters that do not fit; use another checkpoint.")
        return filters.astype(np.float32).reshape(shape)

    def unseen(self, clips: Iterable[Clip]) -> list[Clip]:
        """Return the clips that were in neither training nor validation, known by content and not by name."""
        seen = self.seen()
        return [clip for clip in clips if file_sha256(clip.path)[:SEEN_DIGITS] not in seen]

    def to_go_on_from(self, settings: Settings) -> Settings:
        """Return `settings` for a training that starts with these weights: what the network is given stays."""
        training = dataclasses.replace(
            settings.training, learning_rate=settings.training.learning_rate * FINE_TUNING_SHARE
        )
        own = self.settings
        return dataclasses.replace(
            settings, features=own.features, window=own.window, network=own.network, training=training
        )

    def network(self):
        """Load the network; CheckpointError if Keras cannot read the weights, or they are not those of the settings."""
        from .network import build_network

        try:
            # Keras would read the weights within the archive, which unpacks all before them again and again. It leaves
            # them open where it fails, and Windows does not remove what is open.
            with (
                zipfile.ZipFile(self.path) as archive,
                tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
            ):
                weights = archive.extract(WEIGHTS_MEMBER, folder)
                _refuse(self.path, suspicious_weights(weights))
                # Built here, whatever the archive describes: Keras would run code that is named there.
                model = build_network(self.settings.network, self.settings.window, self.settings.features)
                model.load_weights(weights)
        except CheckpointError:
            raise
        except ModuleNotFoundError as error:
            how = places.how_to_install("train")
            raise CheckpointError(f"Keras judges only where {error.name} is installed: run '{how}'.") from error
        except Exception as error:  # Keras raises anything from KeyError to its own types on a damaged archive
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise CheckpointError(
                f"{self.path} cannot be loaded by Keras ({in_short(reason)}); train again."
            ) from error
        if not all(np.isfinite(weights).all() for weights in model.get_weights()):
            raise CheckpointError(f"{self.path} holds weights that are not numbers; use another checkpoint.")
        return model


def save_checkpoint(
    path: Path, network_file: Path, settings: Settings, trained: str, manifest: str, seen: Iterable[str]
) -> Checkpoint:
    """Write a self-describing checkpoint, but for the ONNX network, which :mod:`deepfake_audio.model.export` adds.

    Parameters
    ----------
    path, network_file : Path
        File to write, ending in ``.keras``, and the network as Keras saved it.
    trained, manifest : str
        ISO date and time, and fingerprint of the training manifest.
    seen : iterable of str
        SHA-256 of every clip that training or validation used, so that no later test counts one.
    """
    import keras
    import librosa
    import tensorflow

    about = {
        "kind": KIND,
        "format": FORMAT,
        "classes": list(CLASS_NAMES),
        "settings": to_dict(settings),
        "trained": trained,
        "version": __version__,
        "seed": settings.training.seed,
        "manifest": manifest,
        "packages": {module.__name__: module.__version__ for module in (tensorflow, keras, librosa, np)},
    }
    members: dict[str, str | bytes] = {
        SEEN_MEMBER: "\n".join(sorted({digest[:SEEN_DIGITS] for digest in seen})),
        FILTERS_MEMBER: mel_filters(settings.features).astype("<f4").tobytes(),
        MEMBER: json.dumps(about, indent=1),
    }
    with atomic_path(path) as temporary:
        copy_with(network_file, temporary, members)
    return read_checkpoint(path)


def copy_with(source: Path, target: Path, members: dict[str, str | bytes]) -> None:
    """Copy an archive, with these members added or replaced."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        kept = {name: old.read(name) for name in old.namelist() if name not in members}
        for name, content in (kept | members).items():
            # What every verdict reads is not packed: weights hardly shrink.
            new.writestr(name, content, zipfile.ZIP_STORED if name == ONNX_MEMBER else None)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read what a checkpoint says of itself, without loading TensorFlow.

    Raises
    ------
    CheckpointError
        If there is no such file, it is no checkpoint, is damaged, or was written by a newer version.
    """
    path = Path(path)
    if path.is_dir():  # of a run
        path = path / MODEL
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}; train one with: {places.TRAIN}")
    try:
        with zipfile.ZipFile(path) as archive:
            _refuse(path, suspicious_members(archive))
            if MEMBER not in archive.namelist():
                raise CheckpointError(
                    f"{path} is an archive but no checkpoint of this project (it lacks {MEMBER}); "
                    "give --model a model.keras that CNNRNNLSTM.py wrote."
                )
            damaged = archive.testzip()
            about = json.loads(archive.read(MEMBER))
    # A flipped byte can look like bad text, an encrypted member or a compression that nobody knows.
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError, MemoryError) as error:
        remedy = "train again or copy it again"
        if path.suffix.lower() != Path(MODEL).suffix:
            remedy = f"give the {MODEL} of a run, which holds the network for onnxruntime, too"
        raise CheckpointError(f"{path} is no checkpoint or is damaged ({in_short(error)}); {remedy}.") from error
    if damaged:
        raise CheckpointError(f"{path} is damaged (bad checksum in {in_short(damaged)}); copy it again.")
    if not isinstance(about, dict) or about.get("kind") != KIND:
        raise CheckpointError(
            f"{path} is not a checkpoint of this project; give --model a model.keras of CNNRNNLSTM.py."
        )
    if about.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has checkpoint format {reprlib.repr(about.get('format'))} and this version reads format {FORMAT}; "
            "use the version of the project that wrote it, or train again."
        )
    if about.get("classes") != list(CLASS_NAMES):
        raise CheckpointError(
            f"{path} was trained for the classes {reprlib.repr(about.get('classes'))}, not for {list(CLASS_NAMES)}."
        )
    try:
        settings = of_checkpoint(about["settings"])
        read = Checkpoint(
            path=path,
            settings=settings,
            trained=clean(in_short(about["trained"])),
            version=clean(in_short(about["version"])),
            seed=settings.training.seed,
            manifest=in_short(about["manifest"]),
            packages=dict(about["packages"]),
        )
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise CheckpointError(f"{path} has settings that cannot be read ({in_short(error)}); train again.") from error
    _refuse(path, suspicious_settings(settings))
    return read


def _refuse(path: Path, reason: str) -> None:
    if reason:
        raise CheckpointError(
            f"{path} is refused because {in_short(reason)}; use a checkpoint that CNNRNNLSTM.py wrote."
        )


def choose_checkpoint(outputs: Path) -> tuple[Path, str]:
    """Return the checkpoint that answers if none is named, and why: the bundled one, unless a newer one errs less.

    The report of the newest run in `outputs` says whether its model does. CheckpointError if there is neither.
    """
    bundled = places.bundled()
    own = [path for path in Path(outputs).glob(f"*/{MODEL}") if path != bundled]
    newest = max(own, key=lambda path: (path.stat().st_mtime, str(path)), default=None)
    if newest is None and not bundled.is_file():
        raise CheckpointError(f"There is no trained checkpoint under {outputs}; train one with: {places.TRAIN}")
    if newest is None:
        return bundled, "bundled model, as there is none of your own"
    if not bundled.is_file():
        return newest, "your newest one, as there is no bundled model"
    try:
        choice = json.loads(newest.with_name("metrics.json").read_text(encoding="utf-8"))["choice"]
        answers, why = bool(choice["own"]), str(choice["why"])
    except (OSError, ValueError, LookupError, TypeError):
        answers, why = False, "its report does not compare them"
    name = f"{newest.parent.name}/{newest.name}"
    return (newest, f"your newest one: {why}") if answers else (bundled, f"bundled model rather than {name}: {why}")
