"""Wording of answers, and the small selections over spans that routes share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..records import NS_PER_S, Lane, Percept
from .evidence import JOIN_NS, Found
from .lexicon import ASKED_TYPES
from .numbers import find_numbers
from .question import WORDS, Phrase
from .reason import Support
from .words import STOP, split


def clock(t_ns: int) -> str:
    """Stream time as people write it: 1:05, 1:02:03."""
    seconds = t_ns // NS_PER_S
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def span(t0_ns: int, t1_ns: int) -> str:
    """A stretch of stream time as people write it: 0:53-1:03."""
    return f"{clock(t0_ns)}-{clock(t1_ns)}" if t1_ns - t0_ns >= NS_PER_S else clock(t0_ns)


def search_lanes(lanes: Sequence[Lane]) -> tuple[Lane, ...]:
    """Where to look for words: sight has none of its own yet but what is printed in the picture."""
    if not lanes:
        return WORDS
    return ("vision", "caption") if tuple(lanes) == ("vision",) else tuple(lanes)


def relevant_lines(about: Phrase, found: Found) -> list[str]:
    """The lines of a span that share a word with the question and add another; all of them where none does."""
    lines = [line for p in found.percepts for line in (p.text or "").split("\n") if line.strip()]
    asked = {w.stem for part in (about.text, *about.quotes) for w in split(part) if w.lower not in STOP}
    hits = [line for line in lines if {w.stem for w in split(line)} & asked]
    telling = any({w.stem for w in split(line) if w.lower not in STOP} - asked for line in hits)
    return hits if telling else lines


def holds_asked_type(question: str, found: Found) -> bool:
    """Whether a span holds an instance of what is asked for: a colour for "which colour", a number for "how many"."""
    text = found.text
    for asks, instance, any_number in ASKED_TYPES:
        if asks.search(question) and not instance.search(text) and not (any_number and find_numbers(text)):
            return False
    return True


def flat(percept: Percept) -> str:
    return " / ".join(line for line in (percept.text or "").split("\n") if line.strip())


def quoted(text: str) -> str:
    return f"“{text.strip()}”"


def quote_of(found: Found) -> str:
    text = " ".join(flat(p) for p in found.percepts)
    return quoted(text if len(text) <= 200 else text[:197] + "...")


def choice_text(choice: Phrase) -> str:
    return choice.raw or choice.text


def merged_spans(found: Sequence[Found]) -> list[Found]:
    """Spans of one lane and stream that touch (a caption held in two reads, cues of one utterance) become one."""
    merged: list[Found] = []
    for item in sorted(found, key=lambda f: (f.stream, f.lane, f.t0_ns)):
        last = merged[-1] if merged else None
        same_words = last is not None and (item.lane == "speech" or flat(item.percepts[0]) == flat(last.percepts[-1]))
        if (
            last
            and (last.stream, last.lane) == (item.stream, item.lane)
            and same_words
            and item.t0_ns - last.t1_ns < JOIN_NS // 3
        ):
            merged[-1] = replace(last, percepts=(*last.percepts, *item.percepts), score=max(last.score, item.score))
        else:
            merged.append(item)
    return sorted(merged, key=lambda f: -f.score)


def support_of(found: Sequence[Found]) -> tuple[Support, ...]:
    return tuple(Support(f.stream, f.t0_ns, f.t1_ns, f.percepts[0], f.text, f.score) for f in found)


def support_each(percepts: Sequence[Percept], score: float) -> tuple[Support, ...]:
    return tuple(Support(p.stream, p.t0_ns, p.t1_ns, p, p.text or "", score) for p in percepts)


def longest_first(percepts: Sequence[Percept], anchor: Found) -> list[Percept]:
    def shared(p: Percept) -> int:
        return min(p.t1_ns, anchor.t1_ns) - max(p.t0_ns, anchor.t0_ns)

    return sorted(percepts, key=lambda p: (-shared(p), p.t0_ns))


def first_of_each(percepts: Sequence[Percept]) -> list[Percept]:
    """The first percept of each distinct text (a caption may be held in several reads)."""
    seen: dict[tuple[str, str], Percept] = {}
    for percept in percepts:
        seen.setdefault((percept.stream, "".join(c for c in (percept.text or "").lower() if c.isalnum())), percept)
    return list(seen.values())


def run_heads(percepts: Sequence[Percept]) -> list[Percept]:
    """The first percept of each utterance: cues joined by short pauses count once."""
    heads: list[Percept] = []
    last: Percept | None = None
    for percept in percepts:
        if last is None or percept.stream != last.stream or percept.t0_ns - last.t1_ns >= JOIN_NS:
            heads.append(percept)
        last = percept
    return heads
