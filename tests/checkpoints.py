"""Checkpoints that the tests write: tiny models of the real libraries, random weights, saved as those publish them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

SAID = "The tide turns at noon."
"""What the Whisper of `write_whisper` hears in whatever it is given."""
OWN = {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8}
"""A vision transformer of open_clip's own, 8 x 8 patches."""
TIMM = {"timm_model_name": "test_vit3", "timm_model_pretrained": False, "timm_pool": "map", "timm_proj": "none"}
"""One of timm's with an attention pool, as SigLIP has; 10 x 10 patches."""


def write_clip(folder: Path, vision: dict[str, Any], *, seed: int = 0) -> Path:
    """A folder as open_clip pushes it to a hub."""
    import open_clip
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    size = {"image_size": 160} if "timm_model_name" in vision else {}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    dim = 96 if size else 32
    config = {
        "model_cfg": {"embed_dim": dim, "vision_cfg": vision | size, "text_cfg": text, "custom_text": bool(size)},
        "preprocess_cfg": {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(seed)
    model = open_clip.create_model(f"local-dir:{folder}")
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    return folder


def write_clap(folder: Path, *, fusion: bool = False) -> Path:
    """A folder as transformers saves it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, PreTrainedTokenizerFast

    text = {"vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"intermediate_size": 32, "max_position_embeddings": 80}
    audio = {"depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2, 2], "patch_embeds_hidden_size": 8}
    audio |= {"hidden_size": 64, "num_hidden_layers": 4, "enable_fusion": fusion}
    torch.manual_seed(0)
    ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=24)).save_pretrained(folder)
    ClapFeatureExtractor(truncation="fusion" if fusion else "rand_trunc").save_pretrained(folder)
    marks = ["<s>", "<pad>", "</s>", "<unk>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate([*marks, *letters])}, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    ends = [("<s>", 0), ("</s>", 2)]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    return folder


def write_whisper(folder: Path, scratch: Path) -> Path:
    """A folder as ct2-transformers-converter writes it, of a Whisper that says `SAID` and ends, whatever it hears.

    Its decoder's blocks add nothing; each place in a transcript carries the embedding of the word that stands there.
    """
    from ctranslate2.converters import TransformersConverter
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, WhisperConfig, WhisperFeatureExtractor
    from transformers import WhisperForConditionalGeneration as Model

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [f"Ġ{word}" for word in SAID.split()]
    tokens = {token: i for i, token in enumerate([*letters, *words])}
    tokenizer = Tokenizer(models.BPE(tokens, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    marks = "endoftext startoftranscript en translate transcribe startoflm startofprev nospeech notimestamps".split()
    tokenizer.add_special_tokens([AddedToken(f"<|{mark}|>", special=True) for mark in marks])
    end = len(tokens)
    known = end + len(marks)
    size, width = known + 1501, 64
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    config = WhisperConfig(
        vocab_size=size, num_mel_bins=80, encoder_layers=1, decoder_layers=1, d_model=width, encoder_ffn_dim=width,
        decoder_ffn_dim=width, pad_token_id=end, bos_token_id=end, eos_token_id=end, decoder_start_token_id=end + 1,
        suppress_tokens=[], begin_suppress_tokens=[], **heads,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Model(config)
    with torch.no_grad():
        decoder = model.model.decoder
        for layer in decoder.layers:
            for linear in (layer.self_attn.out_proj, layer.encoder_attn.out_proj, layer.fc2):
                linear.weight.zero_()
                linear.bias.zero_()
        meanings = torch.nn.functional.normalize(torch.randn(size, width), dim=-1)
        meanings[known:] *= 0.01
        decoder.embed_tokens.weight.copy_(meanings)
        model.proj_out.weight.copy_(meanings)
        transcript = [tokens[word] for word in words]
        for place in range(1, config.max_target_positions):  # 0 is the first of the two tokens of the prompt
            token = transcript[place - 1] if place <= len(transcript) else end
            decoder.embed_positions.weight[place] = 20 * meanings[token]
    model.generation_config.suppress_tokens = model.generation_config.begin_suppress_tokens = []
    model.generation_config.lang_to_id = {"<|en|>": end + 2}
    model.save_pretrained(scratch)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|endoftext|>", bos_token="<|endoftext|>"
    ).save_pretrained(scratch)
    WhisperFeatureExtractor().save_pretrained(scratch)
    copied = ["tokenizer.json", "preprocessor_config.json"]
    TransformersConverter(str(scratch), copy_files=copied).convert(str(folder))
    return folder
