"""Watching files side by side with Ray: the same memory as one process leaves, whoever dies on the way."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image, ImageDraw, ImageFont
from typer.testing import CliRunner

import mneme
from mneme.encoders.profiles import make_profile
from mneme.errors import LockedError, MissingError, MnemeError, SettingsError
from mneme.memory.lock import is_held
from mneme.memory.memory import Ack, Memory
from mneme.memory.settings import MemorySettings
from mneme.pipeline.actors import CREDITS, Request
from mneme.pipeline.cluster import cluster, settled
from mneme.pipeline.conductor import Crew, Failed, requests_of, watch_many
from mneme.pipeline.credits import Credits
from mneme.pipeline.opening import begin, open_to_write
from mneme.pipeline.pool import EncoderActor
from mneme.pipeline.senses import senses_of
from mneme.pipeline.sources import SourceInfo, SourceSettings
from mneme.pipeline.watch import AHEAD, Progress, Watched, watch
from mneme.records import Observation, Picture
from mneme.ui.cli import app
from tests.waiting import wait_for

pytest.importorskip("ray", reason="the extra `serve` is not installed")

SIZE = (320, 180)
SECONDS = 12
EMBEDDED = make_profile("embedded")


def scene(seed: int, sign: str = "") -> Callable[[float], Picture]:
    """A painted wall that drifts, with a sign on it for most of its 6 s."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(30, 225, (9, 16, 3), dtype=np.uint8)
    wall = Image.fromarray(colours).resize((SIZE[0] + 120, SIZE[1]), Image.Resampling.BICUBIC)
    font = ImageFont.load_default(size=24)

    def draw(t_s: float) -> Picture:
        local = t_s % 6
        picture = wall.crop((int(local * 16), 0, int(local * 16) + SIZE[0], SIZE[1]))
        if sign and 1 <= local < 5:
            pen = ImageDraw.Draw(picture)
            pen.rectangle((30, 120, 290, 164), fill=(15, 15, 15))
            pen.text((44, 128), sign, font=font, fill=(255, 255, 255))
        return np.asarray(picture, dtype=np.uint8)

    return draw


def bell(at_s: float) -> Callable[[Any], Any]:
    def ring(t: Any) -> Any:
        tone = np.where(t >= at_s, np.exp(-3 * np.clip(t - at_s, 0, 60)) * np.sin(2 * np.pi * 1760 * t), 0.0)
        return (0.5 * tone + 1e-4 * np.sin(2 * np.pi * 50 * t)).astype(np.float32)

    return ring


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory, make_video: Any) -> list[str]:
    """Two films of 12 s: two scenes with a sign, a subtitle file beside each, a bell."""
    folder = tmp_path_factory.mktemp("films")
    made = []
    for name, seed, sign, said, at_s in (
        ("pier", 1, "PIER 3 NORVIK", "The ferry to Norvik leaves from pier three.", 8.0),
        ("hall", 5, "HALL 12 OPEN", "The bakery opens at half past six.", 4.0),
    ):
        (folder / f"{name}.srt").write_text(f"1\n00:00:02,000 --> 00:00:04,500\n{said}\n", encoding="utf-8")
        scenes = [scene(seed, sign), scene(seed + 1)]
        path = folder / f"{name}.mp4"
        make_video(path, seconds=SECONDS, fps=10, size=SIZE, scenes=scenes, sound=bell(at_s), numbered=False)
        made.append(str(path))
    return made


@pytest.fixture(scope="module")
def alone(films: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of the films, one after the other."""
    folder = tmp_path_factory.mktemp("alone") / "m.mneme"
    with mneme.open(folder) as memory:
        for film in films:
            memory.watch(film)
    return folder


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """One cluster for this file; `watch_many` uses it as it finds it."""
    with cluster() as running:
        yield running


def processes(actor: str, of: int | None = None) -> list[psutil.Process]:
    """The processes in which actors live (of the class that is named), under this process or that one."""
    under = psutil.Process(of).children(recursive=True)
    return [p for p in under if re.search(rf"ray::{actor or '(Encoder|Memory|Source)'}", " ".join(p.cmdline()))]


def content(folder: Path) -> tuple[list[Any], list[Any]]:
    with Memory.open(folder) as memory:
        assert memory.check().ok
        snapshot = memory.snapshot()
        percepts = [(p.id, p.stream, p.lane, p.t0_ns, p.t1_ns, p.text, p.origin) for p in snapshot.percepts()]
        return percepts, [(e.id, e.t0_ns, e.t1_ns, e.gist, e.percepts, e.links) for e in snapshot.events()]


def vectors(folder: Path) -> dict[str, Any]:
    with Memory.open(folder) as memory:
        return {p.id: p.vector for p in memory.snapshot().percepts(with_vectors=True)}


@pytest.mark.usefixtures("ray")
def test_two_workers_make_the_memory_that_one_process_makes(
    films: list[str], alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the commands of docs/ray.md."""
    for film in films:
        for path in (Path(film), Path(film).with_suffix(".srt")):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    page = (Path(mneme.__file__).parent / "docs" / "ray.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    commands = [shlex.split(line)[1:] for line in block.strip().splitlines()]
    own = vectors(alone)
    for number, command in enumerate(commands):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        if number == 0:
            assert "ready in" in done.stderr
            assert "hall: 12.0 s" in done.stdout
        elif number == 1:
            assert "half past six" in done.stdout
            continue
        else:
            assert [watched["stream"] for watched in json.loads(done.stdout)] == ["pier", "hall"]
        assert content(tmp_path / "town.mneme") == content(alone)
        assert {id for id, *_ in content(alone)[0]} == own.keys()
        assert all(np.abs(v - own[id]).max() <= 1e-3 for id, v in vectors(tmp_path / "town.mneme").items())
    assert {lane for _, _, lane, *_ in content(alone)[0]} == {"vision", "sound", "speech", "caption"}


def test_actors_killed_half_way_lose_nothing_and_change_nothing(
    ray: Any, films: list[str], alone: Path, tmp_path: Path
) -> None:
    acknowledged: list[str] = []
    killed: list[str] = []

    def kill(_stream: str, progress: Progress) -> None:
        for actor, at_s in (("EncoderActor", 3.0), ("SourceActor", 7.0)):
            if actor not in killed and progress.t_ns > at_s * 1e9:
                for process in processes(actor):
                    process.kill()
                    killed.append(actor)

    def note(_stream: str, ack: Ack) -> None:
        acknowledged.extend(percept.id for percept in ack.percepts)

    with Crew(ray, tmp_path / "m.mneme", "embedded", 1, MemorySettings()) as crew:
        done = crew.watch(requests_of(films, settings=SourceSettings()), progress=kill, acknowledged=note)
    assert set(killed) == {"EncoderActor", "SourceActor"}
    assert all(isinstance(d, Watched) for d in done), done
    assert content(tmp_path / "m.mneme") == content(alone)
    assert set(acknowledged) <= {id for id, *_ in content(alone)[0]}


def test_a_file_that_cannot_be_watched_fails_alone_with_one_line(
    ray: Any, films: list[str], tmp_path: Path, make_video: Any, caplog: pytest.LogCaptureFixture
) -> None:
    broken, twin = tmp_path / "broken.mp4", tmp_path / "twin.mp4"
    broken.write_bytes(b"not a video" * 100)
    twin.write_bytes(Path(films[0]).read_bytes())
    cut = make_video(tmp_path / "cut.mkv", seconds=10, size=(64, 48))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])

    def requests(*sources: object, replace: bool = False) -> list[Request]:
        return requests_of(list(map(str, sources)), settings=SourceSettings(), lanes=("speech",), replace=replace)

    with Crew(ray, tmp_path / "m.mneme", "embedded", 1, MemorySettings()) as crew:
        done = crew.watch(requests(films[0], broken, tmp_path / "gone.mp4"))
        done += crew.watch(requests(films[0], twin))
        (short,) = crew.watch(requests(cut))
        (replaced,) = crew.watch(requests(films[0], replace=True))
    assert isinstance(done[0], Watched)
    told = ("broken.mp4", "gone.mp4", "'pier' was watched already", "in the memory already as stream 'pier'")
    for failed, words in zip(done[1:], told, strict=True):
        assert isinstance(failed, Failed)
        assert words in str(failed.error)
        assert "\n" not in str(failed.error)
    assert isinstance(short, Watched)
    assert "cut.mkv: cut off" in caplog.text  # told here, though it was noticed in an actor
    assert isinstance(replaced, Watched)
    percepts, _ = content(tmp_path / "m.mneme")
    assert [text for *_, text, _ in percepts] == ["The ferry to Norvik leaves from pier three."]


def test_a_memory_that_another_process_writes_is_refused_by_its_name(films: list[str], tmp_path: Path) -> None:
    with mneme.open(tmp_path / "m.mneme") as memory:
        memory.watch(films[0], lanes=("speech",))
        with pytest.raises(LockedError, match=f"process {os.getpid()}"):
            watch_many(films, tmp_path / "m.mneme", 2)


def test_a_writer_that_stands_still_holds_the_sources_back(ray: Any, tmp_path: Path, make_video: Any) -> None:
    noise = np.random.default_rng(3)
    frames = [noise.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(200)]
    film = make_video(
        tmp_path / "noise.mp4", seconds=20, fps=10, size=(64, 48), scenes=frames, numbered=False
    )  # every picture is another: each is encoded
    stood: list[tuple[int, int]] = []

    def stop(_stream: str, progress: Progress) -> None:
        if stood:
            return
        writer.suspend()
        try:
            before, now = -1, -2
            while before != now:  # until the source waits
                before, now = now, settled(crew.encoders[0].load.remote())[1]
                time.sleep(0.7)
        finally:
            writer.resume()
        stood.append((progress.frames, now))

    with Crew(ray, tmp_path / "m.mneme", "embedded", 1, MemorySettings()) as crew:
        (writer,) = processes("MemoryActor")
        requests = requests_of([str(film)], settings=SourceSettings(fps=10), lanes=("vision",))
        (done,) = crew.watch(requests, progress=stop)
        encoded = settled(crew.encoders[0].load.remote())[1]
    assert isinstance(done, Watched)
    assert done.frames == 200
    (at, ahead) = stood[0]
    assert ahead < at + 2 * (CREDITS + 2 * AHEAD), "the source did not wait"
    assert ahead < encoded  # it went on afterwards


class Camera:
    """A live source of pictures that nobody can hold back."""

    truncated = None
    errors = 0
    info = SourceInfo("camera", "camera", "", None, *SIZE, 30.0, has_sound=False, has_subtitles=False, live=True)

    def __init__(self, pictures: int) -> None:
        self.pictures = pictures

    def observations(self, start_ns: int = 0) -> Iterator[Observation]:
        draw = scene(9)
        for number in range(self.pictures):
            yield Observation("camera", start_ns + number * 200_000_000, {"": draw(number / 5)})
            time.sleep(0.002)

    def frame_at(self, t_ns: int) -> tuple[int, Picture]:
        return t_ns, scene(9)(t_ns / 1e9)

    def close(self) -> None: ...


def test_a_live_source_drops_what_a_slow_writer_cannot_take_and_counts_it(tmp_path: Path) -> None:
    camera = Camera(300)
    last_ns = 299 * 200_000_000
    times: list[int] = []

    def slow(progress: Progress) -> None:
        times.append(progress.t_ns)
        time.sleep(0.02)

    with open_to_write(tmp_path / "m.mneme", "embedded", EMBEDDED.spaces, MemorySettings()) as memory:
        recorder = begin(memory, camera.info, "embedded")
        senses = senses_of(camera.info, EMBEDDED, ("vision",), 200_000_000, words=False)
        done = watch(camera, memory, recorder, senses, 200_000_000, progress=slow)
    assert done.dropped > 100
    assert times[-1] >= last_ns  # the newest was kept
    assert done.duration_s >= last_ns / 1e9


def test_credits_hold_back_until_the_oldest_has_arrived() -> None:
    under_way: list[int] = []
    most = 0

    def send(number: int) -> int:
        nonlocal most
        under_way.append(number)
        most = max(most, len(under_way))
        return number

    credits = Credits[int](3, under_way.remove)
    for number in range(10):
        credits.spend(lambda n=number: send(n))
    assert most == 3
    assert under_way == [7, 8, 9]
    credits.settle()
    assert under_way == []


def test_streams_are_encoded_together_and_get_what_they_would_get_alone() -> None:
    texts = ["the ferry leaves", "a very long sentence about a bakery that opens at half past six in the morning", "no"]
    pictures = [scene(seed)(1.0) for seed in range(3)]
    rng = np.random.default_rng(4)
    sounds = [rng.normal(0, 0.1, n).astype(np.float32) for n in (800, 16_000, 4_000)]

    async def ask() -> tuple[list[Any], tuple[int, int]]:
        actor = EncoderActor("embedded")
        await actor.contents()
        asked: list[tuple[Any, Any]] = [("text", t) for t in texts]
        asked += [("vision", p) for p in pictures] + [("sound", s) for s in sounds]
        return await asyncio.gather(*(actor.encode(kind, [item]) for kind, item in asked)), await actor.load()

    together, (batches, inputs) = asyncio.run(ask())
    singly = [EMBEDDED.text.encode([t]) for t in texts] + [EMBEDDED.vision.encode([p]) for p in pictures]
    singly += [EMBEDDED.sound.encode([s]) for s in sounds]
    assert inputs == 9
    assert batches == 3
    for one, other in zip(together, singly, strict=True):
        assert np.abs(one.vectors - other.vectors).max() <= 1e-3
        assert (one.tokens is None) == (other.tokens is None)


def test_an_encoder_that_refuses_tells_who_asked_and_serves_the_next(ray: Any) -> None:
    actor = ray.remote(EncoderActor).options(num_cpus=0).remote("embedded")
    with pytest.raises(MnemeError, match="broke down"):
        settled(actor.encode.remote("vision", [None]))
    assert settled(actor.encode.remote("text", ["a ferry"])).vectors.shape == (1, 384)
    ray.kill(actor)


def test_what_cannot_be_is_refused_before_anything_starts(
    films: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # whoever starts Ray is told that it is not there
    memory = tmp_path / "m.mneme"
    with pytest.raises(SettingsError, match="both be remembered as 'pier'"):
        watch_many([films[0], str(tmp_path / "pier.mkv")], memory)
    with pytest.raises(SettingsError, match="--stream is of one source"):
        watch_many(films, memory, stream="day")
    with pytest.raises(SettingsError, match="--subtitles is of one source"):
        watch_many(films, memory, subtitles=tmp_path / "a.srt")
    with pytest.raises(SettingsError, match="no lane 'smell'"):
        watch_many(films, memory, lanes=("smell",))  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="fps"):
        watch_many(films, memory, fps=0)
    with pytest.raises(SettingsError, match="0 workers"):
        watch_many(films, memory, 0)
    with pytest.raises(SettingsError, match="no profile 'strong'"):
        watch_many(films, memory, profile="strong")
    with pytest.raises(MissingError, match=r"mneme\[serve\]"):
        watch_many(films, memory)
    assert not memory.exists()


DRIVER = """
import sys
from pathlib import Path
from mneme.pipeline.conductor import watch_many

def acknowledged(stream, ack):
    for percept in ack.percepts:
        print(percept.id, flush=True)

watch_many(sys.argv[2:], Path(sys.argv[1]), 1, acknowledged=acknowledged)
"""


def test_when_the_command_is_killed_no_actor_stays_and_what_was_acknowledged_does(
    films: list[str], alone: Path, tmp_path: Path
) -> None:
    path = tmp_path / "m.mneme"
    command = [sys.executable, "-c", DRIVER, str(path), *films]
    with (
        tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as short,  # Ray's logs outlive a kill
        subprocess.Popen(command, stdout=-1, stderr=-1, text=True, env={**os.environ, "TMPDIR": short}) as driver,
    ):
        assert driver.stdout is not None
        acknowledged = [driver.stdout.readline().strip() for _ in range(2)]
        actors = processes("", driver.pid)
        driver.kill()
        acknowledged += [line.strip() for line in driver.stdout if line.endswith("\n")]
    assert len(actors) >= 4

    def runs(process: psutil.Process) -> bool:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE

    # held: by an actor whose process was not yet to be found when the command died
    wait_for(lambda: not any(map(runs, actors)) and not is_held(path), 120)
    assert all(acknowledged)
    assert set(acknowledged) <= {id for id, *_ in content(path)[0]}
    with mneme.open(path) as memory:
        done = {state.stream.id for state in memory.streams() if state.done}
        for film in films:
            if Path(film).stem not in done:
                memory.watch(film)
    assert content(path) == content(alone)


def test_a_ray_that_does_not_start_is_one_line_with_its_mend() -> None:
    script = (
        "from mneme.pipeline.cluster import import_ray, start\n"
        "start(import_ray(), mend='mend it', _temp_dir='/proc/no-folder')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert re.search(r"^mneme\.errors\.MnemeError: cannot start Ray: .+ mend it", done.stderr, re.M | re.S)
