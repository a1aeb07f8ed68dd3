"""What a script imports first: Ctrl-C while it imports the rest is one line, not a traceback."""

import os
import signal

EXIT_CODE = 130


def end_quietly() -> None:
    """End at Ctrl-C until a :class:`deepfake_audio.interrupts.Watch` begins: nothing is there that could be kept.

    Who was started to ignore it, as shells start what runs in the background, goes on doing so.
    """
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, end)


def end(*_) -> None:
    """Say so and end."""
    os.write(2, b"Interrupted before anything began.\n")
    os._exit(EXIT_CODE)
