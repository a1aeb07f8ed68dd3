"""Where things lie, and what is typed to start or to install them: in a checkout, or in an installed wheel."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
CHECKOUT = PACKAGE.parent if (PACKAGE.parent / "CNNRNNLSTM.py").is_file() else None
"""The repository; None where the package was installed: scripts and bundled model lie within it then."""

JUDGE = "python script.py" if CHECKOUT else "deepfake-audio"
TRAIN = "python CNNRNNLSTM.py" if CHECKOUT else "deepfake-audio-train"

OPTIONAL = {"web": "gradio>=6,<7", "dask": "distributed>=2025.1,<2027", "kaggle": "kagglehub>=1.0.2,<2"}
"""Extras that requirements.txt leaves out."""


def bundled() -> Path:
    """Return the bundled model."""
    return (CHECKOUT / "outputs" if CHECKOUT else PACKAGE) / "pretrained" / "model.keras"


def outputs() -> Path:
    """Return the folder of runs and recordings, unless another one is named."""
    return (CHECKOUT or Path.cwd()) / "outputs"


def data() -> Path:
    """Return the folder of datasets, unless others are named."""
    return (CHECKOUT or Path.cwd()) / "data"


def how_to_install(extra: str = "") -> str:
    """Return the command that installs what an extra of the wheel needs; without one, what everything needs."""
    if not CHECKOUT:
        return f'pip install "deepfake-audio[{extra}]"' if extra else "pip install --force-reinstall deepfake-audio"
    return f'pip install "{OPTIONAL[extra]}"' if extra in OPTIONAL else "pip install -r requirements.txt"
