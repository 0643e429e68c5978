"""The image tower: what ships computes what was trained, and claims nothing where it knows nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mneme.encoders.eyes import Eyes
from mneme.encoders.image_graph import ATTRIBUTES, ImageConfig
from mneme.encoders.image_tower import ImageTower
from mneme.errors import MissingError

NAMES = {
    "kind": ("mug", "cat", "chair"),
    "colour": ("red", "blue"),
    "material": ("plain",),
    "action": ("", "standing still", "sleeping"),
    "room": ("kitchen", "garden"),
}


@pytest.fixture(scope="module")
def tower() -> ImageTower:
    """A small tower with norms that are not the identity."""
    torch.manual_seed(0)
    tower = ImageTower(NAMES, widths=(8, 16, 24)).train()
    for _ in range(3):
        tower(torch.randint(0, 256, (8, 3, 64, 64), dtype=torch.uint8))
    with torch.no_grad():
        tower.there.bias.fill_(-1.0)
    return tower.eval()


@pytest.fixture(scope="module")
def saved(tower: ImageTower, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "image_tower.safetensors"
    tower.save(path, there=0.3, sure=0.4)
    return path


@torch.no_grad()
def test_the_graph_written_without_torch_computes_what_the_tower_computes(tower: ImageTower, saved: Path) -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (5, 64, 64, 3)).astype(np.uint8)
    seen = Eyes(saved).look(list(pictures))
    wanted = tower(torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()))
    cosines = (seen["vector"] * wanted.vectors.numpy()).sum(axis=1)
    assert cosines.min() > 0.9999  # weights are stored in half precision
    assert (seen["tokens"] * wanted.tokens.numpy()).sum(axis=-1).min() > 0.999
    np.testing.assert_allclose(seen["there"], wanted.extra["there"].sigmoid().numpy(), atol=5e-3)
    for key in (*ATTRIBUTES, "room", "light"):
        np.testing.assert_allclose(seen[key], wanted.extra[key].softmax(dim=-1).numpy(), atol=5e-3, err_msg=key)


def test_a_picture_gives_the_same_whatever_else_is_in_the_batch(saved: Path) -> None:
    eyes = Eyes(saved)
    pictures = list(np.random.default_rng(2).integers(0, 256, (20, 48, 80, 3)).astype(np.uint8))
    together, alone = eyes.encode(pictures), eyes.encode(pictures[17:18])
    assert together.vectors.shape == (20, 384)
    assert together.tokens is not None
    assert together.tokens.shape == (20, 16, 384)
    np.testing.assert_allclose(together.vectors[17], alone.vectors[0], atol=1e-5)
    assert together.words[17] == alone.words[0]


def seen_as(config: ImageConfig, **beliefs: dict[str, float]) -> dict[str, np.ndarray]:
    """One picture: `cell_9={"kind": ..}`; everything else is believed to be nothing."""
    shapes = {"there": (64,), "room": (len(config.names["room"]) + 1,), "light": (2,)}
    shapes |= {key: (64, len(config.names[key])) for key in ATTRIBUTES}
    seen = {key: np.zeros((1, *shape), np.float32) for key, shape in shapes.items()}
    for key, chances in beliefs.items():
        for name, chance in chances.items():
            if key == "room":
                seen["room"][0, (*config.names["room"], "").index(name)] = chance
            else:
                cell = int(key.removeprefix("cell_"))
                attribute = next((a for a in ATTRIBUTES if name in config.names[a]), "there")
                where = (0, cell) if attribute == "there" else (0, cell, config.names[attribute].index(name))
                seen[attribute][where] = chance
    return seen


def test_it_says_what_it_is_sure_of_the_surest_first(saved: Path) -> None:
    eyes = Eyes(saved)
    seen = seen_as(
        eyes.config,
        room={"kitchen": 0.9},
        cell_9={"there": 0.7, "mug": 0.9, "red": 0.8},
        cell_30={"there": 0.95, "cat": 0.9, "blue": 0.3, "sleeping": 0.9},
        cell_31={"there": 0.6, "cat": 0.9, "red": 0.9},  # the same cat, in the next cell
        cell_60={"there": 0.9, "chair": 0.2, "red": 0.9},  # something, but who knows what
    )
    words, sure = eyes.say(seen, 0)
    assert words == "a sleeping cat, a red mug; kitchen"
    assert 0.5 < sure < 1.0


def test_of_a_place_that_is_none_of_its_rooms_it_claims_nothing(saved: Path) -> None:
    eyes = Eyes(saved)
    seen = seen_as(eyes.config, room={"": 0.8, "kitchen": 0.2}, cell_9={"there": 0.9, "mug": 0.9, "red": 0.9})
    assert eyes.say(seen, 0)[0] is None


def test_missing_or_broken_weights_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="not there"):
        Eyes(tmp_path / "none.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0not json")
    with pytest.raises(MissingError, match="holds no image tower"):
        Eyes(tmp_path / "broken.safetensors")


def test_without_targets_there_is_no_auxiliary_loss_and_with_them_it_falls(tower: ImageTower) -> None:
    pictures = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    assert float(tower.auxiliary(tower(pictures), {})) == 0.0
    targets = {key: torch.full((4, 64), -1) for key in ATTRIBUTES}
    for key in ATTRIBUTES:
        targets[key][:, 20] = 0
    targets |= {"room": torch.tensor([0, 1, 0, 2]), "light": torch.tensor([0, 1, -1, 0])}
    torch.manual_seed(0)
    small = ImageTower(NAMES, widths=(8, 16, 24)).train()
    optimiser = torch.optim.AdamW(small.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = small.auxiliary(small(pictures), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]
