"""The folder of one training run: what it holds, and which one an interrupted training goes on in."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
from collections.abc import Sequence
from pathlib import Path

from ..errors import RunError
from ..files import InUse, Lock, atomic_path, remove_leftovers, remove_leftovers_below
from ..model.checkpoint import MODEL
from ..settings import Settings, from_dict, to_dict
from ..version import __version__

RECORD = "run.json"
LOCK = "in-use.lock"
REPORT = "metrics.json"
"""Written last: with it, a run is finished."""
STATES = ("best.keras", "last.keras", "rolled-up.keras")
"""What only a run needs that is not finished."""


def new_folder(outputs: Path, kind: str) -> Path:
    """Make ``outputs/KIND-DATE-TIME``, with a number behind it where two start in the same second; or RunError."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    for attempt in range(100):
        folder = outputs / (f"{kind}-{stamp}" + (f"-{attempt}" if attempt else ""))
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            if not folder.is_dir():
                break
        except OSError as error:
            raise RunError(f"No folder can be made in {outputs} ({error.strerror}); give another --outputs.") from error
    raise RunError(f"No folder can be made in {outputs}, which is in the way; give another --outputs.")


@dataclasses.dataclass
class Run:
    """A folder ``outputs/run-DATE-TIME`` and the settings that fill it, for one process at a time.

    Dataset folders in `data` are empty for the default; `manifest` is the fingerprint of the split that it was started
    with, empty where nobody took it; `init_from` is the checkpoint whose weights it was started with.

    Raises
    ------
    RunError
        If another process is at work in the folder.
    """

    folder: Path
    settings: Settings
    data: Sequence[Path]
    manifest: str = ""
    init_from: Path | None = None

    def __post_init__(self):
        try:
            self._lock = Lock(self.folder / LOCK)
        except InUse as error:
            raise RunError(
                f"{self.folder} is being trained by another process: wait for its end, or give another --outputs."
            ) from error
        remove_leftovers_below(self.folder)

    @property
    def model(self) -> Path:
        """The checkpoint that the run ends with."""
        return self.folder / MODEL

    @classmethod
    def start(
        cls,
        outputs: Path,
        settings: Settings,
        data: Sequence[Path],
        manifest: str = "",
        init_from: Path | None = None,
    ) -> Run:
        """Make a new folder and record the settings in it."""
        _remove_stillborn(outputs)
        run = cls(new_folder(outputs, "run"), settings, data, manifest, init_from and init_from.resolve())
        # Resolved: the run may be resumed from another working directory.
        folders = [str(Path(path).resolve()) for path in data]
        record = {"settings": to_dict(settings), "data": folders, "manifest": manifest, "version": __version__}
        record["init_from"] = str(run.init_from) if init_from else None
        try:
            with atomic_path(run.folder / RECORD) as temporary:
                temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
        except BaseException:
            run.discard()
            raise
        return run

    @classmethod
    def at(cls, folder: Path, settings: Settings) -> Run:
        """Begin a run in a folder of its own, or go on there."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder, settings, ())

    @classmethod
    def interrupted(cls, outputs: Path) -> Run | None:
        """Return the newest run under `outputs` that is not finished, if there is one."""
        _remove_stillborn(outputs)
        for folder in _recorded(outputs):
            if (folder / REPORT).is_file():
                continue
            try:
                record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
                if isinstance(record, dict) and record.get("version") != __version__:
                    raise RunError(
                        f"{folder} was begun by another version of this program ({record.get('version')!r}, and this "
                        f"is {__version__!r}): go on with that one, or start without --resume."
                    )
                settings = from_dict(Settings, record["settings"])
                data = [Path(path) for path in record["data"]]
                init_from = record["init_from"] and Path(record["init_from"])
                run = cls(folder, settings, data, record["manifest"], init_from)
            except (ValueError, KeyError, TypeError) as error:
                raise RunError(
                    f"{folder / RECORD} cannot be read ({error}); delete {folder} or start without --resume."
                ) from error
            # Again: whoever had the lock may have finished it.
            if not (folder / REPORT).is_file():
                return run
            run.tidy()
        return None

    def tidy(self) -> None:
        """Remove what only an interrupted run needs: the states of training."""
        _remove_states(self.folder)
        self.release()

    def discard(self) -> None:
        """Undo :meth:`start`, as long as nothing else is in the folder."""
        if not {path.name for path in self.folder.iterdir()} - {RECORD, LOCK}:
            with contextlib.suppress(OSError):  # what is left of it is not taken for a run
                (self.folder / RECORD).unlink(missing_ok=True)
        self.release()
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def release(self) -> None:
        """Let other processes go on with it; the end of this process does so, too."""
        self._lock.release()


def tidy_finished(outputs: Path) -> Path | None:
    """Return the newest run under `outputs` if it was killed when all but :meth:`Run.tidy` was done, and do that."""
    for folder in _recorded(outputs)[:1]:
        if (folder / REPORT).is_file() and any((folder / name).is_file() for name in (LOCK, *STATES)):
            with contextlib.suppress(InUse):  # it does so by itself
                lock = Lock(folder / LOCK)
                _remove_states(folder)
                lock.release()
            return folder
    return None


def _remove_states(folder: Path) -> None:
    for name in STATES:
        (folder / name).unlink(missing_ok=True)


def _recorded(outputs: Path) -> list[Path]:
    """Return the folders of runs, the newest first."""
    return [folder for folder in sorted(outputs.glob("run-*"), reverse=True) if (folder / RECORD).is_file()]


def _remove_stillborn(outputs: Path) -> None:
    """Remove the folders of runs that were killed before they had recorded anything."""
    for folder in outputs.glob("run-*"):
        if folder.is_dir() and not (folder / RECORD).is_file():
            with contextlib.suppress(InUse, OSError):
                lock = Lock(folder / LOCK)
                remove_leftovers(folder / RECORD)
                lock.release()
                folder.rmdir()  # unless somebody keeps something there
