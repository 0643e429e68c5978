"""A story as a source that is watched without a file: pictures drawn as they are asked for, words as they begin.

What comes out goes the way of every watched file (`pipeline.watch`), but is not encoded and decoded: hours of a story
are watched in minutes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path

from mneme.pipeline.sources import SourceInfo
from mneme.records import NS_PER_S, Observation, Picture

from .picture import draw_shot
from .story import Story
from .video import SIDE, frames, shot_at


class Film:
    """A `Source`: `fps` pictures a second of `side` pixels, and the narration as subtitles; no sound.

    posed: each picture comes with where the camera stood, as a robot or a headset knows it.
    """

    def __init__(self, story: Story, stream: str, *, fps: float = 1.0, side: int = SIDE, posed: bool = False) -> None:
        self._story, self._fps, self._side, self._posed = story, fps, side, posed
        self.truncated: str | None = None
        self.errors = 0
        self.info = SourceInfo(
            stream, f"world:{story.seed}", f"world-{story.seed}-{story.length_ns}", story.length_ns, side, side, fps,
            has_sound=False, has_subtitles=True,
        )  # fmt: skip

    @property
    def interval_ns(self) -> int:
        """Between two pictures."""
        return round(NS_PER_S / self._fps)

    def observations(self, start_ns: int = 0) -> Iterator[Observation]:
        """Observations in order of time from `start_ns` on; it is drawn from the beginning."""
        every = heapq.merge(self._words(), self._pictures(), key=lambda observation: observation.t_ns)
        return (observation for observation in every if observation.t_ns >= start_ns)

    def frame_at(self, t_ns: int) -> tuple[int, Picture]:
        """The picture at `t_ns` without its sensor's noise; within the story."""
        visit = next(visit for visit in self._story.visits() if t_ns < visit.t1_ns)
        return t_ns, draw_shot(shot_at(visit, t_ns), self._side)

    def close(self) -> None:
        """Nothing is open."""

    def _pictures(self) -> Iterator[Observation]:
        for t_ns, visit, picture in frames(self._story, self._fps, self._side):
            yield Observation(self.info.stream, t_ns, {"": picture}, pose=visit.pose(t_ns) if self._posed else None)

    def _words(self) -> Iterator[Observation]:
        for visit in self._story.visits():
            for line in visit.lines:
                yield Observation(self.info.stream, line.t0_ns, text=line.text, text_until_ns=line.t1_ns)


def watch_film(
    story: Story, folder: Path, stream: str = "world", *, fps: float = 1.0, side: int = SIDE, posed: bool = False
) -> None:
    """A new memory of profile `towers` in `folder`, as its eye fills it from the pictures of a story (`Film`)."""
    from mneme.encoders.profiles import make_profile
    from mneme.memory.memory import Memory
    from mneme.pipeline.senses import senses_of
    from mneme.pipeline.watch import stream_of, watch

    film = Film(story, stream, fps=fps, side=side, posed=posed)
    profile = make_profile("towers")
    senses = senses_of(film.info, profile, ("vision", "speech"), film.interval_ns, words=True)
    with Memory.create(folder, "towers", profile.spaces) as memory:
        recorder = memory.recorder(stream_of(film, "towers"))
        watch(film, memory, recorder, senses, film.interval_ns)
