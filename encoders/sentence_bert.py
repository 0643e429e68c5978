"""BERT as a sentence encoder in torch: the reference that a compiled text tower is held against.

Devlin et al. 2018, "BERT: Pre-training of Deep Bidirectional Transformers" (arXiv:1810.04805), with the mean pooling
of Reimers and Gurevych 2019, "Sentence-BERT" (arXiv:1908.10084).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..errors import MissingError


class SentenceBert(nn.Module):
    """A BERT from a folder (config.json, model.safetensors), its mean over real tokens at unit length."""

    def __init__(self, folder: Path) -> None:
        """Errors: `MissingError` without transformers, or where the folder holds no BERT."""
        super().__init__()
        try:
            from transformers import BertConfig, BertModel
        except ImportError as error:
            mend = "pip install 'mneme[clip]'"
            raise MissingError("transformers is not installed, and torch runs BERT by it", mend) from error
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            config = BertConfig(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
            weights = load_file(folder / "model.safetensors")
            self.bert: Any = BertModel(config, add_pooling_layer=False)
            lacking = self.bert.load_state_dict(weights, strict=False).missing_keys
            # Positions are counted, not learnt: older files hold them, newer ones do not.
            if [name for name in lacking if not name.endswith("position_ids")]:
                raise ValueError(f"it has no {lacking[0]}")
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise MissingError(f"{folder} is not a BERT sentence encoder: {error}", "name another folder") from error

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids, mask: int64[b, l], mask 1 where a token is real; float32[b, d] of unit length."""
        states = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state  # [b, l, d]
        real = mask.unsqueeze(-1).to(states.dtype)
        mean = (states * real).sum(dim=1) / real.sum(dim=1)
        return nn.functional.normalize(mean, dim=-1)
