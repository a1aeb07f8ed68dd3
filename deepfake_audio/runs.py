"""The folder of one training run: what it holds, and which one an interrupted training goes on in."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Sequence
from pathlib import Path

from .checkpoint import MODEL
from .errors import RunError
from .files import InUse, Lock, atomic_path, remove_leftovers_below
from .settings import Settings, from_dict, to_dict

RECORD = "run.json"
LOCK = "in-use.lock"


def new_folder(outputs: Path, kind: str) -> Path:
    """Make ``outputs/KIND-DATE-TIME``, with a number behind it where two start in the same second.

    Raises
    ------
    RunError
        If no folder can be made there.
    """
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

    Attributes
    ----------
    folder : Path
        The folder.
    settings : Settings
        What the run was started with.
    data : sequence of Path
        Dataset folders; empty for the default.
    manifest : str
        Fingerprint of the split that it was started with; empty where nobody took it.
    init_from : Path or None
        Checkpoint whose weights it was started with.

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
        folder = new_folder(outputs, "run")
        # Resolved: the run may be resumed from another working directory.
        folders = [str(Path(path).resolve()) for path in data]
        init_from = init_from and init_from.resolve()
        record = {"settings": to_dict(settings), "data": folders, "manifest": manifest}
        record["init_from"] = str(init_from) if init_from else None
        with atomic_path(folder / RECORD) as temporary:
            temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
        return cls(folder, settings, data, manifest, init_from)

    @classmethod
    def interrupted(cls, outputs: Path) -> Run | None:
        """Return the newest run under `outputs` that has no report yet, if there is one."""
        for folder in sorted(outputs.glob("run-*"), reverse=True):
            if (folder / RECORD).is_file() and not (folder / "metrics.json").is_file():
                try:
                    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
                    settings = from_dict(Settings, record["settings"])
                    data = [Path(path) for path in record["data"]]
                    init_from = record["init_from"] and Path(record["init_from"])
                    return cls(folder, settings, data, record["manifest"], init_from)
                except (ValueError, KeyError, TypeError) as error:
                    raise RunError(
                        f"{folder / RECORD} cannot be read ({error}); delete {folder} or start without --resume."
                    ) from error
        return None

    def tidy(self) -> None:
        """Remove what only an interrupted run needs: the states of training."""
        for name in ("best.keras", "last.keras", "rolled-up.keras"):
            (self.folder / name).unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Let other processes go on with it; the end of this process does so, too."""
        self._lock.release()
