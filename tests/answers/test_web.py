"""The page in the browser: what is refused, and, where Gradio and Chromium are installed, the page itself."""

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
from commands import ENVIRONMENT, HERE, JUDGE, STARTER

from deepfake_audio import options
from deepfake_audio.answers import web
from deepfake_audio.errors import OutputError

CLIP, VOICE = STARTER / "fake" / "kokoro-82m-bf-emma-001.flac", STARTER / "real" / "ami-corpus-003.flac"
HOSTILE = '"><img src=x onerror=alert(1)>${alert(2)}{{3}} 录音.flac'


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["--web", "a.wav"], "leave PATH, files to write"),
        (["--web", "--json"], "leave PATH, files to write"),
        (["--port", "80"], "give --web with them"),
        (["--web", "--port", "65536"], "'65536' is not a whole number from 1 to 65535"),
        (["--web", "--host", "0.0.0.0"], "say who may, with --login NAME:PASSWORD"),
        (["--web", "--host", "my-laptop"], "say who may, with --login NAME:PASSWORD"),
        (["--web", "--login", "secret"], "is not NAME:PASSWORD"),
    ],
)
def test_what_does_not_go_with_a_page_is_exit_code_2_in_one_sentence(typed, words, capsys, monkeypatch):
    monkeypatch.delenv(options.LOGIN_VARIABLE, raising=False)
    with pytest.raises(SystemExit) as caught:
        options.judging(typed, HERE)
    told = capsys.readouterr().err.splitlines()[-1]
    assert caught.value.code == 2 and words in told and "secret" not in told


def test_other_computers_come_in_with_a_login_only(monkeypatch):
    for host in ("127.0.0.1", "localhost", "::1"):
        assert options.judging(["--web", "--host", host], HERE).port == 7860
    assert options.judging(["--web", "--host", "0.0.0.0", "--login", "me:a:b"], HERE).login == "me:a:b"
    monkeypatch.setenv(options.LOGIN_VARIABLE, "me:it")
    assert options.judging(["--web", "--host", "0.0.0.0"], HERE).login == "me:it"


def test_a_missing_or_other_gradio_is_one_sentence(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(OutputError, match="needs the package gradio: run 'pip install"):
        web.check("127.0.0.1", 7860)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "5.49.1")
    with pytest.raises(OutputError, match=r"needs version 6 of the package gradio, not 5\.49\.1: run 'pip install"):
        web.check("127.0.0.1", 7860)


def test_a_port_in_use_is_one_sentence(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "6.0.0")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(OutputError, match=f"Nothing can listen at port {port} of 127.0.0.1 .*another --port"):
            web.check("127.0.0.1", port)
    web.check("127.0.0.1", port)


def test_only_what_is_old_is_removed(tmp_path):
    for name, age in (("old", 100), ("new", 1)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "clip.wav").touch()
        os.utime(tmp_path / name / "clip.wav", (time.time() - age,) * 2)
    web.remove_old(tmp_path, time.time() - 50)
    assert [path.parent.name for path in tmp_path.rglob("*.wav")] == ["new"]


# In a browser


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Address of a page that runs, and the folder of its temporary files."""
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("Gradio is not installed")
    folder = tmp_path_factory.mktemp("temporary")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = ENVIRONMENT | {"TMPDIR": str(folder), "TEMP": str(folder), "HTTP_PROXY": "http://127.0.0.1:9"}
    command = [sys.executable, str(JUDGE), "--web", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=HERE, env=environment, encoding="utf-8") as server:
        killer = threading.Timer(120, server.kill)
        killer.start()
        assert server.stdout.readline() == f"http://127.0.0.1:{port}/\n"
        yield f"http://127.0.0.1:{port}/", folder
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0 and not list(folder.glob("deepfake-audio-*")), "recordings stay behind"
        killer.cancel()


@pytest.fixture(scope="module")
def browser(served, tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    program, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not (program and driver):
        pytest.skip("Chromium and its driver are not installed")
    import soundfile

    wav = tmp_path_factory.mktemp("microphone") / "voice.wav"
    soundfile.write(wav, *soundfile.read(VOICE), subtype="PCM_16")
    chrome = webdriver.ChromeOptions()
    chrome.binary_location = program
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio", "--disable-dev-shm-usage"),
        *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--no-proxy-server"),
        f"--use-file-for-fake-audio-capture={wav}",
    ):
        chrome.add_argument(argument)
    chrome.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=chrome, service=webdriver.ChromeService(driver))
    yield started
    started.quit()


def wait(browser, what, seconds=40):
    """Return the first of what a function finds that is true."""
    from selenium.common.exceptions import WebDriverException

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := what():
                return found
        except WebDriverException:
            pass  # Gradio builds its page anew
        time.sleep(0.1)
    raise AssertionError(browser.find_element("css selector", "body").text)


def one(browser, selector):
    return wait(browser, lambda: browser.find_element("css selector", selector))


def upload(browser, *paths):
    one(browser, "#recordings input[type=file]").send_keys("\n".join(map(str, paths)))


def frame(browser):
    """Go into the frame of the report."""
    wait(browser, lambda: browser.find_element("css selector", "#answer iframe"))
    browser.switch_to.frame(browser.find_element("css selector", "#answer iframe"))
    return one(browser, "article")


def test_a_recording_is_judged_shown_and_kept_for_download(browser, served, tmp_path):
    address, _ = served
    browser.get(address)
    upload(browser, CLIP)
    assert wait(browser, lambda: one(browser, "#answer [role=status]").text) == "Fake"
    words = frame(browser).text
    assert CLIP.name in words and "Confidence is " in words and "/tmp" not in words
    # A segment of the timeline plays.
    one(browser, "svg.timeline rect[data-start]").click()
    assert wait(browser, lambda: browser.execute_script("return document.querySelector('audio').currentTime > 0"))
    browser.switch_to.default_content()
    wait(browser, lambda: browser.execute_script("return document.querySelector('iframe.report').offsetHeight") > 700)
    where = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", where)
    for button, name in (("#report", "report.html"), ("#data", "answer.json")):
        one(browser, button).click()
        wait(browser, (tmp_path / name).is_file)
    assert CLIP.name in (tmp_path / "report.html").read_text(encoding="utf-8")
    data = json.loads((tmp_path / "answer.json").read_text(encoding="utf-8"))
    assert (data["path"], data["verdict"]) == (CLIP.name, "Fake")


def test_two_people_and_many_recordings_at_once(browser, served):
    address, _ = served
    first = browser.current_window_handle
    browser.get(address)
    one(browser, "#recordings input[type=file]")
    browser.switch_to.new_window("tab")
    browser.get(address)
    upload(browser, CLIP, VOICE, HERE / "README.md")
    browser.switch_to.window(first)
    upload(browser, CLIP)
    assert wait(browser, lambda: one(browser, "#answer [role=status]").text) == "Fake"
    browser.switch_to.window(next(handle for handle in browser.window_handles if handle != first))
    told = wait(browser, lambda: one(browser, "#answer [role=status]").text)
    assert told.startswith("3 recordings: ") and "1 Error" in told
    browser.close()
    browser.switch_to.window(first)


def test_a_hostile_name_stays_a_name(browser, served, tmp_path):
    address, _ = served
    path = tmp_path / (HOSTILE if os.name != "nt" else "${alert(2)}.flac")
    shutil.copy(CLIP, path)
    browser.get(address)
    upload(browser, path)
    assert "录音" in frame(browser).text
    assert not browser.find_elements("css selector", "img")
    browser.switch_to.default_content()
    assert not browser.find_elements("css selector", "img[src=x]")


def test_the_microphone_is_judged(browser, served):
    address, _ = served
    browser.get(address)
    wait(
        browser,
        lambda: [tab for tab in browser.find_elements("css selector", "[role=tab]") if tab.text == "Microphone"],
    )[0].click()
    wait(browser, lambda: one(browser, "#microphone button.record-button").click() or True)
    time.sleep(3)
    wait(browser, lambda: one(browser, "#microphone button.stop-button").click() or True)
    one(browser, "#microphone #waveform, #microphone .waveform-container")
    time.sleep(1)
    one(browser, "#judge-voice").click()
    assert wait(browser, lambda: one(browser, "#answer [role=status]").text) in ("Real", "Uncertain", "Fake", "Hybrid")


@pytest.mark.parametrize("width", [390, 1100])
def test_the_page_fits_and_asks_no_other_host(browser, served, width):
    address, _ = served
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 800}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get_log("performance")
    browser.get(address)
    wait(browser, lambda: [b for b in browser.find_elements("css selector", "button") if "Kokoro" in b.text])[0].click()
    assert "kokoro" in frame(browser).text
    browser.switch_to.default_content()
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert "It must not be the only reason" in browser.find_element("css selector", "body").text
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {e["params"]["request"]["url"] for e in sent if e["method"] == "Network.requestWillBeSent"}
    assert asked and not [url for url in asked if not url.startswith((address, "data:", "blob:", "about:"))]
    with urllib.request.urlopen(address) as answer:
        assert not re.search(rb'<(link|script)[^>]*(href|src)="https?:', answer.read())


def test_a_name_that_points_here_is_refused(served):
    request = urllib.request.Request(served[0], headers={"Host": "example.com"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request)
