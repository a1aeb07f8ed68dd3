"""A page in the browser, for who does not type commands: drop recordings or speak, read and keep the report.

The report is the one that ``--report`` writes, in a frame that cannot reach the page around it. What is uploaded stays
on this computer, in a folder that goes with the program; nothing is asked of another host, see `POLICY`.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import re
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from markupsafe import Markup

from .. import console, interrupts, places
from ..errors import OutputError
from ..features.draw import Glimpse
from ..judging import many
from ..judging.detector import Detector
from ..sound import decoders
from ..text import clean
from . import page
from .table import Summary
from .wording import LIMITS

HERE = Path(__file__).parent

MAJOR = "6"
"""Of Gradio."""

MOST_MEGABYTES = 500
"""Of one upload."""

MOST_WAITING = 32
"""Uploads in the queue; whoever comes later is told to try again."""

AT_ONCE = 2
"""Uploads that are judged at the same time: a long one does not keep a short one waiting."""

LOOPBACK = ("127.0.0.1", "localhost")

KEPT_SECONDS = 3600
"""After this long, uploads and reports are removed; at the end of the program all of them are."""

POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'self'"
)
"""What the browser may load for this page: nothing from another host."""

ELSEWHERE = re.compile(rb"<(link|meta)\b[^>]*https?://[^>]*>|<script\b[^>]*\bsrc=\"https?://[^>]*>\s*</script>")
"""What Gradio's own page asks of other hosts; connections that are only prepared escape every policy."""

EXAMPLES = {
    "real/librivox-sonnet-001.flac": "A person reads a poem",
    "real/ami-corpus-003.flac": "A person in a meeting",
    "fake/kokoro-82m-bf-emma-001.flac": "A machine (Kokoro)",
}
"""Clips of the starter corpus."""


def check(host: str, port: int) -> None:
    """Say what keeps the page from opening, before anything heavy is loaded, by an OutputError."""
    try:
        version = importlib.metadata.version("gradio")
    except importlib.metadata.PackageNotFoundError:
        raise OutputError(f"--web needs the package gradio: run '{places.how_to_install('web')}'.") from None
    if version.partition(".")[0] != MAJOR:
        raise OutputError(
            f"--web needs version {MAJOR} of the package gradio, not {version}: run '{places.how_to_install('web')}'."
        )
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            if os.name != "nt":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        raise OutputError(
            f"Nothing can listen at port {port} of {host} ({error.strerror or error}): name another --port, or --host."
        ) from error


def serve(detector: Detector, host: str, port: int, login: str | None, jobs: int) -> None:
    """Open the page and answer until Ctrl-C; OutputError if that fails.

    :func:`check` has seen `host` and `port`; `login` is ``NAME:PASSWORD`` of who may open the page; of one upload as
    many recordings as `jobs` are worked on at the same time.
    """
    with tempfile.TemporaryDirectory(prefix="deepfake-audio-", ignore_cleanup_errors=True) as folder:
        os.environ |= {
            "GRADIO_ANALYTICS_ENABLED": "False",
            "GRADIO_RUN_HISTORY": "False",  # in the browser, recordings included
            "GRADIO_TEMP_DIR": folder,
            "HF_HUB_OFFLINE": "1",
            "NO_PROXY": "*",  # it asks this computer whether it listens
            "no_proxy": "*",
        }
        import gradio
        from starlette.middleware import Middleware
        from starlette.middleware.trustedhost import TrustedHostMiddleware

        decoders.prepare()
        blocks = build(gradio, detector, jobs, Path(folder))
        middleware = [Middleware(OwnHostOnly)]
        if host in LOOPBACK:  # or any page could, by a name that its owner lets point to this computer
            middleware.append(Middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK]))
        with interrupts.expected(), contextlib.suppress(KeyboardInterrupt):
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            try:
                blocks.launch(
                    server_name=host,
                    server_port=port,
                    auth=tuple(login.split(":", 1)) if login else None,
                    theme=gradio.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
                    css=(HERE / "web.css").read_text(encoding="utf-8"),
                    head=f"<script>{(HERE / 'web.js').read_text(encoding='utf-8')}</script>",
                    max_file_size=MOST_MEGABYTES << 20,
                    footer_links=[],
                    ssr_mode=False,
                    mcp_server=False,
                    quiet=True,
                    inbrowser=_can_show(host),
                    prevent_thread_lock=True,
                    app_kwargs={"middleware": middleware},
                )
            except OSError as error:
                raise OutputError(f"The page cannot be opened at port {port} of {host} ({error}).") from error
            print(f"http://{f'[{host}]' if ':' in host else host}:{port}/", flush=True)
            if host not in (*LOOPBACK, "::1"):
                console.say("warning: recordings and password cross the network as they are, without encryption.")
            console.say("Open this address in a browser; Ctrl-C ends.")
            while True:
                time.sleep(60)
                remove_old(Path(folder), time.time() - KEPT_SECONDS)
        decoders.stop()
        blocks.close(verbose=False)
    console.say("\nEnded; what was uploaded is removed.")


def _can_show(host: str) -> bool:
    """Return whether somebody sits here before a screen."""
    screen = sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(host in LOOPBACK and sys.stderr.isatty() and screen)


def remove_old(folder: Path, before: float) -> None:
    """Remove files of a folder that were last written before a time, in seconds since 1970."""
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # another thread was faster
            if path.is_file() and path.stat().st_mtime < before:
                path.unlink()


class OwnHostOnly:
    """Takes out of Gradio's page what would be asked of other hosts, and forbids the rest; ASGI."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, body = None, b""

        async def send_clean(message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                headers = message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
                if any(name == b"content-type" and value.startswith(b"text/html") for name, value in headers):
                    start = message
                    return
            elif start is not None:
                body += message.get("body", b"")
                if message.get("more_body"):
                    return
                message["body"] = ELSEWHERE.sub(b"", body)
                kept = [(name, value) for name, value in start["headers"] if name != b"content-length"]
                await send(start | {"headers": [*kept, (b"content-length", str(len(message["body"])).encode())]})
            await send(message)

        await self.app(scope, receive, send_clean)


def build(gradio, detector: Detector, jobs: int, folder: Path):
    """Return the page as Blocks of the module `gradio`, which was imported after its environment was set."""
    with gradio.Blocks(title="Real, fake or hybrid speech?", analytics_enabled=False) as blocks:
        gradio.HTML(
            Markup("<h1>Real, fake or hybrid speech?</h1><p>{}</p>").format(
                "Drop recordings of speech, or speak. An answer proves nothing by itself: read the limits at the end "
                "before acting on it. Uploads are judged where this program runs and removed within an hour or so."
            )
        )
        with gradio.Tab("Recordings"):
            files = gradio.File(label="Recordings, any common format", file_count="multiple", elem_id="recordings")
        with gradio.Tab("Microphone"):
            voice = gradio.Audio(label="Speak", sources=["microphone"], type="filepath", elem_id="microphone")
            speak = gradio.Button("Judge what was recorded", elem_id="judge-voice")
        examples = {
            path: words for name, words in EXAMPLES.items() if (path := places.data() / "starter" / name).is_file()
        }
        with gradio.Row(visible=bool(examples)):
            buttons = {path: gradio.Button(words, size="sm") for path, words in examples.items()}
        told = gradio.HTML(elem_id="answer")
        with gradio.Row():
            report = gradio.DownloadButton("Report (HTML)", visible=False, elem_id="report")
            data = gradio.DownloadButton("Data (JSON)", visible=False, elem_id="data")
        with gradio.Accordion("Limits of the method", open=True):
            gradio.HTML(Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(x) for x in LIMITS)))

        def answer(names: Sequence[str] | str | None):
            paths = [Path(name) for name in ([names] if isinstance(names, str) else names or [])]
            if not paths:
                raise gradio.Error("There is nothing to judge yet: record something.", print_exception=False)
            shown, *written = judge(paths, detector, jobs, folder)
            buttons = (gradio.DownloadButton(value=str(path), visible=True) for path in written)
            return shown, *buttons

        how = {"outputs": [told, report, data], "concurrency_limit": AT_ONCE, "concurrency_id": "judge"}
        how |= {"api_visibility": "private", "show_progress_on": told}
        files.upload(answer, files, **how)
        speak.click(answer, voice, **how)
        for path, button in buttons.items():
            button.click(lambda path=path: answer(str(path)), None, **how)
    return blocks.queue(max_size=MOST_WAITING)


def judge(paths: Iterable[Path], detector: Detector, jobs: int, folder: Path) -> tuple[str, Path, Path]:
    """Judge what was uploaded at once.

    Returns HTML that tells it, with the report in a frame, then report and data as files in a new folder.
    """
    model, features = detector.model_info(), detector.settings.features
    place, summary, results = Path(tempfile.mkdtemp(dir=folder)), Summary(), []
    found = [(path, None) for path in paths]

    def one(path: Path) -> many.Answer:
        glimpse = Glimpse(features.sample_rate, features.hop_seconds, page.LISTEN_SECONDS)
        return many.answer(path, detector, model, glimpse)

    with page.Report(place / "report.html", detector.settings, model) as report:
        for (path, _), told in zip(found, many.answer_all(found, one, model, jobs), strict=True):
            result = told.result | {"path": path.name}  # where it lies meanwhile is of no interest
            if result["error"]:
                result["error"] = result["error"].replace(str(path), path.name)
            summary.add(result)
            report.add(result, told.glimpse)
            results.append(result)
    data = place / ("answer.json" if len(results) == 1 else "answers.jsonl")
    data.write_text("".join(f"{json.dumps(result)}\n" for result in results), encoding="utf-8")
    words = results[0]["verdict"] or results[0]["error"]
    if len(results) > 1:
        words = f"{len(results)} recordings: " + ", ".join(f"{n} {v}" for v, n in summary.files.items())
    frame = '<p role="status">{}</p><iframe class="report" title="Report" sandbox="allow-scripts" srcdoc="{}"></iframe>'
    text = (place / "report.html").read_text(encoding="utf-8")
    return str(Markup(frame).format(clean(words), text)), place / "report.html", data
