"""Errors that a user can act on: what was wrong, the value, and what to do next."""


class DeepfakeAudioError(Exception):
    """Base of every error whose message is meant for the user: in one sentence, or in one argument per line."""

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class AudioError(DeepfakeAudioError):
    """A recording cannot be read, or holds nothing that could be judged."""


class CorpusError(DeepfakeAudioError):
    """A dataset folder cannot be used as it is."""


class CheckpointError(DeepfakeAudioError):
    """A file is not a checkpoint of this project, or not one that this version can read."""


class ExportError(DeepfakeAudioError):
    """The ONNX network of a checkpoint cannot be made or used."""


class RunError(DeepfakeAudioError):
    """A training run cannot be started, continued or reported."""


class DiskFullError(RunError):
    """There is no room left for what a run keeps."""


class OutputError(DeepfakeAudioError):
    """A file of answers cannot be written or continued."""


class MicrophoneError(DeepfakeAudioError):
    """There is no microphone that could be listened to, or it vanished."""


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """Somebody asked for the work to end."""


def in_short(value: object, most: int = 200) -> str:
    """Return text, of a library or of somebody else's file, in one line that is not too long for a sentence."""
    text = " ".join(str(value).split())
    return text if len(text) <= most else f"{text[:most]}..."
