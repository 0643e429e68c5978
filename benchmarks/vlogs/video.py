"""The files of a plan: video (H.264 and AAC), subtitles, truth, query pictures."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from PIL import Image

from .lettering import plate
from .places import PLACES
from .plan import Line, Plan, Shot
from .questions import Question, draw_questions
from .scene import Frame, Scene, View, blend
from .sound import SOUNDS, mix
from .voice import RATE

_LOG = logging.getLogger(__name__)


def _ignore(done: int, total: int) -> None:
    """Progress that nobody watches."""


def build(
    plan: Plan,
    folder: Path,
    fps: int = 25,
    width: int = 640,
    height: int = 360,
    crf: int = 27,
    subtitles_name: str | None = None,
    on_frame: Callable[[int, int], None] = _ignore,
) -> Path:
    """Writes `<name>.mp4`, its subtitles, `<name>.json` and its query pictures into `folder`; gives the video's path.

    `subtitles_name` is `<name>.srt` unless given. `crf` is x264's constant rate factor: lower is better and larger.
    """
    cv2.setNumThreads(1)
    folder.mkdir(parents=True, exist_ok=True)
    questions = draw_questions(plan)
    pictures = _draw_pictures(plan, questions, folder, width, height)
    truth = describe_truth(plan, questions, pictures, fps, width, height)
    (folder / f"{plan.name}.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    (folder / (subtitles_name or f"{plan.name}.srt")).write_text(subtitles(plan.lines), encoding="utf-8")
    path = folder / f"{plan.name}.mp4"
    _encode(plan, path, fps, width, height, crf, on_frame)
    _LOG.info("%s: %d questions", path, len(questions))
    return path


def frames(plan: Plan, fps: int, width: int, height: int) -> Iterator[Frame]:
    """uint8[height, width, 3] RGB, frame by frame."""
    signs = [
        (sign, plate(sign.text, sign.style, round(26 * height / 360))) for sign in plan.signs if sign.slide is None
    ]
    scene, current = None, None
    for k in range(round(plan.duration_s * fps)):
        t_s = k / fps
        shot = next(shot for shot in plan.shots if t_s < shot.end_s - 1e-6)
        if shot is not current:
            scene, current = Scene(shot.view, width, height), shot
        assert scene is not None
        frame = scene.frame(t_s - shot.start_s + shot.clock_s)
        for sign, words in signs:
            if sign.start_s - 1e-6 <= t_s < sign.end_s - 1e-6:
                x = min(sign.at[0] * width, width - words.shape[1] - 8)
                blend(frame, words, x, min(sign.at[1] * height, height - words.shape[0] - 8))
        yield frame


def _encode(
    plan: Plan, path: Path, fps: int, width: int, height: int, crf: int, on_frame: Callable[[int, int], None]
) -> None:
    sound = mix(plan.duration_s, plan.laid, noise_db=-62, seed=plan.seed)
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=fps, options={"crf": str(crf), "preset": "fast"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.codec_context.thread_count = 2
        audio = container.add_stream("aac", rate=RATE, layout="mono", bit_rate=56_000)
        total, chunk, heard = round(plan.duration_s * fps), 1024, 0

        def lay_sound(until: int) -> None:
            nonlocal heard
            while heard < min(until, len(sound)):
                piece = av.AudioFrame.from_ndarray(sound[None, heard : heard + chunk], format="s16", layout="mono")
                piece.sample_rate, piece.pts, piece.time_base = RATE, heard, Fraction(1, RATE)
                container.mux(audio.encode(piece))
                heard += chunk

        for k, pixels in enumerate(frames(plan, fps, width, height)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, fps)
            container.mux(video.encode(frame))
            lay_sound((k + 1) * RATE // fps)
            on_frame(k + 1, total)
        lay_sound(len(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def subtitles(lines: tuple[Line, ...]) -> str:
    """SubRip: one cue a phrase."""
    cues = [part for line in lines for part in line.parts]
    return "\n".join(f"{k}\n{_srt(a)} --> {_srt(b)}\n{text}\n" for k, (a, b, text) in enumerate(cues, 1))


def _srt(t_s: float) -> str:
    ms = round(t_s * 1000)
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d},{ms % 1000:03d}"


def _draw_pictures(plan: Plan, questions: list[Question], folder: Path, width: int, height: int) -> dict[int, str]:
    """Query pictures of the image questions, from moments that no shot shows, and one of a place not in the video.

    Gives the file name for the index of each image question, and for -1 the picture of what is not there.
    """
    rng = np.random.default_rng((plan.seed, 13))
    asked = [(k, q.view) for k, q in enumerate(questions) if q.view is not None]
    seen = {shot.view.place for shot in plan.shots}
    absent = [place for place in PLACES if place not in seen] or list(PLACES)
    asked.append((-1, View(absent[int(rng.integers(len(absent)))], plan.seed + 4_000_000, (("balloon", "pink"),))))
    names: dict[int, str] = {}
    tag = plan.name.removeprefix("vlog_")
    for number, i in enumerate(rng.permutation(len(asked)), 1):
        k, view = asked[i]
        if len(asked) == 1 and not any(shot.view.things for shot in plan.shots):
            break  # a talk of slides alone: there is no scene to mistake it for
        late = max((shot.clock_s + shot.end_s - shot.start_s for shot in plan.shots if shot.view == view), default=20.0)
        frame = Scene(view, width, height).frame(late + 2.0 + float(rng.uniform(0, 4)))
        left, top = (int(rng.uniform(0, 0.12) * side) for side in (width, height))
        crop = frame[top : top + int(height * 0.88), left : left + int(width * 0.88)]
        lit = cv2.convertScaleAbs(crop, alpha=float(rng.uniform(0.85, 1.15)), beta=float(rng.uniform(-8, 8)))
        small = cv2.resize(lit, (width * 3 // 4, height * 3 // 4), interpolation=cv2.INTER_AREA)
        names[k] = f"query_{tag}_{number:02d}.jpg"
        Image.fromarray(small).save(folder / names[k], quality=85)
    return names


def describe_truth(
    plan: Plan, questions: list[Question], pictures: dict[int, str], fps: int, width: int, height: int
) -> dict[str, Any]:
    """The truth as the media's README lays it down (times in seconds, to the millisecond)."""
    tag = plan.name.removeprefix("vlog_")
    items: list[dict[str, Any]] = []
    for k, question in enumerate(questions):
        entry = {key: value for key, value in asdict(question).items() if key != "view"}
        if question.view is not None:
            entry["image"] = pictures[k]
        items.append(entry)
    if -1 in pictures:
        items.append(
            {
                "category": "image-query",
                "question": "When does this place or object appear in the video?",
                "answer": "never",
                "accept": ["never", "not shown", "does not appear", "no"],
                "evidence": [],
                "needs": ["image"],
                "unanswerable": True,
                "image": pictures[-1],
            }
        )
    truth = {
        "file": f"{plan.name}.mp4",
        "duration_s": plan.duration_s,
        "fps": fps,
        "width": width,
        "height": height,
        "audio_rate": RATE,
        "seed": plan.seed,
        "boundaries_s": plan.cuts_s,
        "cuts": [_describe_cut(plan, cut_s) for cut_s in plan.cuts_s],
        "segments": [_describe_shot(shot) for shot in plan.shots],
        "speech": [_describe_line(line) for line in plan.lines],
        "sounds": [
            {"id": x.id, "start_s": x.start_s, "end_s": x.end_s, "label": SOUNDS[x.key][0], "source": "generated"}
            for x in plan.noises
        ],
        "captions": [
            {"id": c.id, "start_s": c.start_s, "end_s": c.end_s, "text": c.text}
            | ({"slide": c.slide} if c.slide else {})
            for c in plan.signs
        ],
        "questions": [{"id": f"{tag}_q{k:02d}"} | item for k, item in enumerate(items, 1)],
    }
    return dict(_rounded(truth))


def _describe_shot(shot: Shot) -> dict[str, Any]:
    return {
        "id": shot.id,
        "start_s": shot.start_s,
        "end_s": shot.end_s,
        "clip": shot.view.place,
        "description": shot.description,
        "revisit_of": shot.revisit_of,
    }


def _describe_line(line: Line) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": line.id,
        "start_s": line.start_s,
        "end_s": line.end_s,
        "text": line.text,
        "synthetic": True,
        "source": f"espeak-ng {line.voice}",
    }
    if len(line.parts) > 1:
        entry["parts"] = [{"start_s": a, "end_s": b, "text": text} for a, b, text in line.parts]
    return entry


def _describe_cut(plan: Plan, cut_s: float) -> dict[str, Any]:
    """Whether a line runs over the cut, and how long it is quiet on either side."""
    over = next((line for line in plan.lines if line.start_s < cut_s < line.end_s), None)
    spans = [(line.start_s, line.end_s) for line in plan.lines] + [(x.start_s, x.end_s) for x in plan.noises]
    before = cut_s - max((end for _, end in spans if end <= cut_s), default=0.0)
    after = min((start for start, _ in spans if start >= cut_s), default=plan.duration_s) - cut_s
    return {
        "cut_s": cut_s,
        "audio": "crosses" if over else "silent",
        "item": over.id if over else None,
        "quiet_before_s": 0 if over else before,
        "quiet_after_s": 0 if over else after,
    }


def _rounded(value: Any) -> Any:
    """Floats to three decimals, tuples to lists: as JSON shows them."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(inner) for inner in value]
    return value
