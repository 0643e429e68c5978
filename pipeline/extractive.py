"""The extractive reasoner: answers in the words of the evidence, with no model, and abstains where none is grounded."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..records import NS_PER_S, Lane, Percept
from .evidence import Finder, Found, run_around
from .numbers import find_numbers
from .question import WORDS, Phrase, Question
from .reason import Conclusion, Support, abstain
from .recalled import Scenes
from .seen import conclude_seen
from .wording import (
    choice_text,
    clock,
    first_of_each,
    flat,
    holds_asked_type,
    longest_first,
    merged_spans,
    quote_of,
    quoted,
    relevant_lines,
    run_heads,
    search_lanes,
    span,
    support_each,
    support_of,
)

UTTERANCE_NS = 15 * NS_PER_S
"""An answer from speech quotes the whole utterance up to this length."""
_ASKS_NUMBER = re.compile(
    r"\b(?:how (?:many|much|far|long|old|tall|high)|(?:at )?what time|which number|what number)\b", re.I
)
_COUNTED_IN: Mapping[str, Lane] = {
    "sound": "sound",
    "noise": "sound",
    "sentence": "speech",
    "utterance": "speech",
    "remark": "speech",
}
"""Where what is counted lies; all else is printed in the picture."""
_SAID = {"speech": "said", "caption": "shown", "vision": "seen", "sound": "heard", "state": "felt"}

_KEPT = 100_000
"""Sights and sounds that are kept from one question to the next, at most."""


class Extractive:
    """Follows the route of the question over what the finder grounds. Threads may share it."""

    def __init__(self) -> None:
        self._scenes: Scenes | None = None
        """Of the snapshot that was asked last: until something is committed the next question asks the same one."""

    def conclude(self, question: Question, finder: Finder) -> Conclusion:
        """What was seen and heard answers where the question asks for that, else what was said and printed.

        A question that leaves it open ("where is the key?") is answered in words that were said, where there are some.
        """
        seen = conclude_seen(question, finder, self._scenes_of)
        if seen is not None and seen.decisive:
            return seen.conclusion
        told = self._told(question, finder)
        if seen is None or seen.conclusion.abstained or (not told.abstained and told.confidence >= 0.5):
            return told
        return seen.conclusion

    def _scenes_of(self, finder: Finder) -> Scenes:
        scenes = self._scenes
        if scenes is None or not scenes.shows(finder):
            scenes = Scenes(finder)
            self._scenes = scenes if scenes.percepts <= _KEPT else None
        return scenes.asked_by(finder)

    def _told(self, question: Question, finder: Finder) -> Conclusion:
        match question.route:
            case "when":
                return self._when(question, finder)
            case "while":
                return self._beside(question, finder)
            case "after" | "before":
                return self._relative(question, finder)
            case "order":
                return self._order(question, finder)
            case "count":
                return self._count(question, finder)
            case "first" | "last":
                return self._end(question, finder)
            case "at":
                return self._at(question, finder)
            case "summary":
                return self._summary(finder)
            case "what":
                return self._what(question, finder)

    def _when(self, question: Question, finder: Finder) -> Conclusion:
        found, reason = self._seek(question.about, question.target, finder)
        if not found:
            return abstain(reason)
        close = [f for f in found if f.score >= 0.85 * found[0].score][:5]
        merged = merged_spans(close)
        times = ", ".join(span(f.t0_ns, f.t1_ns) for f in merged)
        return Conclusion(f"At {times}: {quote_of(found[0])}.", False, found[0].score, support_of(merged))

    def _what(self, question: Question, finder: Finder) -> Conclusion:
        found, reason = self._seek(question.about, question.target, finder)
        if not found:
            return abstain(reason)
        wholes = [self._whole(f, finder) for f in found]
        fitting = [(f, w) for f, w in zip(found, wholes, strict=True) if holds_asked_type(question.text, w)]
        if not fitting:
            return abstain(f"what is asked is not {_SAID[found[0].lane]} there ({quote_of(found[0])})")
        best, whole = fitting[0]
        text = self._number(question, whole) + self._answer_lines(question.about, whole)
        how = f"{_SAID[best.lane]} at {span(best.t0_ns, best.t1_ns)}"
        others = [f for f, _ in fitting[1:] if f.score >= 0.9 * best.score][:2]
        return Conclusion(f"{text} ({how}).", False, best.score, support_of([best, *others]))

    def _beside(self, question: Question, finder: Finder) -> Conclusion:
        assert question.anchor is not None
        anchors, reason = self._seek(question.anchor, self._anchor_lanes(question), finder)
        if not anchors:
            return abstain(reason)
        lanes = search_lanes(question.target)
        for anchor in anchors[:3]:
            beside = self._overlapping(anchor, lanes, finder)
            if not question.about.empty and beside:
                grounded = finder.find(question.about, lanes, (anchor.t0_ns, anchor.t1_ns))
                ids = {p.id for f in finder.accepted(grounded) for p in f.percepts}
                beside = [p for p in beside if p.id in ids] or beside
            if beside:
                text = " ".join(flat(p) for p in beside)
                first, last = beside[0], beside[-1]
                return Conclusion(
                    f"{quoted(text)} ({_SAID[first.lane]} at {span(first.t0_ns, last.t1_ns)}).",
                    False,
                    anchor.score,
                    (*support_each(longest_first(beside, anchor), anchor.score), *support_of([anchor])),
                )
        if question.target and question.target[0] in ("vision", "sound"):
            anchor = anchors[0]
            return Conclusion(
                f"That is at {span(anchor.t0_ns, anchor.t1_ns)}; this memory has no words for what is "
                f"{_SAID[question.target[0]]} there.",
                False,
                0.3 * anchor.score,
                support_of([anchor]),
            )
        return abstain(f"nothing is {_SAID[lanes[0]]} at {span(anchors[0].t0_ns, anchors[0].t1_ns)}")

    def _relative(self, question: Question, finder: Finder) -> Conclusion:
        assert question.anchor is not None
        anchors, reason = self._seek(question.anchor, question.anchor.lanes, finder)
        if not anchors:
            return abstain(reason)
        anchor = anchors[0]
        lanes = search_lanes(question.target or (anchor.lane,))
        after = question.route == "after"
        side = (anchor.t0_ns, 2**62) if after else (0, anchor.t1_ns)
        own = {p.id for p in anchor.percepts}
        words = {flat(p).lower() for p in anchor.percepts}
        slack = NS_PER_S // 2
        line = [
            p
            for p in finder.between(lanes, anchor.stream, *side)
            if p.id not in own
            and flat(p).lower() not in words
            and (p.t0_ns >= anchor.t1_ns - slack if after else p.t1_ns <= anchor.t0_ns + slack)
        ]
        if not line:
            return abstain(f"nothing is {_SAID[lanes[0]]} {question.route} {span(anchor.t0_ns, anchor.t1_ns)}")
        nearest = line[0] if after else line[-1]
        run = run_around(line, nearest.id) if nearest.lane == "speech" else [nearest]
        text = " ".join(flat(p) for p in run)
        score = anchor.score
        return Conclusion(
            f"{quoted(text)} ({_SAID[nearest.lane]} at {span(run[0].t0_ns, run[-1].t1_ns)}).",
            False,
            score,
            (*support_each([nearest, *[p for p in run if p.id != nearest.id]], score), *support_of([anchor])),
        )

    def _order(self, question: Question, finder: Finder) -> Conclusion:
        places: list[Found] = []
        for choice in question.choices:
            found, reason = self._seek(choice, choice.lanes, finder)
            if not found:
                return abstain(reason)
            near = [f for f in found if f.score >= 0.85 * found[0].score]
            places.append(min(near, key=lambda f: f.t0_ns))
        one, other = places
        confidence = min(one.score, other.score)
        names = [choice_text(c) for c in question.choices]
        when = f"{names[0]} is at {span(one.t0_ns, one.t1_ns)}, {names[1]} at {span(other.t0_ns, other.t1_ns)}"
        earlier = 0 if one.t0_ns <= other.t0_ns else 1
        ordered = [one, other] if earlier == 0 else [other, one]
        if question.counted == "relation":
            return Conclusion(
                f"{'Before' if earlier == 0 else 'After'}: {when}.", False, confidence, support_of(ordered)
            )
        if question.counted.startswith("yes-no"):
            right = (earlier == 0) == question.counted.endswith("before")
            return Conclusion(f"{'Yes' if right else 'No'}: {when}.", False, confidence, support_of(ordered))
        pick = earlier if question.first else 1 - earlier
        support = support_of(ordered if question.first else ordered[::-1])
        return Conclusion(f"{names[pick]}: {when}.", False, confidence, support)

    def _count(self, question: Question, finder: Finder) -> Conclusion:
        counted = question.counted.rstrip("s")
        if counted in ("scene", "shot", "event") and question.about.empty:
            return self._count_scenes(finder)
        if question.about.empty and counted != "time":
            return self._count_lane(question, counted, finder)
        found, reason = self._seek(question.about, question.target, finder)
        if not found:
            return abstain(reason)
        merged = sorted(merged_spans([f for f in found if f.score >= 0.75 * found[0].score]), key=lambda f: f.t0_ns)
        times = ", ".join(span(f.t0_ns, f.t1_ns) for f in merged)
        noun = "time" if len(merged) == 1 else "times"
        return Conclusion(f"{len(merged)} {noun}: at {times}.", False, found[0].score, support_of(merged))

    def _count_scenes(self, finder: Finder) -> Conclusion:
        scenes = [
            Support(e.stream, e.t0_ns, e.t1_ns, within[0], e.gist or span(e.t0_ns, e.t1_ns), 0.6)
            for e in finder.snapshot.events(finder.stream)
            if (within := finder.snapshot.percepts(stream=e.stream, t0_ns=e.t0_ns, t1_ns=e.t1_ns))
        ]
        if not scenes:
            return abstain("no scene has been remembered yet")
        times = ", ".join(span(s.t0_ns, s.t1_ns) for s in scenes)
        return Conclusion(
            f"{len(scenes)} {'scene' if len(scenes) == 1 else 'scenes'}: {times}.", False, 0.6, tuple(scenes)
        )

    def _count_lane(self, question: Question, counted: str, finder: Finder) -> Conclusion:
        lane = _COUNTED_IN.get(counted, "caption")
        percepts = finder.snapshot.percepts(lanes=(lane,), stream=finder.stream)
        if question.anchor is not None:
            anchors, reason = self._seek(question.anchor, question.anchor.lanes, finder)
            if not anchors:
                return abstain(reason)
            window = anchors[0]
            percepts = [
                p for p in percepts if p.stream == window.stream and p.t0_ns < window.t1_ns and window.t0_ns < p.t1_ns
            ]
        if lane == "caption":
            many_lined = [p for p in percepts if "\n" in (p.text or "")]
            if counted == "slide" and many_lined:
                percepts = many_lined
            percepts = first_of_each(percepts)
        elif lane == "speech":
            percepts = run_heads(percepts)
        noun = counted if len(percepts) == 1 else counted + "s"
        if not percepts:
            return abstain(f"there are no {counted}s in this memory")
        return Conclusion(
            f"{len(percepts)} {noun}: "
            + "; ".join(f"{flat(p) or span(p.t0_ns, p.t1_ns)}" for p in percepts[:12])
            + ".",
            False,
            0.7,
            support_each(percepts, 0.7),
        )

    def _end(self, question: Question, finder: Finder) -> Conclusion:
        lanes = search_lanes(question.target)
        percepts = [p for p in finder.snapshot.percepts(lanes=lanes, stream=finder.stream) if p.text]
        if not percepts:
            return abstain(f"nothing is {_SAID[lanes[0]]} in this memory")
        chosen = percepts[0] if question.route == "first" else max(percepts, key=lambda p: (p.t1_ns, p.t0_ns))
        run = run_around([p for p in percepts if p.stream == chosen.stream and p.lane == chosen.lane], chosen.id)
        run = run if chosen.lane == "speech" else [chosen]
        text = " ".join(flat(p) for p in run)
        return Conclusion(
            f"{quoted(text)} ({_SAID[chosen.lane]} at {span(run[0].t0_ns, run[-1].t1_ns)}).",
            False,
            0.8,
            support_each([chosen, *[p for p in run if p.id != chosen.id]], 0.8),
        )

    def _at(self, question: Question, finder: Finder) -> Conclusion:
        assert question.span_ns is not None
        t0_ns, t1_ns = question.span_ns
        streams = [s for s in finder.snapshot.streams() if finder.stream in (None, s.stream.id)]
        if not any(s.seen_ns > t0_ns for s in streams):
            return abstain(f"no stream of this memory reaches {clock(t0_ns)}")
        lanes = search_lanes(question.target)
        percepts = [p for s in streams for p in finder.between(lanes, s.stream.id, t0_ns, t1_ns)]
        if not percepts:
            return abstain(f"nothing is {_SAID[lanes[0]]} at {span(t0_ns, t1_ns)}")
        text = " / ".join(f"{quoted(flat(p))} ({_SAID[p.lane]} at {span(p.t0_ns, p.t1_ns)})" for p in percepts[:8])
        return Conclusion(text + ".", False, 0.8, support_each(percepts[:8], 0.8))

    def _summary(self, finder: Finder) -> Conclusion:
        events = [e for e in finder.snapshot.events(finder.stream) if e.gist]
        if not events:
            return abstain("nothing with words has been remembered yet")
        support = []
        for event in events[:8]:
            stands = finder.between(WORDS, event.stream, event.t0_ns, event.t1_ns)
            if stands:
                support.append(Support(event.stream, event.t0_ns, event.t1_ns, stands[0], event.gist, 0.6))
        text = "; ".join(f"{span(e.t0_ns, e.t1_ns)} {e.gist}" for e in events[:8])
        return Conclusion(text + ".", False, 0.6, tuple(support))

    def _seek(self, phrase: Phrase, lanes: Sequence[Lane], finder: Finder) -> tuple[list[Found], str]:
        """(accepted spans, best first; why there are none)."""
        lanes = search_lanes(lanes)
        if phrase.empty:
            return [], "the question names nothing that could be looked for"
        found = finder.find(phrase, lanes)
        accepted = finder.accepted(found)
        if accepted:
            return accepted, ""
        if found and found[0].missing:
            lacking = ", ".join(dict.fromkeys(found[0].missing))
            return [], f"{lacking!r} is never {_SAID[lanes[0]]} in that connection"
        return [], f"nothing like it is {_SAID[lanes[0]]}"

    def _anchor_lanes(self, question: Question) -> Sequence[Lane]:
        assert question.anchor is not None
        if question.anchor.lanes:
            return question.anchor.lanes
        other = [lane for lane in WORDS if lane not in question.target]
        return other if len(other) == 1 else WORDS

    def _overlapping(self, anchor: Found, lanes: Sequence[Lane], finder: Finder) -> list[Percept]:
        """Percepts beside the anchor in time: a third of a second or a third of the shorter at least."""
        own = {p.id for p in anchor.percepts}
        beside = []
        for percept in finder.between(lanes, anchor.stream, anchor.t0_ns, anchor.t1_ns):
            shared = min(percept.t1_ns, anchor.t1_ns) - max(percept.t0_ns, anchor.t0_ns)
            least = min(NS_PER_S // 3, (percept.t1_ns - percept.t0_ns) // 3, (anchor.t1_ns - anchor.t0_ns) // 3)
            if percept.id not in own and shared > least:
                beside.append(percept)
        return beside

    def _whole(self, found: Found, finder: Finder) -> Found:
        """Of speech the whole utterance: what is said on the topic may go on in the next cue."""
        if found.lane != "speech":
            return found
        around = finder.between(("speech",), found.stream, found.t0_ns - UTTERANCE_NS, found.t1_ns + UTTERANCE_NS)
        run = run_around(around, found.percepts[0].id)
        short = run and run[-1].t1_ns - run[0].t0_ns <= UTTERANCE_NS
        return replace(found, percepts=tuple(run)) if short else found

    def _number(self, question: Question, found: Found) -> str:
        """ "85: " for a question that asks how many or at what time, where the evidence holds one such number."""
        if not (asks := _ASKS_NUMBER.search(question.text)):
            return ""
        clocks = "time" in asks.group().lower()
        kept = [n for line in relevant_lines(question.about, found) for n in find_numbers(line)]
        values = {v for n in kept for v in n.whole if (":" in v) == clocks}
        asked = {v for n in find_numbers(question.text) for v in n.readings}
        values -= asked
        if len(values) != 1:
            return ""
        value = values.pop()
        written = next(n.surface for n in kept if value in n.whole)
        return f"{written if len(value) > 5 else value}: "

    def _answer_lines(self, about: Phrase, found: Found) -> str:
        """Of a caption of many lines those that speak of the question, in order; of speech all of it."""
        lines = [line for p in found.percepts for line in (p.text or "").split("\n") if line.strip()]
        if found.lane != "caption" or len(lines) < 2:
            return quoted(" ".join(lines))
        return " / ".join(quoted(line) for line in relevant_lines(about, found))
