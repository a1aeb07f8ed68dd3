"""CNNRNNLSTM.py with the network and the settings of `tiny`: the same story in seconds.

python tests/tiny_training.py --data DIR --outputs DIR
"""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from deepfake_audio import early  # noqa: E402 - after the path to what it imports

if __name__ == "__main__":
    early.end_quietly()

import tiny  # noqa: E402

import CNNRNNLSTM  # noqa: E402
from deepfake_audio import options  # noqa: E402

if __name__ == "__main__":
    options.Settings = tiny.settings
    sys.exit(CNNRNNLSTM.main())
