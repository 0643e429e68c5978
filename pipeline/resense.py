"""Describing stored percepts anew with another profile: from their words, their source file, their thumbnail.

A description that both profiles make alike (one space, one set of weights) is kept as it is. A sight is described from
the frame of its source where the file is still the one that was watched, else from its thumbnail; a sound only from its
source. Ids, spans and what was said or printed stay; a sight or a sound takes the new encoder's words where that has
words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..encoders.base import described
from ..encoders.profiles import Profile
from ..errors import MnemeError, SourceError
from ..records import SOUND_RATE, Lane, Percept, Picture, Space, Stream, Vector, samples_to_ns
from .files import digest_of
from .picture import read_picture
from .sight import look_of
from .sources import Source, SourceSettings, open_source

WORDS: tuple[Lane, ...] = ("speech", "caption")
LONGEST_NS = 60 * 10**9
"""A sound that lasts longer is described by its first minute."""


@dataclass(slots=True)
class Tally:
    """What the percepts were described from."""

    kept: int = 0
    """Both profiles describe them alike."""
    words: int = 0
    frames: int = 0
    thumbnails: int = 0
    sounds: int = 0
    lost: int = 0
    """Neither source nor thumbnail is there: they keep their words and times, and have no vector any more."""


class Resenser:
    """Describes the percepts of one stream anew."""

    def __init__(
        self, profile: Profile, before: Sequence[Space], root: Path, source: Source | None, tally: Tally
    ) -> None:
        """before: the spaces of the memory in `root`. source: the file that was watched, or None."""
        self._profile = profile
        self._look = look_of(profile)
        self._before = {space.name: space for space in before}
        self._root = root
        self._source = source
        self._tally = tally

    def describe(self, percepts: Sequence[Percept]) -> list[Percept]:
        """A batch of percepts, with vectors and tokens, as the profile describes them; in their order."""
        by_lane: dict[Lane, list[Percept]] = {}
        for percept in percepts:
            by_lane.setdefault(percept.lane, []).append(percept)
        made: dict[str, Percept] = {}
        for lane, group in by_lane.items():
            if lane in WORDS:
                group = self._words(group)
            elif lane == "vision":
                group = self._sights(group)
            elif lane == "sound":
                group = self._sounds(group)
            made |= {percept.id: percept for percept in group}
        return [made[percept.id] for percept in percepts]

    def _same(self, space: Space) -> bool:
        """Whether vectors of the space are what the memory holds already."""
        return self._before.get(space.name) == space

    def _words(self, percepts: list[Percept]) -> list[Percept]:
        space = self._profile.text.spec.space
        kept = self._same(space) and all(p.space == space.name for p in percepts if p.vector is not None)
        worded = [p for p in percepts if p.text and not (kept and p.vector is not None)]
        vectors = self._profile.text.encode([(p.text or "").replace("\n", ". ") for p in worded]).vectors
        new = {p.id: vector for p, vector in zip(worded, vectors, strict=True)}
        self._tally.words += len(worded)
        self._tally.kept += len(percepts) - len(worded)
        return [replace(p, space=space.name, vector=new[p.id]) if p.id in new else p for p in percepts]

    def _sights(self, percepts: list[Percept]) -> list[Percept]:
        encoder, look = self._profile.vision, self._look
        space = encoder.spec.space
        look = None if look is None or look.spec.space.name == space.name else look
        wanted = [space] if look is None else [space, look.spec.space]
        if all(self._same(w) for w in wanted) and all(self._described(p, [w.name for w in wanted]) for p in percepts):
            self._tally.kept += len(percepts)
            return percepts
        pictures = {p.id: picture for p in percepts if (picture := self._picture(p)) is not None}
        shown = [p for p in percepts if p.id in pictures]
        encoded = described(encoder, [pictures[p.id] for p in shown])
        place = {p.id: i for i, p in enumerate(shown)}
        keeps_look = look is not None and self._same(look.spec.space)
        again = None if look is None or keeps_look else look.encode([pictures[p.id] for p in shown])
        made = []
        for percept in percepts:
            bare = replace(percept, space=None, vector=None, tokens=None, also={}, look=None)
            i = place.get(percept.id)
            if i is not None:
                text, sure = encoded.said(i)
                bare = replace(
                    bare,
                    space=space.name,
                    vector=encoded.vectors[i],
                    tokens=None if encoded.tokens is None else encoded.tokens[i],
                    origin=encoder.spec.name,
                    text=text if encoded.words else percept.text,
                    confidence=sure if encoded.words else percept.confidence,
                )
            if look is not None:
                name = look.spec.space.name
                stored = _held(percept, name) if keeps_look else None
                if stored is not None:
                    bare = replace(bare, also={name: stored[0]}, look=stored[1])
                elif i is not None:
                    fresh = again or look.encode([pictures[percept.id]])
                    at = i if again is not None else 0
                    windows = None if fresh.tokens is None else fresh.tokens[at]
                    bare = replace(bare, also={name: fresh.vectors[at]}, look=windows)
            made.append(bare)
        return made

    def _described(self, percept: Percept, spaces: Sequence[str]) -> bool:
        held = {percept.space, *percept.also} if percept.vector is not None else set(percept.also)
        return held == set(spaces)

    def _picture(self, percept: Percept) -> Picture | None:
        """uint8[H, W, 3]: the frame in which it was seen, else its thumbnail, else None."""
        if self._source is not None and self._source.info.width is not None:
            try:
                _, picture = self._source.frame_at(percept.t0_ns)
                self._tally.frames += 1
                return picture
            except SourceError:
                pass  # the file lost what it had: the thumbnail stands for it
        path = None if percept.thumbnail is None else self._root / percept.thumbnail
        if path is None or not path.is_file():
            self._tally.lost += 1
            return None
        self._tally.thumbnails += 1
        return read_picture(path)

    def _sounds(self, percepts: list[Percept]) -> list[Percept]:
        encoder = self._profile.sound
        space = encoder.spec.space
        if self._same(space) and all(p.space == space.name for p in percepts):
            self._tally.kept += len(percepts)
            return percepts
        heard = cut(self._source, percepts) if self._source is not None else {}
        sounding = [p for p in percepts if p.id in heard]
        self._tally.sounds += len(sounding)
        self._tally.lost += len(percepts) - len(sounding)
        encoded = described(encoder, [heard[p.id] for p in sounding])
        new: dict[str, Percept] = {}
        for i, percept in enumerate(sounding):
            text, sure = encoded.said(i)
            new[percept.id] = replace(
                percept,
                space=space.name,
                vector=encoded.vectors[i],
                origin=encoder.spec.name,
                text=text if encoded.words else percept.text,
                confidence=sure if text else percept.confidence,
            )
        return [new.get(p.id, replace(p, space=None, vector=None, tokens=None)) for p in percepts]


def cut(source: Source, percepts: Sequence[Percept]) -> Mapping[str, Vector]:
    """Percept id -> float32[n], the sound of its span, read from the source in one pass; empty without a soundtrack."""
    if not source.info.has_sound or not percepts:
        return {}
    parts: dict[str, list[Vector]] = {p.id: [] for p in percepts}
    waiting = sorted(percepts, key=lambda p: p.t0_ns)
    for observation in source.observations(max(0, waiting[0].t0_ns - 10**9)):
        sound = observation.sound
        if sound is None:
            continue
        end_ns = observation.t_ns + samples_to_ns(len(sound))
        waiting = [p for p in waiting if min(p.t1_ns, p.t0_ns + LONGEST_NS) > observation.t_ns]
        if not waiting:
            break
        for percept in waiting:
            t1_ns = min(percept.t1_ns, percept.t0_ns + LONGEST_NS)
            if percept.t0_ns < end_ns:
                first = max(0, (percept.t0_ns - observation.t_ns) * SOUND_RATE // 10**9)
                last = (t1_ns - observation.t_ns) * SOUND_RATE // 10**9
                parts[percept.id].append(sound[first : max(last, first)])
    joined = {id: np.concatenate(pieces) for id, pieces in parts.items() if pieces}
    return {id: sound for id, sound in joined.items() if len(sound)}


@contextmanager
def source_of(stream: Stream, settings: SourceSettings) -> Iterator[Source | None]:
    """The file that a stream was watched from, where it is still the same; else None."""
    path = Path(stream.source)
    opened: Source | None = None
    try:
        if stream.digest and path.is_file() and digest_of(path) == stream.digest:
            opened = open_source(path, stream=stream.id, settings=settings)
    except (MnemeError, OSError):
        opened = None  # what can no longer be read is as good as gone: thumbnails have to do
    try:
        yield opened
    finally:
        if opened is not None:
            opened.close()


def _held(percept: Percept, space: str) -> tuple[Vector, np.ndarray | None] | None:
    """The description of a percept in a space, with its windows; None where it has none there."""
    if percept.space == space and percept.vector is not None:
        return percept.vector, percept.tokens
    return (percept.also[space], percept.look) if space in percept.also else None
