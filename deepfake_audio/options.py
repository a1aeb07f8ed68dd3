"""What can be typed behind the two scripts; nothing heavy is imported before it is understood."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import ipaddress
import itertools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import console, interrupts, places, typed
from .answers.formats import FORMATS
from .errors import DeepfakeAudioError, in_short
from .settings import OPERATING_POINT, OPERATING_POINTS, Settings, changed, from_dict, to_dict
from .text import clean
from .version import __version__

if TYPE_CHECKING:
    from .model.checkpoint import Checkpoint

VERSION = f"deepfake-audio {__version__}"

MOST_JOBS = 64

THIS_COMPUTER, PORT = "127.0.0.1", 7860
"""Where the page in the browser listens."""

LOGIN_VARIABLE = "DEEPFAKE_AUDIO_LOGIN"


def judging(argv: Sequence[str] | None, outputs: Path) -> argparse.Namespace:
    """Understand the command line of script.py; recordings of the microphone go to `outputs` if not elsewhere."""
    parser = argparse.ArgumentParser(description="Tell Real, Fake and Hybrid speech apart, with time stamps.")
    add = parser.add_argument
    add("paths", nargs="*", type=typed.unquoted, metavar="PATH",
        help="recordings, folders, patterns like *.mp3, - for a pipe; none: listen to the microphone")  # fmt: skip
    add("--model", type=typed.path, metavar="FILE",
        help="checkpoint, or the folder of a run (default: your newest, else the bundled model)")  # fmt: skip
    add("--json", action="store_true", help="one JSON object per file and line, nothing else")
    add("--quiet", action="store_true", help="one word per file: the verdict, or Error")
    for kind in FORMATS:
        parse = typed.written_as(kind.suffix, kind.what, kind.others)
        add(f"--{kind.name}", type=parse, metavar="DIR" if kind.folder else "FILE", help=kind.help)
    add("--engine", choices=("onnx", "keras"), default="onnx",
        help="what runs the network: onnxruntime, which starts faster, or Keras (default: %(default)s)")  # fmt: skip
    add("--jobs", type=typed.whole_number(1, MOST_JOBS), metavar="N", default=min(4, os.cpu_count() or 1),
        help="processor cores to keep busy (default: %(default)s)")  # fmt: skip
    add("--dask", metavar="ADDRESS", help="scheduler of a Dask cluster that judges the recordings")
    add("--threshold", type=typed.number(0, 1, "a number", ends=False), metavar="P",
        help="call Fake or Hybrid whatever is not Real with probability P or more; prints what that costs")  # fmt: skip
    add("--operating-point", type=int, choices=OPERATING_POINTS,
        help=f"percent of real recordings that may come out Fake or Hybrid (default: {OPERATING_POINT})")  # fmt: skip
    add("--seconds", type=typed.number(0.3, 36_000, "a number of seconds"), metavar="N",
        help="listen to the microphone for N seconds instead of until Ctrl-C")  # fmt: skip
    add("--device", metavar="NAME", help="microphone: its number, or part of its name")
    add("--list-devices", action="store_true", help="list the microphones")
    add("--web", action="store_true", help="open a page in the browser: drop recordings there, or speak")
    add("--port", type=typed.whole_number(1, 65_535), metavar="N", help=f"of that page (default: {PORT})")
    add("--host", metavar="ADDRESS",
        help=f"where that page listens (default: {THIS_COMPUTER}); for other computers only with --login")  # fmt: skip
    add("--login", metavar="NAME:PASSWORD", default=os.environ.get(LOGIN_VARIABLE),
        help=f"who may open that page; no list of processes shows it in the variable {LOGIN_VARIABLE}")  # fmt: skip
    add("--version", action="version", version=VERSION)
    add("--outputs", type=typed.path, metavar="DIR", default=outputs, help="where recordings go (default: outputs/)")
    arguments = parser.parse_args(argv)
    typed_files = {kind.name: getattr(arguments, kind.name) for kind in FORMATS}
    arguments.files = {name: path for name, path in typed_files.items() if path}
    _check_page(parser, arguments)
    microphone = arguments.seconds or arguments.device or arguments.list_devices
    for refused, why in (
        (arguments.paths and microphone, "--seconds, --device and --list-devices are for the microphone: give no PATH"),
        (arguments.dask and not arguments.paths, "--dask is for recordings: name a PATH"),
        (arguments.threshold and arguments.operating_point, "--threshold replaces --operating-point: give one of them"),
        (arguments.dask and "-" in arguments.paths, "a pipe ends on this computer, so --dask does not go with -"),
        (arguments.json and arguments.quiet, "--json and --quiet contradict each other"),
    ):
        if refused:
            parser.error(why)
    arguments.operating_point = arguments.operating_point or OPERATING_POINT
    return arguments


def _check_page(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse what does not go with a page in the browser, and one that is open to everybody."""
    if not arguments.web:
        if arguments.host is not None or arguments.port is not None:
            parser.error("--host and --port are for the page in the browser: give --web with them")
        return
    others = ("paths", "json", "quiet", "files", "dask", "seconds", "device", "list_devices")
    if any(getattr(arguments, name) for name in others):
        parser.error("--web judges what is dropped on its page and offers report and JSON there: leave PATH, files "
                     "to write, --dask and the microphone's options out")  # fmt: skip
    arguments.host, arguments.port = arguments.host or THIS_COMPUTER, arguments.port or PORT
    if arguments.login is not None:
        name, _, password = arguments.login.partition(":")
        if not (name and password):  # which are not repeated
            parser.error(f"--login, or the variable {LOGIN_VARIABLE}, is not NAME:PASSWORD")
    elif not _is_this_computer(arguments.host):
        parser.error(f"--host {clean(arguments.host)} lets other computers in: say who may, with --login NAME:PASSWORD")


def _is_this_computer(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def training(argv: Sequence[str] | None, outputs: Path) -> argparse.Namespace:
    """Understand the command line of CNNRNNLSTM.py; runs are kept in `outputs` unless another folder is named."""
    defaults = Settings().training
    parser = argparse.ArgumentParser(description="Train and report a detector of Real, Fake and Hybrid speech.")
    add = parser.add_argument
    add("folders", nargs="*", type=typed.path, metavar="DIR", help="the same as --data DIR")
    add("--data", type=typed.path, nargs="+", metavar="DIR", default=[], help="dataset folders (default: data/)")
    add("--kaggle", type=typed.kaggle_name, nargs="+", metavar="OWNER/NAME", help="datasets from Kaggle")
    add("--label", type=typed.label, action="append", default=[], metavar="NAME=CLASS",
        help="what the folders or table labels of that name are: real, fake or hybrid (repeatable)")  # fmt: skip
    add("--allow-conflicts", action="store_true", help="go on, whatever share of the clips stands under two labels")
    add("--outputs", type=typed.path, default=outputs, metavar="DIR", help="where runs are kept")
    add("--cache", type=typed.path, metavar="DIR", help="where features are kept (default: OUTPUTS/features)")
    add("--epochs", type=typed.setting("epochs"), metavar="N", help=f"default {defaults.epochs}")
    add("--batch-size", type=typed.setting("batch_size"), metavar="N", help=f"default {defaults.batch_size}")
    add("--seed", type=typed.setting("seed"), metavar="N", help=f"default {defaults.seed}")
    add("--set", action="append", default=[], dest="changes", metavar="GROUP.NAME=VALUE",
        help="change a setting; may be given again and again")  # fmt: skip
    add("--settings", type=typed.path, metavar="FILE", help="start from the settings.json of a run")
    add("--list-settings", action="store_true", help="show every setting with its value, bounds and meaning")
    add("--jobs", type=typed.whole_number(1, MOST_JOBS), metavar="N", default=2,
        help="threads that decode and compute features (default: %(default)s)")  # fmt: skip
    add("--dask", metavar="ADDRESS", help="scheduler of a Dask cluster that computes the features")
    add("--version", action="version", version=VERSION)
    add("--init-from", type=typed.path, metavar="CHECKPOINT", help="go on from a trained network's weights")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--resume", action="store_true", help="go on with the interrupted run in --outputs")
    mode.add_argument("--check-data", action="store_true", help="tell what is there, train nothing")
    mode.add_argument("--folds", type=typed.whole_number(2, 100), metavar="N",
        help="judge every source by one of N networks that have not seen it")  # fmt: skip
    mode.add_argument("--evaluate", type=typed.path, metavar="CHECKPOINT", help="report a checkpoint, train nothing")
    add("--ship", type=typed.path, metavar="DIR", help="with --folds: then train on all sources, into this folder")
    add("--remarks", type=typed.path, metavar="FILE", help="with --ship: Markdown for its model card")
    add("--decode-all", action="store_true", help="with --check-data: decode every recording, not only a sample")
    add("--json", action="store_true", help="with --check-data: one JSON object")
    arguments = parser.parse_args(argv)
    if (arguments.json or arguments.decode_all) and not arguments.check_data:
        parser.error("--json and --decode-all go with --check-data")
    if (arguments.ship and not arguments.folds) or (arguments.remarks and not arguments.ship):
        parser.error("--ship goes with --folds, and --remarks with --ship")
    if arguments.dask and arguments.check_data:
        parser.error("--dask computes features, which --check-data does not need")
    if arguments.init_from and (arguments.resume or arguments.evaluate or arguments.folds):
        parser.error("--init-from starts a new training; it does not go with --resume, --evaluate or --folds")
    arguments.data = [*arguments.folders, *arguments.data]
    if (arguments.changes or arguments.settings) and (arguments.resume or arguments.evaluate):
        parser.error("--set and --settings are for a new run: --resume and --evaluate have settings of their own")
    fixed = [change for change in _changes(arguments) if change.partition(".")[0] in OF_THE_CHECKPOINT]
    if arguments.init_from and fixed:
        parser.error(f"{fixed[0]} cannot be changed: the features, windows and network of --init-from are its own")
    try:
        arguments.base = read_settings(arguments.settings) if arguments.settings else Settings()
        settings_of(arguments)
    except ValueError as error:
        parser.error(clean(error))
    arguments.cache = arguments.cache or arguments.outputs / "features"
    return arguments


OF_THE_CHECKPOINT = ("features", "window", "network")
"""Settings that a training takes from the checkpoint that it starts from."""


def settings_of(arguments: argparse.Namespace, base: Checkpoint | None = None) -> Settings:
    """Return the settings of a new run: those of a file, then of the checkpoint that it starts from, then as typed."""
    settings = base.to_go_on_from(arguments.base) if base else arguments.base
    return changed(settings, _changes(arguments))


def _changes(arguments: argparse.Namespace) -> list[str]:
    short = {name: getattr(arguments, name) for name in ("epochs", "batch_size", "seed")}
    return [f"training.{name}={value}" for name, value in short.items() if value is not None] + arguments.changes


def differences(settings: Settings, base: Settings | None = None) -> list[str]:
    """Return the changes that make `settings` of `base`, the defaults if None; calibration is left to the training."""
    values, others = to_dict(settings), to_dict(base or Settings())
    return [
        f"{group}.{name}={json.dumps(value, separators=(',', ':'))}"
        for group, part in values.items()
        for name, value in part.items()
        if group != "decision" and value != others[group][name]
    ]


def read_settings(path: Path) -> Settings:
    """Return the settings that a run left in its ``settings.json``.

    Raises
    ------
    ValueError
        When the file cannot be read, or comes from a version with other settings.
    """
    try:
        return from_dict(Settings, json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); name the settings.json of a run") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} does not hold the settings of this version ({in_short(error)}); take another, or --set "
            "what differs from the defaults"
        ) from error


def listing(settings: Settings) -> list[str]:
    """Return for every setting what can be typed behind ``--set``, its bounds, and what it means, two lines each."""
    lines = []
    for group in dataclasses.fields(settings):
        part, about = getattr(settings, group.name), _docstrings(type(group.default))
        for field in dataclasses.fields(part):
            value = json.dumps(getattr(part, field.name), separators=(",", ":"))
            least, most = field.metadata.get("within", (None, None))
            bounds = "true or false" if least is None else f"{least:g} to {most:g}"
            lines.append(f"{group.name}.{field.name}={value}  ({bounds})")
            if field.name in about:
                lines.append(f"    {about[field.name]}")
    return lines


def _docstrings(kind: type) -> dict[str, str]:
    """Return what stands below the fields of a class, in its source: Python keeps only the docstring of the class."""
    body = ast.parse(inspect.getsource(kind)).body[0].body
    return {
        field.target.id: " ".join(below.value.value.split())
        for field, below in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr)
    }


def again(arguments: argparse.Namespace, settings: Settings, base: Checkpoint | None = None) -> str:
    """Return the command that trains the same network again."""
    words = [*places.TRAIN.split(), *(["--data", *arguments.data] if arguments.data else [])]
    words += ["--init-from", arguments.init_from] if base else []
    words += ["--folds", arguments.folds] if arguments.folds else []
    words += ["--ship", arguments.ship] if arguments.ship else []
    own = base.to_go_on_from(Settings()) if base else Settings()
    words += [word for change in differences(settings, own) for word in ("--set", change)]
    return console.command_line(words + _label_words(arguments))


def go_on(arguments: argparse.Namespace) -> str:
    """Name the command that goes on where a run stopped."""
    words = [*places.TRAIN.split(), "--resume", "--outputs", arguments.outputs]
    if arguments.cache != arguments.outputs / "features":
        words += ["--cache", arguments.cache]
    return f"go on with: {console.command_line(words + _label_words(arguments))}"


def _label_words(arguments: argparse.Namespace) -> list[str]:
    """Repeat what was said about labels."""
    words = ["--allow-conflicts"] if arguments.allow_conflicts else []
    return words + [word for name, label in arguments.label for word in ("--label", f"{name}={label.lower()}")]


def farewell(arguments: argparse.Namespace) -> str:
    """Say what Ctrl-C leaves behind when recordings are judged."""
    if not arguments.paths:
        return "Interrupted before anything was recorded."
    if table := arguments.files.get("csv"):
        return f"Interrupted; {clean(table)} keeps what was answered: the same command goes on there."
    return "Interrupted; the answers above stand (with --csv FILE, the same command goes on where it stopped)."


def run(work: Callable[[interrupts.Watch], int | None], farewell: str, go_on: str = "") -> int:
    """Do the work of a script and return its exit code: 0 fine, 1 something failed, 130 interrupted.

    `work` is given the watch over Ctrl-C, which says `farewell` unless its sentence is changed, and returns the exit
    code, or None for 0. `go_on` says what to do after a file could not be read or written.
    """
    try:
        with interrupts.Watch(farewell) as watch:
            return work(watch) or 0
        return interrupts.EXIT_CODE
    except DeepfakeAudioError as error:
        # Cleaned line by line, so that no name in one begins another.
        console.say("error: " + "\n".join(map(clean, error.args)))
    except BrokenPipeError:
        pass  # whoever read the results has stopped
    except OSError as error:
        where = error.filename or "A file"  # libraries do not always say which
        what = f"error: {where} cannot be read or written ({error.strerror or error})"
        console.say(clean(f"{what}; {go_on}" if go_on else f"{what}."))
    return 1
