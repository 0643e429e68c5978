"""A story as it is seen and heard: shots, frames and sound at any rate, observations, an mp4 with its subtitles."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from mneme.records import NS_PER_S, SOUND_RATE, Observation, to_ns, to_s

from .captions import Scene
from .picture import Placed, Shot, draw_shot
from .rooms import HIGH, WIDE
from .sounds import synthesise
from .story import Story
from .truth import Line, Presence, Visit

_LOG = logging.getLogger(__name__)

FALL_NS = to_ns(0.5)
TURN_NS = to_ns(0.3)
"""At either end of a visit the camera is on the move, and the picture out of focus."""
BACKGROUND_DB = -50.0
"""Of the noise that is always there, against full scale (root mean square)."""
SIDE = 256
_MOVES = 64
"""Pixels by which the noise of a frame is moved, at most."""


def shot_at(visit: Visit, t_ns: int) -> Shot:
    """What the camera has before it at a time of the visit."""
    share = (t_ns - visit.t0_ns) / (visit.t1_ns - visit.t0_ns)
    pan = visit.sway[0] + share * (visit.sway[1] - visit.sway[0])
    shift = (0.5 - pan) * (WIDE - HIGH) / HIGH  # what stands in the room moves against the camera
    night = visit.light == "night"
    present = visit.present(t_ns)
    moving = min(t_ns - visit.t0_ns, visit.t1_ns - t_ns) < TURN_NS
    return Shot(
        scene=Scene(visit.room.kind, tuple(p.thing for p in reversed(present)), visit.light),
        look=visit.room.look,
        placed=tuple(_placed(p, t_ns, shift) for p in present),
        pan=pan,
        blur=0.6 if moving else 0.0,
        noise=visit.noise,
        gain=0.25 if night else 1.0,
        sign=visit.sign(t_ns),
    )


def _placed(presence: Presence, t_ns: int, shift: float) -> Placed:
    share = (t_ns - presence.t0_ns) / max(presence.t1_ns - presence.t0_ns, 1)
    x = presence.x + share * (presence.x1 - presence.x)
    y = presence.y
    if presence.falls and (fallen := (t_ns - presence.t0_ns) / FALL_NS) < 1.0:
        y = 0.4 + (y - 0.4) * fallen * fallen
    return Placed(presence.thing, x + shift, y, presence.size, presence.hidden, presence.x1 < presence.x)


class Sensor:
    """Light and noise of a camera, frame by frame: `picture.expose` with noise that is drawn once and then moved."""

    def __init__(self, side: int, seed: int) -> None:
        self._draw, self._side = np.random.default_rng((seed, 104)), side
        wide = side + _MOVES
        self._bank = self._draw.standard_normal((wide, wide, 3), dtype=np.float32)
        self._level, self._scaled = 0.0, np.zeros(self._bank.shape, np.int16)

    def expose(self, picture: NDArray[np.uint8], noise: float, gain: float) -> NDArray[np.uint8]:
        """uint8[side, side, 3], darker by `gain` and with noise of standard deviation `noise` (of 255)."""
        if noise != self._level:
            self._level, self._scaled = noise, np.rint(self._bank * noise).astype(np.int16)
        left, top = self._draw.integers(0, _MOVES, 2)
        moved = self._scaled[top : top + self._side, left : left + self._side]
        light = picture if gain == 1.0 else cv2.convertScaleAbs(picture, alpha=gain)
        return np.asarray(cv2.add(light, moved, dtype=cv2.CV_8U), np.uint8)


def frames(story: Story, fps: float, side: int = SIDE) -> Iterator[tuple[int, Visit, NDArray[np.uint8]]]:
    """(time, visit, uint8[side, side, 3] RGB) of every frame; what stands still is drawn once, its noise is not."""
    k, sensor = 0, Sensor(side, story.seed)
    last: Shot | None = None
    for visit in story.visits():
        while (t_ns := round(k * NS_PER_S / fps)) < visit.t1_ns:
            shot = shot_at(visit, t_ns)
            clear = replace(shot, noise=0.0, gain=1.0)
            if clear != last:
                drawn, last = draw_shot(clear, side), clear
            yield t_ns, visit, sensor.expose(drawn, shot.noise, shot.gain)
            k += 1


def sound_of(story: Story, visit: Visit) -> NDArray[np.float32]:
    """float32[n] at 16 kHz: all that sounds during a visit, over the noise that is always there."""
    draw = np.random.default_rng((story.seed, 103, visit.ordinal))
    start, stop = (t_ns * SOUND_RATE // NS_PER_S for t_ns in (visit.t0_ns, visit.t1_ns))
    level = 10 ** (BACKGROUND_DB / 20)
    heard = draw.standard_normal(stop - start, dtype=np.float32) * np.float32(level)
    for noise in visit.sounds:
        piece = synthesise(noise.name, draw, to_s(noise.t1_ns - noise.t0_ns))
        at = noise.t0_ns * SOUND_RATE // NS_PER_S - start
        piece = piece[: len(heard) - at]
        power = float(np.sqrt(np.mean(np.square(piece)))) or 1.0
        heard[at : at + len(piece)] += piece * np.float32(level * 10 ** (noise.snr_db / 20) / power)
    return np.clip(heard, -1.0, 1.0)


def observations(story: Story, stream: str, fps: float = 5.0, side: int = SIDE) -> Iterator[Observation]:
    """The story as a robot would hand it over: pictures with poses, the sound until the next, lines as they begin."""
    sounds = (sound_of(story, visit) for visit in story.visits())
    heard: NDArray[np.float32] = np.empty(0, np.float32)
    done = 0
    for t_ns, visit, picture in frames(story, fps, side):
        until_ns = min(round((round(t_ns * fps / NS_PER_S) + 1) * NS_PER_S / fps), story.length_ns)
        samples = until_ns * SOUND_RATE // NS_PER_S - done
        while len(heard) < samples:
            heard = np.concatenate([heard, next(sounds)])
        done += samples
        line = next((line for line in visit.lines if t_ns <= line.t0_ns < until_ns), None)
        sound, heard = heard[:samples], heard[samples:]
        yield Observation(
            stream, t_ns, {"": picture}, sound, pose=visit.pose(t_ns), text=line.text if line else None,
            text_until_ns=line.t1_ns if line else None,
        )  # fmt: skip


def write_world(
    story: Story,
    folder: Path,
    questions: Sequence[Mapping[str, Any]] = (),
    *,
    name: str = "world",
    fps: int = 10,
    side: int = SIDE,
) -> Path:
    """Writes `<name>.mp4`, `<name>.srt` and the truth, `<name>.json`, into `folder`; gives the video's path.

    The truth is laid down as `benchmarks.vlog` reads it. Visit by visit: a day's video needs no more memory.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.mp4"
    _encode(story, path, fps, side)
    lines = [line for visit in story.visits() for line in visit.lines]
    (folder / f"{name}.srt").write_text(subtitles(lines), encoding="utf-8")
    truth = describe(story, path.name, questions, fps, side)
    (folder / f"{name}.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    _LOG.info("%s: %d questions", path, len(questions))
    return path


def _encode(story: Story, path: Path, fps: int, side: int) -> None:
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=fps, options={"crf": "21", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = side, side, "yuv420p"
        video.codec_context.thread_count = 1
        audio = container.add_stream("aac", rate=SOUND_RATE, layout="mono", bit_rate=64_000)
        chunk, done, ordinal = 1024, 0, -1
        waiting: NDArray[np.float32] = np.empty(0, np.float32)

        def lay(sound: NDArray[np.float32], last: bool = False) -> NDArray[np.float32]:
            """Encodes all whole chunks (at last all); gives what is left."""
            nonlocal done
            whole = len(sound) if last else len(sound) // chunk * chunk
            for at in range(0, whole, chunk):
                piece = av.AudioFrame.from_ndarray(sound[None, at : at + chunk], format="fltp", layout="mono")
                piece.sample_rate, piece.pts, piece.time_base = SOUND_RATE, done, Fraction(1, SOUND_RATE)
                container.mux(audio.encode(piece))
                done += piece.samples
            return sound[whole:]

        for k, (_, visit, pixels) in enumerate(frames(story, fps, side)):
            if visit.ordinal != ordinal:
                waiting, ordinal = lay(np.concatenate([waiting, sound_of(story, visit)])), visit.ordinal
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, fps)
            container.mux(video.encode(frame))
        lay(waiting, last=True)
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def subtitles(lines: Sequence[Line]) -> str:
    """SubRip: one cue a line."""
    return "\n".join(f"{k}\n{_srt(x.t0_ns)} --> {_srt(x.t1_ns)}\n{x.text}\n" for k, x in enumerate(lines, 1))


def _srt(t_ns: int) -> str:
    ms = t_ns // 1_000_000
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d},{ms % 1000:03d}"


def describe(story: Story, file: str, questions: Sequence[Mapping[str, Any]], fps: int, side: int) -> dict[str, Any]:
    """The truth as `benchmarks.vlog` and `benchmarks.scoring` read it; times in seconds."""
    visits = list(story.visits())

    def span(item: Any) -> dict[str, float]:
        return {"start_s": to_s(item.t0_ns), "end_s": to_s(item.t1_ns)}

    return {
        "file": file, "duration_s": to_s(story.length_ns), "fps": fps, "width": side, "height": side,
        "audio_rate": SOUND_RATE, "seed": story.seed,
        "rooms": [asdict(room) for room in story.plan.rooms],
        "boundaries_s": [to_s(visit.t0_ns) for visit in visits[1:]],
        "segments": [
            span(v) | {
                "id": f"v{v.ordinal}", "clip": v.room.kind, "room": v.room.id, "light": v.light,
                "things": [span(p) | asdict(p.thing) | {"item": p.item} for p in v.presences],
                "happenings": [{"t_s": to_s(h.t_ns), "deed": h.deed, "item": h.item} for h in v.happenings],
            }
            for v in visits
        ],
        "speech": [span(x) | {"text": x.text, "synthetic": True} for v in visits for x in v.lines],
        "sounds": [span(x) | {"label": x.name, "snr_db": x.snr_db} for v in visits for x in v.sounds],
        "captions": [span(x) | {"text": x.text} for v in visits for x in v.signs],
        "questions": list(questions),
    }  # fmt: skip
