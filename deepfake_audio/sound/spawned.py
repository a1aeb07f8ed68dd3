"""A decoder where no interpreter can be started: in a frozen program, whose executable is the program itself."""

from __future__ import annotations

import io
import multiprocessing
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
        ours, theirs = context.Pipe()
        not_theirs = None if sys.executable else ours
        self._process = context.Process(target=_serve, args=(serve, theirs, not_theirs), daemon=True)
        self._process.start()
        theirs.close()
        self.pid, self.stdin = self._process.pid, Messages(ours)
        self.stdout = io.BufferedReader(self.stdin)

    def poll(self) -> int | None:
        """Return how the process ended, None while it runs."""
        return self._process.exitcode

    def wait(self) -> int:
        """Return how the process ended, as soon as it has."""
        self._process.join()
        return self._process.exitcode

    def kill(self) -> None:
        """End the process."""
        self._process.kill()


class Messages(io.RawIOBase):
    """A binary stream through a connection of multiprocessing."""

    def __init__(self, connection):
        self._connection, self._left = connection, memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer) -> int:
        """Fill a buffer with what has come; 0 when the other end is closed."""
        try:
            while not self._left:
                self._left = memoryview(self._connection.recv_bytes())
        except (EOFError, OSError):
            return 0
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def write(self, data) -> int:
        """Send all of it."""
        if len(data):
            self._connection.send_bytes(data)
        return len(data)

    def close(self) -> None:
        """Close the connection."""
        if not self.closed:
            self._connection.close()
            super().close()


def _serve(serve: Callable, connection, not_ours) -> None:
    if not_ours is not None:
        not_ours.close()
    messages = Messages(connection)
    serve(io.BufferedReader(messages), messages)
