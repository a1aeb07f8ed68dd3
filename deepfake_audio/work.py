"""Work on more than one machine: joblib's own Dask backend, for as long as a block lasts.

The workers run the same code on the same files: they are started in the folder of the project, with its requirements
installed, and see recordings and checkpoints under the same paths.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar

from .console import progress
from .errors import RunError
from .places import how_to_install

CONNECT_SECONDS = 10
ANSWER_SECONDS = 900.0
"""When no worker has handed over the next result for so long, all of them are gone, or it killed each that tried."""

_patience: ContextVar[float | None] = ContextVar("patience", default=None)


def in_parallel(function: Callable, rows: Iterable[tuple], jobs: int, label: str = "") -> Iterator:
    """Yield what a function returns for each row of arguments, in their order.

    Parameters
    ----------
    function : callable
        Inside a :func:`cluster` block it and its arguments travel to the workers.
    rows : iterable of tuple
        The arguments of each call.
    jobs : int
        Threads, outside such a block.
    label : str
        What goes on, for a bar that shows how far it is; none without it. `rows` has a length then.
    """
    from joblib import Parallel, delayed

    workers = Parallel(n_jobs=jobs, prefer="threads", return_as="generator", timeout=_patience.get())
    results = workers(delayed(function)(*row) for row in rows)
    return _shown(results, progress(label), len(rows)) if label else results


def _shown(results: Iterable, show: Callable[[int, int], None], wanted: int) -> Iterator:
    for done, result in enumerate(results, 1):
        show(done, wanted)
        yield result


@contextlib.contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Send what joblib runs in parallel inside the block to a Dask cluster.

    Parameters
    ----------
    address : str or None
        Of the scheduler, such as ``tcp://10.0.0.1:8786``; None leaves the work on this machine.

    Raises
    ------
    RunError
        If Dask is missing, no scheduler or no worker answers, or the workers lack this package.
    """
    if address is None:
        yield
        return
    try:
        from dask.distributed import Client
    except ImportError as error:
        what = f"run '{how_to_install('dask')}', or leave --dask out."
        raise RunError(f"--dask needs the package distributed: {what}") from error
    from joblib import parallel_config

    try:
        asyncio.run(_reach(address))  # a client that fails to connect would go on complaining until the end
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RunError(f"No Dask scheduler answers at {address} ({reason}); start one, or leave --dask out.") from error
    with client:
        try:
            ready = client.run(_ready)
        except Exception as error:  # whatever the worker's Python says
            raise RunError(
                f"The workers of {address} cannot use this project ({error}); start them in its folder, with its "
                "requirements installed."
            ) from error
        if not ready:
            raise RunError(
                f"The Dask scheduler at {address} has no workers; start some in the folder of the project: "
                f"python -m dask worker {address}"
            )
        before = _patience.set(ANSWER_SECONDS)
        try:
            with parallel_config(backend="dask", client=client):
                yield
        except (multiprocessing.TimeoutError, TimeoutError) as error:
            raise RunError(
                f"The workers of {address} do not answer any more; look after them and start the same command again: "
                "what was finished is kept."
            ) from error
        finally:
            _patience.reset(before)


async def _reach(address: str) -> None:
    from distributed.comm import connect

    comm = await connect(address, timeout=CONNECT_SECONDS)
    await comm.close()


def _ready() -> bool:
    """Import on a worker what the work needs, besides this package."""
    import onnxruntime
    import soundfile
    import soxr

    return bool(onnxruntime and soundfile and soxr)
