"""Sight by a pretrained CLIP: a picture's vector and patch tokens, and words in the same space.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision" (arXiv:2103.00020), by
open_clip (Ilharco et al. 2021): any of its models and tags, or a local checkpoint. Patch tokens are the last layer's
patches carried through the vector's own norm and projection, so that a token may be compared with words too (as Zhou
et al. 2022, "Extract Free Dense Labels from CLIP", arXiv:2112.01071, without their change of the last attention).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import MissingError, SettingsError
from ..records import Picture, Space
from . import hub
from .base import Encoded, EncoderSpec, unit
from .compiled import compiled_session
from .runtime import OnnxRuntime, Runtime
from .text_tower import TextTower
from .torch_runtime import TorchRuntime

OPEN_CLIP = "open-clip-torch"
"""Its name in registries."""
BATCH = 8
CUDA_BATCH = 32
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""Names that open_clip gives a checkpoint on a hub, the one without pickle first."""
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
LOCAL, HUB = "local-dir:", "hf-hub:"


@dataclass(frozen=True, slots=True)
class ClipSettings:
    """Section `[clip]`, `MNEME_CLIP_<FIELD>`."""

    model: str = "ViT-B-32"
    """A model of open_clip, `hf-hub:owner/name`, or a folder with open_clip_config.json and a checkpoint."""
    pretrained: str = "laion2b_s34b_b79k"
    """A tag of that model, or the path of a checkpoint (.safetensors, or .bin and .pt, of which only tensors are
    read); of no account where `model` is a folder or on a hub."""
    whole: bool = True
    """Squeeze the whole picture into the model's square; False: as it was trained, which cuts off a wide one's sides
    (44% of 16:9)."""
    prompt: str = "a photo of {}"
    """The sentence that a query's words are put into."""
    grid: int = 7
    """Patch tokens a side, at most; finer ones are averaged. 0: no tokens."""
    device: str = "auto"
    """`cpu`, `cuda`, or `auto`: a GPU where torch sees one, in half precision."""


class ImageTower(torch.nn.Module):
    """float32[b, 3, S, S] -> vectors[b, d] and tokens[b, n, d], unit length; vectors alone of a tower without patches.

    Patches are there for open_clip's own vision transformers and for timm's (SigLIP and its like), where each patch
    goes through the pooling head by itself.
    """

    def __init__(self, visual: Any, grid: int) -> None:
        super().__init__()
        own = hub.library("open_clip.transformer", OPEN_CLIP).VisionTransformer
        adapted = hub.library("open_clip.timm_model", OPEN_CLIP).TimmModel
        timms = hub.library("timm.models.vision_transformer", OPEN_CLIP).VisionTransformer
        self.visual = visual
        self.grid = grid
        self.kind = "vector"
        if grid < 1:
            return
        if isinstance(visual, own) and visual.attn_pool is None and visual.pool_type in ("tok", "avg"):
            self.kind = "own"
            visual.output_tokens = True
        elif isinstance(visual, adapted) and isinstance(visual.trunk, timms):
            pooled_by_mean = visual.trunk.global_pool == "avg" and visual.trunk.num_prefix_tokens > 0
            self.kind = "vector" if pooled_by_mean else "timm"

    def forward(self, pixels: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        normalize = torch.nn.functional.normalize
        if self.kind == "own":
            vectors, patches = self.visual(pixels)  # [b, d], [b, n, width]
            if self.visual.final_ln_after_pool:
                patches = self.visual.ln_post(patches)
            tokens = patches if self.visual.proj is None else patches @ self.visual.proj
        elif self.kind == "timm":
            trunk, head = self.visual.trunk, self.visual.head
            features = trunk.forward_features(pixels)  # [b, prefix + n, width]
            vectors = head(trunk.forward_head(features))
            patches = features[:, trunk.num_prefix_tokens :]
            alone = patches.reshape(-1, 1, patches.shape[-1])  # [b * n, 1, width]
            tokens = head(trunk.forward_head(alone)).reshape(patches.shape[0], patches.shape[1], -1)
        else:
            return normalize(self.visual(pixels), dim=-1)
        return normalize(vectors, dim=-1), normalize(self._coarser(tokens), dim=-1)

    def _coarser(self, tokens: torch.Tensor) -> torch.Tensor:
        side = round(tokens.shape[1] ** 0.5)
        if side * side != tokens.shape[1] or side <= self.grid:
            return tokens
        square = tokens.transpose(1, 2).reshape(tokens.shape[0], -1, side, side)  # [b, d, h, w]
        step = -(-side // self.grid)
        square = torch.nn.functional.avg_pool2d(square, step, step, ceil_mode=True, count_include_pad=False)
        return square.flatten(2).transpose(1, 2)


class WordTower(torch.nn.Module):
    """int64[b, l] -> vectors[b, d], unit length."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self.model.encode_text(ids, normalize=True)
        return vectors


class ClipVision:
    """A `PictureEncoder` of the space `clip`. Batches change a result by rounding only (1e-6 on a CPU)."""

    def __init__(
        self, spec: EncoderSpec, prepare: Prepare, runtime: Runtime, batch: int = BATCH, scale: float = 100.0
    ) -> None:
        self._spec = spec
        self.prepare = prepare
        self.scale = scale
        """What the model multiplies cosines with before it compares them."""
        self._runtime = runtime
        self._batch = batch

    @property
    def spec(self) -> EncoderSpec:
        return self._spec

    def encode(self, batch: Sequence[Picture]) -> Encoded:
        """uint8[H, W, 3] RGB pictures of any sizes -> vectors[b, d] and tokens[b, n, d] or None, unit length."""
        if not batch:
            return Encoded(np.zeros((0, self._spec.space.dim), dtype=np.float32))
        parts = [
            self._runtime.run(self.prepare(batch[start : start + self._batch]))
            for start in range(0, len(batch), self._batch)
        ]
        vectors = unit(np.concatenate([part[0] for part in parts]))
        if len(parts[0]) == 1:
            return Encoded(vectors)
        return Encoded(vectors, unit(np.concatenate([part[1] for part in parts])).astype(np.float16))


class Prepare:
    """uint8[H, W, 3] pictures -> float32[b, 3, S, S]: resized with antialiasing, rounded as an 8-bit picture, centred.

    Agrees with open_clip's transform through Pillow to a level of 255 (Pillow rounds between rows and columns, which
    shows more where noise is enlarged); pictures of one size go together.
    """

    def __init__(self, config: Any, whole: bool) -> None:
        """config: open_clip's `preprocess_cfg`. Errors: `SettingsError` for a way of resizing that it does not know."""
        if config["interpolation"] not in ("bicubic", "bilinear") or config["resize_mode"] not in (
            "shortest",
            "squash",
        ):
            given = f"{config['interpolation']}, {config['resize_mode']}"
            raise SettingsError(f"this model wants pictures resized another way ({given})", "name another model")
        size = config["size"]
        self.size: tuple[int, int] = (size, size) if isinstance(size, int) else (size[0], size[1])
        self._mode = config["interpolation"]
        self._whole = whole or config["resize_mode"] == "squash"
        self._mean = torch.tensor(config["mean"]).view(1, 3, 1, 1) * 255.0
        self._std = torch.tensor(config["std"]).view(1, 3, 1, 1) * 255.0

    def __call__(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        high, wide = self.size
        out = np.empty((len(pictures), 3, high, wide), dtype=np.float32)
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, picture in enumerate(pictures):
            groups.setdefault(picture.shape, []).append(i)
        for rows in groups.values():
            stacked = torch.from_numpy(np.stack([pictures[i] for i in rows]))  # [n, H, W, 3]
            out[rows] = self._resized(stacked.permute(0, 3, 1, 2).float()).numpy()
        return out

    def _resized(self, pixels: torch.Tensor) -> torch.Tensor:
        height, width = pixels.shape[2:]
        (high, wide), to = self.size, self.size
        if not self._whole:
            # Whole pixels as torchvision takes them: down for the long side, and to the even one for the cut.
            scale = max(high / height, wide / width)
            to = (max(high, int(height * scale + 1e-9)), max(wide, int(width * scale + 1e-9)))
        resized = torch.nn.functional.interpolate(pixels, to, mode=self._mode, antialias=True)
        top, left = round((to[0] - high) / 2), round((to[1] - wide) / 2)
        cut = resized[:, :, top : top + high, left : left + wide].clamp(0.0, 255.0).round()
        return (cut - self._mean) / self._std


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A CLIP as it was loaded."""

    model: Any
    tokenizer: Any
    config: Any
    """How it wants its pictures: open_clip's `preprocess_cfg`."""
    weights: str
    """A digest of its weights and of how pictures are prepared for them."""

    def size(self) -> tuple[int, int]:
        """Pixels of the pictures that it takes."""
        size = self.config["size"]
        return (size, size) if isinstance(size, int) else (size[0], size[1])


def load_checkpoint(settings: ClipSettings) -> Checkpoint:
    """The checkpoint that the settings name.

    Errors: `MissingError` where a library or the weights are not there; `SettingsError` for names that do not fit.
    """
    open_clip = hub.library("open_clip", OPEN_CLIP)
    name, pretrained, prepared = _found(settings)
    try:
        model: Any = open_clip.create_model(
            name, pretrained, require_pretrained=True, force_preprocess_cfg=prepared or None
        )
        tokenizer: Any = open_clip.get_tokenizer(_tokenizer_of(settings.model, name))
    except Exception as error:  # torch, safetensors, json and open_clip each raise their own
        reason = " ".join(str(error).split())[:200]
        raise MissingError(
            f"CLIP cannot be loaded from {name} {pretrained or ''}: {reason}", "name a checkpoint of that model"
        ) from error
    model.eval().requires_grad_(False)
    config = model.visual.preprocess_cfg
    whole = settings.whole or config["resize_mode"] == "squash"
    how = json.dumps({"config": config, "whole": whole}, sort_keys=True, default=str)
    return Checkpoint(model, tokenizer, config, hub.weights_digest(model, how))


def load_clip(settings: ClipSettings) -> tuple[ClipVision, TextTower]:
    """Both towers of one checkpoint; sight in the runtime that it was compiled for (`mneme compile clip`), if it was.

    Errors: those of `load_checkpoint`.
    """
    found = load_checkpoint(settings)
    model = found.model
    cuda = on_cuda(settings.device)
    device = "cuda" if cuda else "cpu"
    # The words first: the image tower, once it gives tokens, is no longer what the model expects.
    dim, scale = _dim(model, found.tokenizer), float(model.logit_scale.exp())
    words = TorchRuntime(WordTower(_without_sight(model)), device=device, half=cuda)
    session = compiled_session(compiled_name(settings), found.weights, max(1, torch.get_num_threads()))
    sight: Runtime = (
        TorchRuntime(ImageTower(model.visual, settings.grid), device=device, half=cuda)
        if session is None
        else OnnxRuntime(session)
    )
    space = Space("clip", dim, found.weights)
    title = f"clip {Path(settings.model).name}"

    def tokenise(texts: list[str]) -> tuple[NDArray[Any], ...]:
        return (found.tokenizer(texts).numpy(),)

    batch = CUDA_BATCH if cuda else BATCH
    prepare = Prepare(found.config, settings.whole)
    vision = ClipVision(EncoderSpec(title, "vision", space), prepare, sight, batch, scale)
    return vision, TextTower(EncoderSpec(f"{title} text", None, space), tokenise, words, settings.prompt)


def compiled_name(settings: ClipSettings) -> str:
    """What its compiled sight is kept as: the tokens' grid is part of the network."""
    return f"clip-sight-{settings.grid}"


def clip_at_hand(settings: ClipSettings) -> bool:
    """Whether the weights are on this machine. Errors: `SettingsError` for names that open_clip does not know."""
    if settings.model.startswith(HUB):
        repo = settings.model.removeprefix(HUB)
        return hub.cached(repo, "open_clip_config.json") is not None and hub.cached(repo, *WEIGHTS) is not None
    if _folder(settings.model) is not None or Path(settings.pretrained).is_file():
        return True
    tag = _tag(settings)
    repo, names = _repository(tag)
    if not repo:
        return (Path.home() / ".cache" / "clip" / str(tag["url"]).rpartition("/")[2]).is_file()  # open_clip's own place
    return hub.cached(repo, *names) is not None


def on_cuda(device: str) -> bool:
    """Whether `device` (`cpu`, `cuda`, `auto`) means a GPU here. Errors: `MissingError`, `SettingsError`."""
    if device not in ("auto", "cpu", "cuda"):
        raise SettingsError(f"there is no device {device!r}", "choose auto, cpu or cuda")
    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise MissingError("torch sees no CUDA device", "use the device cpu, or install the NVIDIA driver")
    return there and device != "cpu"


def _found(settings: ClipSettings) -> tuple[str, str | None, dict[str, Any]]:
    """(model, path of its checkpoint, how it wants pictures) as open_clip takes them; downloaded where need be.

    A path, also where a tag would do: for a tag open_clip asks the hub again, and waits long where there is none.
    """
    if settings.model.startswith(HUB):
        repo = settings.model.removeprefix(HUB)
        if not clip_at_hand(settings):  # the weights last: where they are, all is
            hub.fetch_if_there(repo, *TOKENIZER)
            hub.fetch(repo, "open_clip_config.json")
        return f"{LOCAL}{hub.fetch(repo, *WEIGHTS).parent}", None, {}
    folder = _folder(settings.model)
    if folder is not None:
        return f"{LOCAL}{folder}", None, {}
    if Path(settings.pretrained).is_file():
        _known_model(settings.model)
        return settings.model, settings.pretrained, {}
    tag = _tag(settings)
    wanted: dict[str, Any] = {key: tag[key] for key in ("mean", "std", "interpolation", "resize_mode") if key in tag}
    repo, names = _repository(tag)
    if repo:
        return settings.model, str(hub.fetch(repo, *names)), wanted
    if not clip_at_hand(settings) and (hub.offline() or not hub.answers()):
        raise MissingError(
            f"{settings.model} {settings.pretrained} is not in the cache, and the network is off",
            "name a local checkpoint, or use --profile embedded",
        )
    return settings.model, settings.pretrained, wanted


def _tokenizer_of(model: str, found: str) -> str:
    """What open_clip takes the tokeniser from: the folder that was found, unless its tokeniser is elsewhere."""
    if not model.startswith(HUB):
        return found
    folder = Path(found.removeprefix(LOCAL))
    config = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))
    elsewhere = config["model_cfg"]["text_cfg"].get("hf_tokenizer_name") and not (folder / TOKENIZER[0]).is_file()
    return model if elsewhere else found


def _folder(model: str) -> Path | None:
    """The folder that `model` names; None where it names none. Errors: `MissingError` for one without a config."""
    path = Path(model.removeprefix(LOCAL)).expanduser()
    if not path.is_dir() and not model.startswith(LOCAL) and not path.is_absolute():
        return None
    if not (path / "open_clip_config.json").is_file():
        raise MissingError(f"{path} has no open_clip_config.json", "name a folder that open_clip saved")
    return path


def _known_model(model: str) -> None:
    if hub.library("open_clip", OPEN_CLIP).get_model_config(model) is None:
        raise SettingsError(f"open_clip has no model {model!r}", "name one of open_clip.list_models(), e.g. ViT-B-32")


def _tag(settings: ClipSettings) -> dict[str, Any]:
    """What open_clip knows of a tag. Errors: `SettingsError` where the model has none such, or it does not fit."""
    _known_model(settings.model)
    open_clip = hub.library("open_clip", OPEN_CLIP)
    tag: dict[str, Any] = open_clip.get_pretrained_cfg(settings.model, settings.pretrained)
    if not tag:
        known = ", ".join(open_clip.list_pretrained_tags_by_model(settings.model)) or "none"
        raise SettingsError(
            f"{settings.model} has no weights {settings.pretrained!r}",
            f"name a checkpoint's path, or one of: {known}",
        )
    if bool(tag.get("quick_gelu")) != bool(open_clip.get_model_config(settings.model).get("quick_gelu")):
        fit = settings.model.removesuffix("-quickgelu") + ("-quickgelu" if tag.get("quick_gelu") else "")
        raise SettingsError(f"{settings.pretrained} does not fit {settings.model}'s activation", f"name model {fit!r}")
    return tag


def _repository(tag: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """(repository, names its weights may have) of a tag; an empty one where the tag has an address only."""
    repo, _, file = str(tag.get("hf_hub") or "").rpartition("/")
    if not file:
        return repo, WEIGHTS
    # As open_clip: a file with pickle may stand beside one without.
    return repo, (str(Path(file).with_suffix(".safetensors")), file)


def _dim(model: Any, tokenizer: Any) -> int:
    with torch.inference_mode():
        return int(model.encode_text(tokenizer(["a word"])).shape[-1])


def _without_sight(model: Any) -> Any:
    """The model with its image tower left out: copied to a device, it would take the memory of both."""
    import copy

    bare = copy.copy(model)
    bare._modules = {name: module for name, module in model._modules.items() if name != "visual"}
    return bare
