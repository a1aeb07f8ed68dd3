"""Running the two scripts as a user does."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
STARTER = HERE / "data" / "starter"
TRAIN, JUDGE = HERE / "CNNRNNLSTM.py", HERE / "script.py"
ENVIRONMENT = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": "Agg"}


def python(*arguments, cwd=HERE, timeout=600, encoding="utf-8", **environment):
    """Run a script to its end."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        encoding=encoding,
        cwd=cwd,
        timeout=timeout,
        env=ENVIRONMENT | {"PYTHONIOENCODING": encoding} | environment,
    )


def only(folder, pattern):
    """Return the one path that fits."""
    found = sorted(folder.glob(pattern))
    assert len(found) == 1, f"{pattern}: {found}"
    return found[0]
