"""The profile `clip` on checkpoints that the test writes, and on a hub that the test runs: loading is the real one."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from mneme.encoders import clip as clip_module
from mneme.encoders import hub, pretrained
from mneme.encoders.base import Encoder
from mneme.encoders.clap import ClapSettings, load_clap
from mneme.encoders.clip import ClipSettings, ClipVision, Prepare, compiled_name, load_clip
from mneme.encoders.pretrained import Choice, Clip, choose, outlook
from mneme.encoders.profiles import Embedded, make_profile
from mneme.encoders.text_tower import TextTower
from mneme.encoders.towers import towers_of
from mneme.encoders.whisper import WhisperModel, WhisperSettings
from mneme.errors import MissingError, SettingsError
from mneme.pipeline.compile import compile_tower
from mneme.records import SOUND_RATE, Vector, samples_to_ns
from tests.checkpoints import OWN, SAID, TIMM, write_clap, write_clip, write_whisper
from tests.model_hub import Hub

RNG = np.random.default_rng(3)
PICTURES = [RNG.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((72, 128), (90, 60), (72, 128), (300, 400))]
SOUNDS = [(RNG.standard_normal(n) * 0.1).astype(np.float32) for n in (1, 800, 24_000, 25 * SOUND_RATE)]
TEXTS = ["a red mug", "", "Grüße aus Köln, 東京 🚪", "the tide turns at noon " * 60]
TOLERANCE = 2e-6


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint of each model."""
    root = tmp_path_factory.mktemp("weights")
    write_clip(root / "clip", OWN)
    write_clip(root / "siglip", TIMM)
    write_clap(root / "clap")
    write_clap(root / "clap-fused", fusion=True)
    write_whisper(root / "whisper", root / "whisper-torch")
    return root


def settings_of(weights: Path) -> dict[str, Any]:
    """The sections of a settings file that names the checkpoints."""
    return {
        "clip": {"model": str(weights / "clip"), "device": "cpu"},
        "clap": {"model": str(weights / "clap"), "device": "cpu"},
        "whisper": {"model": str(weights / "whisper"), "device": "cpu"},
    }


@pytest.fixture(scope="module")
def profile(weights: Path) -> Clip:
    return Clip(make_profile("embedded"), settings_of(weights))


@pytest.fixture(scope="module")
def siglip(weights: Path) -> tuple[ClipVision, TextTower]:
    return load_clip(ClipSettings(model=str(weights / "siglip"), device="cpu", grid=5))


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("MNEME_", "HF_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


class TestTheEncoders:
    """The contract of `encoders/base.py`."""

    @pytest.fixture(params=["clip", "siglip", "clap", "clip text", "clap text"])
    def given(self, request: pytest.FixtureRequest, profile: Clip, siglip: Any) -> tuple[Encoder[Any], list[Any]]:
        towers: dict[str, tuple[Encoder[Any], list[Any]]] = {
            "clip": (profile.vision, PICTURES),
            "siglip": (siglip[0], PICTURES),
            "clap": (profile.sound, SOUNDS),
            "clip text": (profile.query_encoders["clip"], TEXTS),
            "clap text": (profile.query_encoders["clap"], TEXTS),
        }
        return towers[request.param]

    def test_give_unit_vectors_in_the_space_they_name(self, given: tuple[Encoder[Any], list[Any]]) -> None:
        encoder, inputs = given
        encoded = encoder.encode(inputs)
        assert encoded.vectors.shape == (len(inputs), encoder.spec.space.dim)
        assert encoded.vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(encoded.vectors, axis=1), 1.0, atol=1e-5)
        assert len(encoder.spec.space.weights) == 16
        assert encoder.encode([]).vectors.shape == (0, encoder.spec.space.dim)

    def test_give_the_same_alone_and_in_a_batch(self, given: tuple[Encoder[Any], list[Any]]) -> None:
        encoder, inputs = given
        together = encoder.encode(inputs)
        for i, item in enumerate(inputs):
            alone = encoder.encode([item])
            np.testing.assert_allclose(alone.vectors[0], together.vectors[i], rtol=0, atol=TOLERANCE)
            if together.tokens is not None and alone.tokens is not None:
                np.testing.assert_allclose(alone.tokens[0], together.tokens[i], rtol=0, atol=1e-3)

    def test_tell_inputs_apart(self, given: tuple[Encoder[Any], list[Any]]) -> None:
        encoder, inputs = given
        vectors = encoder.encode(inputs).vectors
        assert np.abs(vectors[0] - vectors[2]).max() > 1e-4


class TestClip:
    def test_gives_the_vectors_that_open_clip_gives(self, weights: Path) -> None:
        import open_clip

        settings = ClipSettings(model=str(weights / "clip"), device="cpu", whole=False, prompt="{}")
        vision, text = load_clip(settings)
        model = open_clip.create_model(f"local-dir:{weights / 'clip'}").eval()
        pixels = torch.from_numpy(vision.prepare(PICTURES))
        with torch.inference_mode():
            seen = model.encode_image(pixels, normalize=True).numpy()
            said = model.encode_text(open_clip.tokenize(TEXTS), normalize=True).numpy()
        np.testing.assert_allclose(vision.encode(PICTURES).vectors, seen, atol=TOLERANCE)
        np.testing.assert_allclose(text.encode(TEXTS).vectors, said, atol=TOLERANCE)

    def test_gives_patch_tokens_in_the_same_space_and_no_more_than_the_grid(self, profile: Clip, siglip: Any) -> None:
        for vision, side in ((profile.vision, 4), (siglip[0], 5)):  # 8 x 8 averaged to 4 x 4, 10 x 10 to 5 x 5
            tokens = vision.encode(PICTURES).tokens
            assert tokens is not None
            assert tokens.dtype == np.float16
            assert tokens.shape == (len(PICTURES), side * side, vision.spec.space.dim)
            np.testing.assert_allclose(np.linalg.norm(tokens.astype(np.float32), axis=2), 1.0, atol=2e-3)

    def test_a_patch_token_depends_on_where_the_picture_differs(self, profile: Clip) -> None:
        plain = np.full((64, 64, 3), 120, np.uint8)
        marked = plain.copy()
        marked[48:, 48:] = (250, 10, 10)
        tokens = profile.vision.encode([plain, marked]).tokens
        assert tokens is not None
        moved = np.abs(np.diff(tokens.astype(np.float32), axis=0)[0]).sum(axis=1)
        assert moved.argmax() == 15, "the last of 4 x 4"

    @pytest.mark.parametrize("mode", ["shortest", "squash"])
    def test_prepares_pictures_as_open_clip_does_through_pillow(self, mode: str) -> None:
        from open_clip.transform import PreprocessCfg, image_transform_v2

        ramp = np.linspace(0, 255, 300 * 400 * 3).reshape(300, 400, 3).astype(np.uint8)
        config = {"size": 64, "mean": (0.48, 0.46, 0.41), "std": (0.27, 0.26, 0.28), "resize_mode": mode}
        theirs = image_transform_v2(PreprocessCfg(**config), is_train=False)
        ours = Prepare({**config, "interpolation": "bicubic"}, whole=False)
        for picture in (ramp, *PICTURES):
            gap = np.abs(ours([picture])[0] - theirs(Image.fromarray(picture)).numpy()) * 0.27 * 255
            assert gap.mean() < 0.5, "levels of 255, also where noise is enlarged"
            assert gap.max() < 1.5 or picture is not ramp

    def test_sees_the_sides_of_a_wide_picture_unless_told_not_to(self, weights: Path) -> None:
        wide = np.full((72, 128, 3), 120, np.uint8)
        sided = wide.copy()
        sided[:, :20] = (250, 10, 10)
        for whole in (True, False):
            vision, _ = load_clip(ClipSettings(model=str(weights / "clip"), device="cpu", whole=whole))
            vectors = vision.encode([wide, sided]).vectors
            assert (np.abs(vectors[0] - vectors[1]).max() > 1e-3) == whole

    def test_loads_a_checkpoint_by_its_path_and_knows_other_weights_as_another_space(self, tmp_path: Path) -> None:
        import open_clip

        spaces = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            model = open_clip.create_model("ViT-S-32-alt")
            path = tmp_path / f"{seed}.pt"
            torch.save(model.state_dict(), path)  # open_clip's older format; read with weights_only
            vision, _ = load_clip(ClipSettings("ViT-S-32-alt", str(path), device="cpu"))
            spaces.append(vision.spec.space)
        assert spaces[0].dim == 256
        assert spaces[0].weights != spaces[1].weights

    def test_a_prompt_stands_around_a_query(self, weights: Path) -> None:
        _, plain = load_clip(ClipSettings(model=str(weights / "clip"), device="cpu", prompt="{}"))
        _, prompted = load_clip(ClipSettings(model=str(weights / "clip"), device="cpu"))
        np.testing.assert_array_equal(
            plain.encode(["a photo of a red mug"]).vectors, prompted.encode(["a red mug"]).vectors
        )
        assert plain.spec == prompted.spec, "a prompt changes the question, not the space"


class TestClap:
    def test_gives_the_vectors_that_transformers_gives(self, weights: Path) -> None:
        from torchaudio.functional import resample
        from transformers import ClapFeatureExtractor, ClapModel

        sound, _ = load_clap(ClapSettings(model=str(weights / "clap"), device="cpu"))
        model = ClapModel.from_pretrained(weights / "clap")
        extractor = ClapFeatureExtractor.from_pretrained(weights / "clap")
        at_48k = resample(torch.from_numpy(SOUNDS[2]), SOUND_RATE, 48_000).numpy()
        with torch.inference_mode():
            features = extractor([at_48k], sampling_rate=48_000, return_tensors="pt")
            theirs = model.get_audio_features(**features).pooler_output.numpy()
        np.testing.assert_allclose(sound.encode([SOUNDS[2]]).vectors, theirs, atol=TOLERANCE)

    def test_a_long_sound_is_the_mean_of_its_windows_and_never_a_matter_of_chance(self, weights: Path) -> None:
        for name in ("clap", "clap-fused"):
            sound, _ = load_clap(ClapSettings(model=str(weights / name), device="cpu"))
            first = sound.encode([SOUNDS[3]]).vectors
            np.random.seed(5)  # noqa: NPY002  the extractor draws from the global generator
            np.testing.assert_array_equal(sound.encode([SOUNDS[3]]).vectors, first)
            whole = sound.encode([SOUNDS[3][: 20 * SOUND_RATE]]).vectors[0]
            halves = sound.encode([SOUNDS[3][: 10 * SOUND_RATE], SOUNDS[3][10 * SOUND_RATE : 20 * SOUND_RATE]]).vectors
            assert float(whole @ halves.mean(axis=0)) > 0.999


class TestWhisper:
    @pytest.fixture
    def spoken(self) -> Vector:
        """A voice (see `test_speech.py`) between two seconds of silence on either side."""
        import av

        with av.open(str(Path(__file__).parent / "data" / "spoken.flac")) as file:
            frames = [frame.to_ndarray()[0] for frame in file.decode(audio=0)]
        voice = (np.concatenate(frames) / 32768).astype(np.float32)
        quiet = np.zeros(2 * SOUND_RATE, np.float32)
        return np.concatenate([quiet, voice, quiet])

    def test_hears_words_where_someone_speaks_whatever_the_chunks(self, profile: Clip, spoken: Vector) -> None:
        told = []
        for chunk in (len(spoken), 1600, 7777):
            origin, listener = profile.speech()
            assert origin == "whisper"
            heard = []
            for at in range(0, len(spoken), chunk):
                heard += listener.push(samples_to_ns(at), spoken[at : at + chunk])
            told.append(heard + listener.flush())
        assert [h.text for h in told[0]] == [SAID]
        assert 1.5e9 < told[0][0].t0_ns < 3e9, "the voice starts after two seconds"
        assert 0 < told[0][0].confidence <= 1
        assert told[1] == told[0]
        assert told[2] == told[0]

    def test_hears_nothing_where_there_is_silence(self, profile: Clip) -> None:
        _, listener = profile.speech()
        assert listener.push(0, np.zeros(5 * SOUND_RATE, np.float32)) == []
        assert listener.flush() == []

    def test_refuses_a_language_that_the_model_does_not_know(self, weights: Path) -> None:
        with pytest.raises(SettingsError, match="language 'fr'"):
            WhisperModel(WhisperSettings(model=str(weights / "whisper"), device="cpu", language="fr"))


class TestTheProfile:
    def test_keeps_words_in_the_space_of_minilm_and_has_one_for_each_sense(self, profile: Clip) -> None:
        assert [space.name for space in profile.spaces] == ["minilm", "clip", "clap", "layout"]
        assert profile.text is make_profile("embedded").text

    def test_embeds_a_query_in_the_spaces_of_words_sights_and_sounds(self, profile: Clip) -> None:
        towers = profile.query_encoders
        assert set(towers) == {"minilm", "clip", "clap"}
        assert towers["clip"].spec.space == profile.vision.spec.space
        assert towers["clap"].spec.space == profile.sound.spec.space
        assert set(Embedded().query_encoders) == {"minilm"}

    def test_is_loaded_once_and_only_what_is_asked_for(self, weights: Path) -> None:
        lacking = {**settings_of(weights), "clap": {"model": "/nowhere"}}
        profile = Clip(make_profile("embedded"), lacking)
        assert profile.vision is profile.vision
        with pytest.raises(MissingError, match="/nowhere"):
            _ = profile.sound

    def test_a_memory_is_made_with_it_and_remembers_its_spaces(
        self, profile: Clip, make_video: Any, tmp_path: Path
    ) -> None:
        from mneme.memory.memory import Memory
        from mneme.pipeline.opening import begin, open_to_write
        from mneme.pipeline.senses import DEFAULT_LANES, senses_of
        from mneme.pipeline.sources import open_source
        from mneme.pipeline.watch import watch

        make_video(tmp_path / "film.mp4", seconds=4, fps=5, size=(160, 120))
        source = open_source(tmp_path / "film.mp4", stream="film", fps=1.0)
        memory = open_to_write(tmp_path / "m", profile.name, profile.spaces, Memory.open.__kwdefaults__["settings"])
        with memory:
            recorder = begin(memory, source.info, profile.name)
            watch(source, memory, recorder, senses_of(source.info, profile, DEFAULT_LANES, 10**9, words=True), 10**9)
            query = profile.query_encoders["clip"].encode(["a room"]).vectors[0]
            hits = memory.snapshot().nearest("clip", query, limit=3, lanes=("vision",))
        source.close()
        assert hits
        assert all(hit.percept.space == "clip" for hit in hits)


@pytest.fixture
def model_hub(weights: Path) -> Iterator[Hub]:
    server = Hub(weights)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


LOAD = """
import json, sys
from mneme.encoders.pretrained import Clip, absent, outlook
from mneme.encoders.profiles import make_profile
lacked, choice = absent(), outlook()
profile = make_profile("clip")
profile.speech()
print(json.dumps([lacked, choice.profile, [s.weights for s in profile.spaces], absent()]))
"""


def test_weights_come_from_the_hub_once_with_progress_and_from_the_cache_when_it_is_off(
    model_hub: Hub, profile: Clip, tmp_path: Path
) -> None:
    sections = {"clip": "hf-hub:maker/clip", "clap": "maker/clap", "whisper": "maker/whisper"}
    lines = [f'[{section}]\nmodel = "{model}"\ndevice = "cpu"\n' for section, model in sections.items()]
    (tmp_path / "mneme.toml").write_text("".join(lines))
    settings = {"HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": model_hub.address, "OMP_NUM_THREADS": "1"}

    def load(**more: str) -> tuple[Any, str]:
        """What `LOAD` says in a process of its own, and what its terminal shows."""
        screen, tty = os.openpty()  # bars are for terminals
        termios.tcsetwinsize(tty, (24, 100))
        command = [sys.executable, "-c", LOAD]
        with subprocess.Popen(
            command, env={**os.environ, **settings, **more}, stdout=subprocess.PIPE, stderr=tty, text=True
        ) as process:
            os.close(tty)
            shown = b""
            with contextlib.suppress(OSError):  # how a terminal ends
                while piece := os.read(screen, 65_536):
                    shown += piece
            os.close(screen)
            assert process.stdout is not None
            said = process.stdout.read()
        assert process.returncode == 0, shown.decode()
        return json.loads(said.splitlines()[-1]), shown.decode()

    (lacked, chosen, found, still), shown = load()
    assert lacked == ["CLIP clip", "CLAP clap", "Whisper whisper"]
    assert chosen == "clip", "the hub answers"
    assert found == [space.weights for space in profile.spaces], "the same weights as those in the folders"
    assert still == []
    assert "model.bin" in shown, "the bar of a download names its file"
    assert "100%" in shown
    assert {"clip/open_clip_model.safetensors", "clap/model.safetensors", "whisper/model.bin"} <= set(model_hub.served)

    before = len(model_hub.served)
    for without in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:1"}):  # off, and out of reach
        said, shown = load(**without)
        assert said == [[], "clip", found, []]
        assert "%" not in shown, "nothing is downloaded"
        assert "Retrying" not in shown, "nothing is asked for"
    assert len(model_hub.served) == before


class TestWhatIsMissing:
    def test_is_named_with_the_mend(self, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        (tmp_path / "empty").mkdir()
        broken = tmp_path / "broken"
        broken.mkdir()
        (broken / "open_clip_config.json").write_text((weights / "clip" / "open_clip_config.json").read_text())
        (broken / "open_clip_model.safetensors").write_bytes(b"no weights")
        for make, match in (
            (lambda: load_clip(ClipSettings(model=str(tmp_path / "empty"))), "no open_clip_config.json; name a folder"),
            (lambda: load_clip(ClipSettings(model=str(broken))), "CLIP cannot be loaded"),
            (lambda: load_clip(ClipSettings(model="hf-hub:no/one")), "switched off .HF_HUB_OFFLINE.; unset it once"),
            (lambda: load_clip(ClipSettings()), "of laion/CLIP-ViT-B-32-laion2B-s34B-b79K is not in the cache"),
            (lambda: load_clap(ClapSettings(model="/nowhere")), "no folder /nowhere; name a folder"),
            (lambda: load_clap(ClapSettings(model=str(weights / "clip"))), "no config.json; name a folder"),
            (lambda: load_clap(ClapSettings(model="no/one")), "switched off"),
            (lambda: WhisperModel(WhisperSettings(model=str(tmp_path / "empty"))), "no config.json; name a folder"),
            (lambda: WhisperModel(WhisperSettings(model="no/one")), "switched off"),
        ):
            with pytest.raises(MissingError, match=match) as caught:
                make()
            assert "\n" not in str(caught.value)

    def test_names_that_do_not_fit_are_refused_with_those_that_do(self) -> None:
        for settings, match in (
            (ClipSettings(model="ViT-Imagined"), "no model 'ViT-Imagined'"),
            (ClipSettings(pretrained="imagined"), "no weights 'imagined'.*laion2b_s34b_b79k"),
            (ClipSettings(pretrained="openai"), "name model 'ViT-B-32-quickgelu'"),
        ):
            with pytest.raises(SettingsError, match=match):
                load_clip(settings)
        with pytest.raises(SettingsError, match="no size 'huge'"):
            WhisperModel(WhisperSettings(model="huge"))

    def test_a_library_that_is_not_installed_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(pretrained.LIBRARIES, "an_imagined_library", "imagined")
        with pytest.raises(MissingError, match=r"imagined is not installed; pip install 'mneme\[clip\]'"):
            pretrained.absent({})
        assert outlook({}).profile == "embedded"

    def test_a_hub_that_does_not_answer_costs_no_more_than_its_patience(self) -> None:
        import socket

        with socket.create_server(("127.0.0.1", 0)) as deaf:
            started = time.monotonic()
            assert not hub.answers(0.3, f"http://127.0.0.1:{deaf.getsockname()[1]}")
            assert time.monotonic() - started < 3


class TestAuto:
    def test_takes_clip_where_the_weights_are_here(self, weights: Path) -> None:
        assert choose(settings_of(weights)) == Choice("clip", "its weights are on this machine")

    def test_takes_embedded_where_they_are_not_and_the_hub_is_off(
        self, weights: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        choice = choose({**settings_of(weights), "clap": {"model": "no/one"}})
        assert choice.profile == "embedded"
        assert "lacks CLAP one" in choice.why
        assert "HF_HUB_OFFLINE" in choice.why

    def test_asks_the_hub_where_they_are_not(
        self, weights: Path, model_hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lacking = {**settings_of(weights), "clap": {"model": "no/one"}}
        monkeypatch.setenv("HF_ENDPOINT", model_hub.address)
        assert choose(lacking).profile == "clip"
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")  # no one listens there
        choice = choose(lacking, patience_s=0.5)
        assert choice.profile == "embedded"
        assert "did not answer within 0.5 s" in choice.line

    def test_takes_what_the_settings_name_without_a_look(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level("INFO", logger=pretrained.__name__):
            assert choose({"encoders": {"profile": "embedded"}}).profile == "embedded"
        assert caplog.messages == []


def test_doctor_says_which_profiles_work_and_why_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from mneme.ui.cli import app

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("MNEME_CLAP_MODEL", "no/one")
    monkeypatch.setenv("MNEME_CLIP_MODEL", f"hf-hub:no/{tmp_path.name[:20]}")
    done = CliRunner().invoke(app, ["doctor", "--json"])
    profiles = {f["name"]: f for f in json.loads(done.output) if f["kind"] == "profile"}
    assert profiles["embedded"]["works"]
    assert not profiles["clip"]["works"]
    assert "CLAP one" in profiles["clip"]["detail"]
    assert profiles["auto"]["detail"] == "would take embedded"


def test_sight_that_was_compiled_is_seen_with_by_itself_and_sees_the_same(
    weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MNEME_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MNEME_CLIP_MODEL", str(weights / "clip"))
    monkeypatch.setenv("MNEME_CLIP_DEVICE", "cpu")
    settings = ClipSettings(model=str(weights / "clip"), device="cpu")
    before = load_clip(settings)[0].encode(PICTURES)
    sight = next(tower for tower in towers_of("clip") if tower.name == compiled_name(settings))
    made = compile_tower(sight, "onnx", "fp32")
    assert made.record.parity >= 0.9999
    monkeypatch.setattr(clip_module, "ImageTower", None)  # torch is not asked again
    after = load_clip(settings)[0].encode(PICTURES)
    np.testing.assert_allclose(after.vectors, before.vectors, atol=1e-5)
    assert before.tokens is not None
    assert after.tokens is not None
    np.testing.assert_allclose(after.tokens.astype(np.float32), before.tokens.astype(np.float32), atol=2e-3)
