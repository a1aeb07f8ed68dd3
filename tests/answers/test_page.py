"""Reports, pictures and labels; pages are opened in a real browser where there is one."""

import base64
import hashlib
import html.parser
import re
import shutil
import xml.etree.ElementTree

import numpy as np
import pytest
from matplotlib.image import imread

from deepfake_audio.answers import labels, page, pictures
from deepfake_audio.errors import OutputError
from deepfake_audio.features.draw import Glimpse
from deepfake_audio.judging.many import blank
from deepfake_audio.settings import NO_SPEECH, UNCLEAR, Settings

MODEL = {"name": "run-1/model.keras", "trained": "2026-01-02T03:04:05+00:00", "version": "0.1.0"}
SETTINGS = Settings()
HOSTILE = "\"'><script>alert(1)</script>\u202e &amp; 😀 \x1b[31m $x_{.wav"


def segments(seconds):
    edges = [0.0, 0.3 * seconds, 0.6 * seconds, 0.8 * seconds, seconds]
    labels = ("Real", "Fake", NO_SPEECH, "Real")
    return [
        {"start": start, "end": end, "label": label, "fake_probability": {"Real": 0.2, "Fake": 0.9}.get(label)}
        for start, end, label in zip(edges[:-1], edges[1:], labels, strict=True)
    ]


def judged(path="clip.wav", verdict="Hybrid", seconds=4.0, listen=600.0, **changes):
    """Return a result and what was seen on the way."""
    rng = np.random.default_rng(0)
    glimpse = Glimpse(16_000, 0.01, listen)
    count = round(seconds * 16_000)
    glimpse.hear((0.2 * rng.normal(size=count) * np.hanning(count)).astype(np.float32).clip(-1, 1))
    glimpse.see(-60 + 20 * rng.random((round(seconds * 100) + 1, 80)))
    glimpse.timeline = rng.random(round(seconds * 50))
    result = blank(path, None, MODEL) | {
        "verdict": verdict,
        "confidence": 0.62,
        "probabilities": {"Real": 0.1, "Fake": 0.28, "Hybrid": 0.62},
        "seconds": seconds,
        "speech_seconds": 0.8 * seconds,
        "fake_seconds": 0.3 * seconds,
        "segments": [] if verdict == NO_SPEECH else segments(seconds),
        "sha256": "ab" * 32,
    }
    return result | changes, glimpse


def write(path, *answers):
    with page.Report(path, SETTINGS, MODEL) as report:
        for answer in answers:
            report.add(*answer)
    return path.read_text(encoding="utf-8")


def test_two_scans_do_not_write_one_page(tmp_path):
    refused = pytest.raises(OutputError, match="by another scan: wait for its end, or name another file")
    with page.Report(tmp_path / "a.html", SETTINGS, MODEL), refused:
        page.Report(tmp_path / "a.html", SETTINGS, MODEL)
    assert "clip.wav" in write(tmp_path / "a.html", judged())
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


def test_a_fragment_takes_the_place_of_nothing_but_nothing(tmp_path):
    def interrupt(path):
        with pytest.raises(KeyboardInterrupt), page.Report(path, SETTINGS, MODEL) as report:
            report.add(*judged("first.wav"))
            raise KeyboardInterrupt
        return path.read_text(encoding="utf-8")

    whole = write(tmp_path / "a.html", judged("first.wav"), judged("second.wav"))
    assert interrupt(tmp_path / "a.html") == whole
    assert "first.wav" in interrupt(tmp_path / "b.html")
    (tmp_path / "file").touch()
    with pytest.raises(KeyboardInterrupt), page.Report(tmp_path / "file" / "c.html", SETTINGS, MODEL) as report:
        report.add(*judged("first.wav"))
        raise KeyboardInterrupt  # which is not hidden by what cannot be written
    (tmp_path / "file").unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]


class Reader(html.parser.HTMLParser):
    """Tags and attributes in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.words.append(data)


def test_a_page_says_all_there_is_to_say(tmp_path):
    text = write(tmp_path / "report.html", judged())
    words = " ".join(" ".join(Reader(text).words).split())
    for wanted in ("Hybrid", "0.62", "6 in 10", "clip.wav", "ab" * 32, MODEL["name"], "version 0.1.0", "0:01.20"):
        assert wanted in words, wanted
    assert "Limits of the method" in words and "proves nothing" in words
    assert words.count("Play") == 4, "one button per segment"
    assert "Threshold" not in words
    assert "probability 0.25 or more" in write(tmp_path / "report.html", judged(threshold=0.25))


def test_a_page_loads_nothing_and_runs_nothing_but_its_own(tmp_path):
    text = write(tmp_path / "report.html", judged(HOSTILE), (blank(HOSTILE, f"'{HOSTILE}' is broken.", MODEL), None))
    reader = Reader(text)
    for tag, attributes in reader.tags:
        for name in ("src", "href", "xlink:href", "action", "srcset", "data"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
    assert [tag for tag, _ in reader.tags].count("script") == 1
    policy = next(a["content"] for t, a in reader.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    for tag in ("style", "script"):
        content = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not any(character in text for character in "\x1b\u202e")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text and "😀" in text


def test_the_timeline_is_well_formed_and_covers_the_recording(tmp_path):
    text = write(tmp_path / "report.html", judged(seconds=4.0))
    svg = re.search(r"<svg class=\"timeline\".*</svg>(?=\s*<figcaption)", text, re.DOTALL)[0]
    segments = [e for e in xml.etree.ElementTree.fromstring(svg).iter("rect") if "data-start" in e.attrib]
    assert [e.get("class") for e in segments] == ["Real", "Fake", "No-speech", "Real"]
    ends = [float(e.get("x")[:-1]) + float(e.get("width")[:-1]) for e in segments]
    assert ends == pytest.approx([30, 60, 80, 100])


def test_only_so_much_sound_goes_into_a_page_and_it_is_said(tmp_path, monkeypatch):
    text = write(tmp_path / "cut.html", judged(seconds=4.0, listen=2.0))
    assert "Only the first 0:02.00 of 0:04.00 can be played here" in text
    assert text.count("<audio") == 1 and text.count("<button") == 2, "what cannot be heard has no button"
    monkeypatch.setattr(page, "LISTEN_SECONDS_IN_ALL", 5.0)
    text = write(tmp_path / "many.html", judged("a.wav"), judged("b.wav"))
    assert text.count("<audio") == 1 and "The sound is not in this page" in text


def test_many_recordings_have_a_table_and_only_the_first_have_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "MOST_PICTURES", 2)
    text = write(tmp_path / "many.html", *(judged(f"{n}.wav") for n in range(3)), (blank("x", "No.", MODEL), None))
    assert text.count("<article") == 2 and text.count('href="#recording-') == 2
    assert "1 are in this table only" in text and "4 recordings: 3 Hybrid, 1 Error" in text


def test_the_longest_of_very_many_segments_are_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "MOST_SEGMENTS", 2)
    text = write(tmp_path / "report.html", judged())
    assert "Of 4 segments the 2 longest are shown" in text and text.count("<button") == 2


def test_no_speech_has_no_segments(tmp_path):
    text = write(tmp_path / "report.html", judged(verdict=NO_SPEECH))
    assert "too little speech" in text and "<button" not in text and "Of answers with" not in text


def hour(label=UNCLEAR):
    """Return an answer about two hours of which ten minutes each are Real and something else, ever more suspicious."""
    labels = [("Real", label if n < 10 else "Fake")[n % 2] for n in range(12)]
    parts = [
        {"start": 600.0 * n, "end": 600.0 * (n + 1), "label": part, "fake_probability": 0.05 * n}
        for n, part in enumerate(labels)
    ]
    return {"seconds": 7200.0, "segments": parts, "fake_seconds": 600.0}


def test_a_long_recording_begins_with_what_is_most_suspicious(tmp_path):
    result, glimpse = judged()
    words = " ".join(" ".join(Reader(write(tmp_path / "a.html", (result | hour(), glimpse))).words).split())
    first, rest = words.split("Most suspicious segments")[1].split("All segments")
    assert re.findall(r"(\d:\d\d:\d\d) \d:\d\d:\d\d . (\w+)", first) == [
        *(("1:50:00", "Fake"), ("1:30:00", "Unclear"), ("1:10:00", "Unclear"), ("0:50:00", "Unclear")),
        ("0:30:00", "Unclear"),
    ]
    assert len(re.findall(r"\d:\d\d:\d\d \d:\d\d:\d\d", rest)) == 12
    assert "suspicious" not in write(tmp_path / "b.html", judged())


def test_what_is_unclear_is_neither_blue_nor_orange(tmp_path):
    result, glimpse = judged()
    text = write(tmp_path / "a.html", (result | hour(), glimpse))
    assert text.count('<rect class="Unclear"') == 5 and text.count('<rect class="hatching"') == 1
    assert 'class="verdict Unclear"><span aria-hidden="true">~</span> Unclear' in text


def test_a_page_says_that_it_holds_the_recording(tmp_path):
    assert "Before you share this page: it holds the recording itself" in write(tmp_path / "a.html", judged())
    text = write(tmp_path / "b.html", judged("a.wav"), judged("b.wav"))
    assert text.count("Before you share") == 1 and "the recordings themselves" in text
    assert "Before you share" not in write(tmp_path / "c.html", judged(listen=0.0))


def test_channels_have_a_row_each(tmp_path):
    one = {"confidence": 0.9, "probabilities": {"Real": 0.9, "Fake": 0.06, "Hybrid": 0.04}, "segments": []}
    channels = [one | {"verdict": "Real"}, one | {"verdict": "Fake", "confidence": 0.77}]
    text = write(tmp_path / "a.html", judged(channels=channels), judged())
    table, section = text.split("<article", 1)
    for part in (table, section):
        words = " ".join(" ".join(Reader(part).words).split())
        assert re.search(r"Left channel . Real 0\.90 .*Right channel . Fake 0\.77", words)
    assert "Real 0.90, Fake 0.06, Hybrid 0.04" in section


@pytest.mark.parametrize(
    "make", [lambda path: write(path, judged()), lambda path: labels.Labels(path).add({"error": None, "segments": []})]
)
def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path, make):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="another file"):
        make(tmp_path / "file" / "out.html")


# In a browser


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    program, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not (program and driver):
        pytest.skip("Chromium and its driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield started
    started.quit()


def test_a_page_works_in_a_browser(browser, tmp_path):
    path = tmp_path / "odd #1 %41 name.html"
    write(path, judged(HOSTILE, seconds=6.0), judged("other.wav", listen=2.0), (blank("x.wav", "No.", MODEL), None))
    browser.get(path.as_uri())
    wait = "const done = arguments[0]; const a = document.querySelectorAll('audio')[0];"
    browser.set_script_timeout(20)
    assert browser.execute_async_script(
        wait + "const tell = () => done(a.duration); a.readyState ? tell() : a.addEventListener('loadedmetadata', tell)"
    ) == pytest.approx(6.0, abs=0.2)
    # A segment of the timeline, then a button of the table.
    for selector, start in (("article rect.Fake[data-start]", 1.8), ("article tbody tr:nth-child(4) button", 4.8)):
        browser.execute_script("arguments[0].scrollIntoView()", browser.find_element("css selector", selector))
        browser.find_element("css selector", selector).click()
        at, paused, head = browser.execute_async_script(
            wait + "setTimeout(() => done([a.currentTime, a.paused, document.querySelector('.playhead').x1.baseVal"
            ".valueAsString]), 300)"
        )
        assert start - 0.01 <= at < start + 1.2 and not paused
        assert float(head[:-1]) == pytest.approx(100 * at / 6.0, abs=10)
    # Played to its end, a segment stops.
    browser.find_element("css selector", "article tbody tr:nth-child(3) button").click()
    stopped = wait + "const t = setInterval(() => { if (a.paused) { clearInterval(t); done(a.currentTime); } }, 20)"
    assert browser.execute_async_script(stopped) == pytest.approx(4.8, abs=0.4)
    # The second recording stops the first.
    browser.find_element("css selector", "article:nth-of-type(2) rect.Real").send_keys("\ue007")
    assert browser.execute_script("return [...document.querySelectorAll('audio')].map(a => a.paused)") == [True, False]
    assert [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []


@pytest.mark.parametrize("width", [320, 390, 1200])
def test_a_page_fits_phones_and_desktops(browser, tmp_path, width):
    path = tmp_path / "report.html"
    write(path, judged("W" * 200 + ".wav"), (blank("y" * 100, f"'{'y' * 100}' is broken: mend it.", MODEL), None))
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 800},
    )
    browser.get(path.as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    pdf = browser.execute_cdp_cmd("Page.printToPDF", {})["data"]
    assert base64.b64decode(pdf).startswith(b"%PDF")


def test_the_policy_of_a_page_lets_no_other_script_run(browser, tmp_path):
    path = tmp_path / "report.html"
    text = write(path, judged())
    path.write_text(text.replace("</body>", "<script>document.title = 'stolen'</script></body>"), encoding="utf-8")
    browser.get(path.as_uri())
    assert browser.title != "stolen"
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))


# Pictures and labels


def test_pictures_have_names_that_every_disk_takes(tmp_path):
    folder = pictures.Pictures(tmp_path / "new", SETTINGS)
    names = (
        HOSTILE,
        "a/clip.wav",
        "b/Clip.mp3",
        "...wav",
        "录音.wav",
        "\U00020000" * 60 + ".wav",
        "con.wav",
        "Aux.b.wav",
    )
    paths = [folder.draw(*judged(name)) for name in names]
    assert all(re.fullmatch(r"[\w .()+-]+\.png", path.name) and path.is_file() for path in paths)
    assert not any(re.match(r"(con|aux)\.", path.name, re.IGNORECASE) for path in paths)  # devices on Windows
    assert len({path.name.lower() for path in paths}) == len(paths)
    assert imread(paths[0]).shape[1] == 1000


@pytest.mark.parametrize("verdict", ["Real", NO_SPEECH])
@pytest.mark.parametrize("seconds", [0.02, 40.0])
def test_recordings_of_any_length_are_drawn(tmp_path, verdict, seconds):
    assert pictures.Pictures(tmp_path, SETTINGS).draw(*judged(verdict=verdict, seconds=seconds)).is_file()


def test_a_picture_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="another folder"):
        pictures.Pictures(tmp_path / "file", SETTINGS).add(*judged())


def test_labels_are_what_audacity_reads(tmp_path):
    labels.Labels(tmp_path / "labels.txt").add({"error": None, "segments": segments(4.0)})
    rows = [line.split("\t") for line in (tmp_path / "labels.txt").read_text(encoding="utf-8").splitlines()]
    assert rows[1] == ["1.200000", "2.400000", "Fake 0.90"] and rows[2][2] == NO_SPEECH
    assert [row[0] for row in rows[1:]] == [row[1] for row in rows[:-1]]
