"""A decoder where no interpreter can be started: in a frozen program, whose executable is the program itself."""

from __future__ import annotations

import multiprocessing
import socket
import sys
from collections.abc import Callable


class Spawned:
    """A process that multiprocessing starts, with as much of :class:`subprocess.Popen` as a decoder needs.

    A frozen program calls ``multiprocessing.freeze_support()`` before anything else, as the scripts do.

    Parameters
    ----------
    serve : callable
        What the process does, a function of a module; it is given a stream of requests and one for its answers.
    """

    def __init__(self, serve: Callable):
        # An interpreter that is part of another program does not know how to start itself.
        context = multiprocessing.get_context("spawn" if sys.executable else "fork")
        ours, theirs = socket.socketpair()
        not_theirs = None if sys.executable else ours
        self._process = context.Process(target=_serve, args=(serve, theirs, not_theirs), daemon=True)
        self._process.start()
        theirs.close()
        self.pid, self.stdin, self.stdout = self._process.pid, ours.makefile("wb"), ours.makefile("rb")
        ours.close()  # as soon as the streams are

    def poll(self) -> int | None:
        """Return how the process ended, None while it runs."""
        return self._process.exitcode

    def kill(self) -> None:
        """End the process."""
        self._process.kill()

    def wait(self) -> int | None:
        """Return how the process ended, as soon as it has."""
        self._process.join()
        return self._process.exitcode


def _serve(serve: Callable, connection: socket.socket, not_ours: socket.socket | None) -> None:
    if not_ours is not None:
        not_ours.close()
    serve(connection.makefile("rb"), connection.makefile("wb"))
