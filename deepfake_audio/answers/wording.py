"""Answers in words: the same sentences on the console and in reports."""

from __future__ import annotations

from ..console import colour
from ..judging.decision import MIGHT_ACCUSE, MIGHT_VOUCH, NO_FAKE_SEGMENT, NO_REAL_SEGMENT
from ..settings import CLASS_NAMES, NO_SPEECH, UNCERTAIN, UNCLEAR
from ..text import clean

MEANING = {
    "Real": "Sounds like a person speaking throughout.",
    "Fake": "Sounds synthetic throughout: text to speech, a converted voice, or a vocoder.",
    "Hybrid": "Parts sound like a person, other parts sound synthetic.",
    UNCERTAIN: "The model cannot tell; take this as no answer.",
    NO_SPEECH: "There is too little speech to judge.",
}

NEXT_STEP = {
    "Real": "Next: a forgery that is new to the model sounds real to it, too; check where the recording comes from.",
    "Fake": "Next: listen to it (a tone can come out as Fake) and ask for the original; this alone proves nothing.",
    "Hybrid": "Next: listen across the boundaries of fake segments, for other sounds, too; this alone proves nothing.",
    UNCERTAIN: "Next: look for a longer or cleaner copy, closest to the original; decide nothing by this.",
    NO_SPEECH: "Next: give a recording in which somebody speaks for at least a second.",
}

DESPITE = {
    ("Real", "Fake"): "As a whole it sounds like a person speaking, although segments look fake by themselves.",
    ("Fake", "Real"): "As a whole it sounds synthetic, although segments look real by themselves.",
}
"""What a verdict means although the timeline has segments of the other kind."""

ABOUT_UNCLEAR = "Segments marked Unclear look fake, but real speech looks like that too often to say so."

CONFIDENCE = ((0.97, "very high"), (0.9, "high"), (0.7, "moderate"), (0.5, "low"), (0.0, "very low"))

WHY = {
    MIGHT_ACCUSE: "{} came closest, but too many real recordings look like that to the model.",
    MIGHT_VOUCH: "{} came closest, but too many fake recordings look like that to the model.",
    NO_FAKE_SEGMENT: "As a whole it would be Hybrid, but no segment of 0.2 s or more looks fake by itself.",
    NO_REAL_SEGMENT: "As a whole it would be Hybrid, but no segment of 0.2 s or more looks real by itself.",
}
"""Why a verdict is Uncertain."""

LIMITS = (
    "The model judges traces of synthesis, not truth: real speech can be staged, and a synthetic voice can be lawful.",
    "Confidence was calibrated on clips like those it was trained on; on other recordings it is a guess.",
    "Generators that are newer than its training data may pass as real.",
    "Compression, telephone lines, noise, echo and replay through loudspeakers remove what it listens for.",
    "Speech that was cleaned or heavily edited may sound synthetic to it although a person spoke.",
    "Boundaries of segments are often off by half a second and more, and short segments are missed.",
    "It takes every sound for speech: what it answers to music, tones and noise means nothing.",
    "It must not be the only reason for any decision about a person.",
)

MOST_SEGMENTS = 10
"""On the console; more would push the verdict off the screen."""

LONG_SECONDS = 300.0
"""Answers to longer recordings begin with their most suspicious segments."""

MOST_SUSPICIOUS = 5

COLOURS = {"Real": "34", "Fake": "33", "Hybrid": "35", UNCERTAIN: "36", NO_SPEECH: "36"}
"""Terminal colours that colour-blind people can tell apart: blue against yellow, never red against green."""


def confidence_in_words(confidence: float) -> str:
    """Return ``very low`` to ``very high``."""
    return next(words for least, words in CONFIDENCE if confidence >= least)


def clock(seconds: float, whole: float) -> str:
    """Return a time of a recording of `whole` seconds: ``1:02.34``, or ``1:02:03`` where it lasts an hour or more."""
    if whole >= 3600:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
    minutes, hundredths = divmod(round(seconds * 100), 6000)
    return f"{minutes}:{hundredths / 100:05.2f}"


def named_channels(result: dict) -> list[tuple[str, dict]]:
    """Return what is said of each channel that was judged by itself, with its name."""
    channels = result.get("channels") or []
    names = [f"Channel {number} of {len(channels)}" for number in range(1, len(channels) + 1)]
    return list(zip(["Left channel", "Right channel"] if len(channels) == 2 else names, channels, strict=True))


def shares(answer: dict) -> str:
    """Return the probabilities of all classes."""
    return ", ".join(f"{name} {answer['probabilities'][name]:.2f}" for name in CLASS_NAMES)


def most_suspicious(result: dict) -> list[dict]:
    """Return the few segments of a long recording that one should listen to first, the most suspicious one first.

    Those called Fake come before those that are Unclear; nothing is returned for recordings up to `LONG_SECONDS`.
    """
    if result["seconds"] <= LONG_SECONDS:
        return []
    found = [segment for segment in result["segments"] if segment["label"] in ("Fake", UNCLEAR)]
    found.sort(key=lambda s: (s["label"] == UNCLEAR, -s["fake_probability"], s["start"]))
    return found[:MOST_SUSPICIOUS]


def describe(result: dict) -> list[str]:
    """Lay out one answer without an error in about fifteen lines of at most 120 characters, longer names aside."""
    verdict = result["verdict"]
    lines = [clean(result["path"])]
    if verdict == NO_SPEECH:
        found = f"{result['speech_seconds']:.1f} s of sound in {result['seconds']:.1f} s, too little to judge"
        return [*lines, f"  {colour(NO_SPEECH, COLOURS[NO_SPEECH])}: {found}", f"  {NEXT_STEP[NO_SPEECH]}"]
    closest = f", closest to {_likeliest(result)} with" if verdict == UNCERTAIN else ","
    lines += [
        f"  {colour(verdict, COLOURS[verdict])}{closest} confidence {result['confidence']:.2f}  ({shares(result)})",
        f"  {result['seconds']:.1f} s, {result['speech_seconds']:.1f} s of speech or other sound, "
        f"{result['fake_seconds']:.1f} s in fake segments",
    ]
    for name, channel in named_channels(result):
        confidence = "" if channel["verdict"] == NO_SPEECH else f", confidence {channel['confidence']:.2f}"
        lines.append(f"  {name}: {channel['verdict']}{confidence}")
    most, suspicious = MOST_SEGMENTS, most_suspicious(result)
    if suspicious:
        most -= MOST_SUSPICIOUS
        lines += ["  Most suspicious segments:", *(_line(s, result) for s in suspicious), "  All segments:"]
    lines += [_line(segment, result) for segment in result["segments"][:most]]
    more = len(result["segments"]) - most
    if more > 0:
        lines.append(f"  ... and {more} more segments; --json lists all")
    return [*lines, *(f"  {sentence}" for sentence in explain(result)), f"  {NEXT_STEP[verdict]}"]


def _line(segment: dict, result: dict) -> str:
    """One segment; seconds are what one types into an editor, hours and minutes what one finds in a long recording."""
    start, end, label = segment["start"], segment["end"], segment["label"]
    times = f"{start:8.2f} - {end:7.2f} s"
    if result["seconds"] > LONG_SECONDS:
        times = f"{clock(start, result['seconds']):>8} - {clock(end, result['seconds']):>8}"
    probability = "" if label == NO_SPEECH else f"  probability of fake {segment['fake_probability']:.2f}"
    return f"  {times}  {label:4}{probability}"


def _likeliest(result: dict) -> str:
    return max(result["probabilities"], key=result["probabilities"].get)


def explain(result: dict) -> list[str]:
    """Say in a few sentences what a verdict means, and why it is not the most probable class if it is not."""
    verdict, threshold, likeliest = result["verdict"], result["threshold"], _likeliest(result)
    if verdict == NO_SPEECH:
        return [MEANING[verdict]]
    if verdict == UNCERTAIN:
        return [MEANING[verdict], WHY[result["reason"]].format(likeliest)]
    decided = []
    if threshold is not None:
        spoof = 1.0 - result["probabilities"]["Real"]
        compared = f"{spoof:.2f}, {'under' if verdict == 'Real' else 'not under'} {threshold:g}"
        decided = [f"{verdict} by your threshold: Fake or Hybrid has a probability of {compared}."]
        if verdict != likeliest:
            return [*decided, f"The most probable class is {likeliest}."]
    found = {segment["label"] for segment in result["segments"]}
    despite = (sentence for (label, other), sentence in DESPITE.items() if label == verdict and other in found)
    meaning = next(despite, MEANING[verdict])
    unclear = [ABOUT_UNCLEAR] if UNCLEAR in found else []
    return [*decided, f"{meaning} Confidence is {confidence_in_words(result['confidence'])}.", *unclear]
