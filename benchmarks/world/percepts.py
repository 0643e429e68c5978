"""A story straight to percepts: what perfect senses would make of it, in the world's words and in one space of words.

A day of it is told in seconds: for memories that must be large before anything is measured, and as the control of a
measurement through pictures and sound (what is wrong here is not perception's fault).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mneme.records import Lane, Moment, Percept, Stream, to_ns

from .captions import Thing, a
from .story import Story
from .truth import Visit
from .vocabulary import SOUNDS

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts to float32[n, d], unit length: `TextEncoder.encode(texts).vectors`."""
LOOK_NS = to_ns(2.0)
"""A sight that goes on is told again after this long."""
QUIET_DB, LOUD_DB = -50.0, -30.0


def words_of(thing: Thing) -> str:
    """A thing as a tower's vocabulary names it: "a small red mug, sleeping"."""
    material = thing.material if thing.material not in ("", "plain") else ""
    phrase = a(" ".join(filter(None, (thing.size, material, thing.colour, thing.kind))))
    return f"{phrase} {thing.action}" if thing.action else phrase


def sight_of(visit: Visit, t_ns: int) -> str:
    """What is in view at a time, nearest first, and the room: "a red mug, a blue chair; kitchen"."""
    things = ", ".join(words_of(p.thing) for p in reversed(visit.present(t_ns)))
    room = visit.room.kind + (", at night" if visit.light == "night" else "")
    return f"{things}; {room}" if things else room


def sound_words(name: str) -> str:
    """A sound as a tower's vocabulary names it: "bell, ringing bell"."""
    return ", ".join(SOUNDS[name].known)


def moments(story: Story, stream: str, embed: Embed, space: str, *, posed: bool = False) -> Iterator[Moment]:
    """The story's moments in order of time, each with its percepts: sights, sounds, speech and captions.

    posed: each moment says where the camera stood; else each percept names its room.

    A sight lasts until what is in view changes, or `LOOK_NS`; a visit begins with a change of the whole picture. Texts
    are embedded once each.
    """
    known: dict[str, NDArray[np.float32]] = {}

    def vector(text: str) -> NDArray[np.float32]:
        if text not in known:
            if len(known) > 50_000:
                known.clear()
            known[text] = np.asarray(embed([text])[0], np.float32)
        return known[text]

    for visit in story.visits():
        rows = sorted(_rows(visit), key=lambda row: (row[1], row[0], row[2]))
        fresh = [text for text in dict.fromkeys(text for *_, text in rows) if text not in known]
        if fresh:
            known |= zip(fresh, np.asarray(embed(fresh), np.float32), strict=True)
        loud = [(s.t0_ns, s.t1_ns) for s in visit.sounds] + [(x.t0_ns, x.t1_ns) for x in visit.lines]
        for lane, t0_ns, t1_ns, text in rows:
            percept = Percept(
                stream, lane, t0_ns, t1_ns, space=space, vector=vector(text), text=text, origin="world",
                place=None if posed else f"{visit.room.kind} {visit.room.id}",
            )  # fmt: skip
            change = 1.0 if t0_ns == visit.t0_ns and lane == "vision" else 0.0
            level = LOUD_DB if any(t0 <= t0_ns < t1 for t0, t1 in loud) else QUIET_DB
            yield Moment(stream, t0_ns, (percept,), change, level, t0_ns, visit.pose(t0_ns) if posed else None)


def _rows(visit: Visit) -> Iterator[tuple[Lane, int, int, str]]:
    """(lane, from, until, words) of everything in a visit."""
    edges = visit.edges_ns()
    for t0_ns, t1_ns in pairwise(edges):
        for at_ns in range(t0_ns, t1_ns, LOOK_NS):
            if at_ns == t0_ns or t1_ns - at_ns > LOOK_NS // 4:
                yield "vision", at_ns, min(at_ns + LOOK_NS, t1_ns), sight_of(visit, at_ns)
    for sound in visit.sounds:
        yield "sound", sound.t0_ns, sound.t1_ns, sound_words(sound.name)
    for line in visit.lines:
        yield "speech", line.t0_ns, line.t1_ns, line.text
    for sign in visit.signs:
        yield "caption", sign.t0_ns, sign.t1_ns, sign.text


def remember(story: Story, folder: Path, stream: str = "world", *, posed: bool = False) -> None:
    """A new memory of profile `embedded` in `folder`, as perfect senses would have filled it; posed: see `moments`."""
    from mneme.encoders.profiles import make_profile
    from mneme.memory.memory import Memory

    profile = make_profile("embedded")
    text = profile.text
    with Memory.create(folder, "embedded", profile.spaces) as memory:
        recorder = memory.recorder(Stream(stream, f"world:{story.seed}", f"world-{story.seed}-{story.length_ns}"))
        told = moments(story, stream, lambda texts: text.encode(texts).vectors, text.spec.space.name, posed=posed)
        for moment in told:
            recorder.observe(moment)
        recorder.finish(story.length_ns)
