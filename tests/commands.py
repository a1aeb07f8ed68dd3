"""Running the two scripts as a user does."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
STARTER = HERE / "data" / "starter"
TRAIN, JUDGE = HERE / "CNNRNNLSTM.py", HERE / "script.py"
ENVIRONMENT = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": "Agg"}


def python(*arguments, cwd=HERE, timeout=600, encoding="utf-8", before=(), **environment):
    """Run a script to its end; `before` it may stand a command that runs others."""
    return subprocess.run(
        [*before, sys.executable, *map(str, arguments)],
        capture_output=True,
        encoding=encoding,
        cwd=cwd,
        timeout=timeout,
        env=ENVIRONMENT | {"PYTHONIOENCODING": encoding} | environment,
    )


CUT_OFF = ("unshare", "--net", "--map-root-user")
PROBE = "import socket; socket.create_connection(('127.0.0.1', 9), 1)"


@functools.cache
def cut_off() -> tuple[str, ...]:
    """Return what runs a command without network, or nothing where that cannot be had."""
    if not shutil.which(CUT_OFF[0]) or subprocess.run([*CUT_OFF, "true"], capture_output=True, check=False).returncode:
        return ()
    told = python("-c", PROBE, before=CUT_OFF).stderr
    return CUT_OFF if "unreachable" in told else ()  # not even this computer itself


def only(folder, pattern):
    """Return the one path that fits."""
    found = sorted(folder.glob(pattern))
    assert len(found) == 1, f"{pattern}: {found}"
    return found[0]
