"""BERT as a sentence encoder, written as an ONNX graph straight from its published weights.

Devlin et al. 2018, "BERT: Pre-training of Deep Bidirectional Transformers" (arXiv:1810.04805), with the mean pooling
of Reimers and Gurevych 2019, "Sentence-BERT" (arXiv:1908.10084). Names of tensors are those of Hugging Face's
`BertModel`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .onnx_graph import INT64, Graph, Message, port

GRAPH_VERSION = 1
"""Raised whenever the graph written here changes, so that files of an older one are not taken."""

MASKED = -1e9
"""Added to the attention logits of padding: its softmax is exactly 0."""


def bert_graph(folder: Path) -> Message:
    """The sentence encoder in `folder` (config.json and model.safetensors) as an ONNX file, in pieces.

    Inputs: `ids` int64[b, l] and `mask` int64[b, l] (1 where a token is real); output: `vectors` float32[b, d] of
    unit length. Raises OSError, KeyError or ValueError where the folder does not hold a BERT with exact GELU.
    """
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config["model_type"] != "bert" or config["hidden_act"] != "gelu":
        raise ValueError(f"{folder} holds a {config['model_type']} with {config['hidden_act']}, not a BERT with gelu")
    weights: dict[str, NDArray[np.float32]] = load_file(folder / "model.safetensors")
    width, heads, epsilon = config["hidden_size"], config["num_attention_heads"], float(config["layer_norm_eps"])
    size = width // heads
    g = Graph("bert")

    def ints(*values: int) -> str:
        return g.constant(np.array(values, dtype=np.int64))

    def dense(x: str, *names: str, scale: float = 1.0) -> str:
        """x W^T + b; several layers of one input side by side, the first of them scaled."""
        w = np.concatenate([weights[f"{n}.weight"] * (scale if n is names[0] else 1.0) for n in names])
        b = np.concatenate([weights[f"{n}.bias"] * (scale if n is names[0] else 1.0) for n in names])
        return g.op("Add", g.op("MatMul", x, g.constant(w.T.astype(np.float32))), g.constant(b.astype(np.float32)))

    def norm(x: str, name: str) -> str:
        gain, bias = g.constant(weights[f"{name}.weight"]), g.constant(weights[f"{name}.bias"])
        return g.op("LayerNormalization", x, gain, bias, epsilon=epsilon, axis=-1)

    length = g.op("Slice", g.op("Shape", "ids"), ints(1), ints(2))
    # Sentences are single: the embedding of token type 0 is part of every position.
    places = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    place = g.op("Slice", g.constant(places), ints(0), length, ints(0))
    word = g.op("Gather", g.constant(weights["embeddings.word_embeddings.weight"]), "ids")
    x = norm(g.op("Add", word, place), "embeddings.LayerNorm")  # [b, l, width]

    real = g.op("Cast", "mask", to=1)  # [b, l]
    one, masked = (g.constant(np.array([value], dtype=np.float32)) for value in (1.0, MASKED))
    bias = g.op("Unsqueeze", g.op("Mul", g.op("Sub", one, real), masked), ints(1, 2))  # [b, 1, 1, l]
    split, join = ints(0, 0, heads, size), ints(0, 0, width)
    for layer in range(config["num_hidden_layers"]):
        base = f"encoder.layer.{layer}"
        attention = [f"{base}.attention.self.{part}" for part in ("query", "key", "value")]
        q, k, v = g.ops("Split", 3, dense(x, *attention, scale=size**-0.5), axis=-1, num_outputs=3)  # [b, l, width]
        q = g.op("Transpose", g.op("Reshape", q, split), perm=(0, 2, 1, 3))  # [b, heads, l, size]
        k = g.op("Transpose", g.op("Reshape", k, split), perm=(0, 2, 3, 1))  # [b, heads, size, l]
        v = g.op("Transpose", g.op("Reshape", v, split), perm=(0, 2, 1, 3))
        weight = g.op("Softmax", g.op("Add", g.op("MatMul", q, k), bias), axis=-1)  # [b, heads, l, l]
        seen = g.op("Reshape", g.op("Transpose", g.op("MatMul", weight, v), perm=(0, 2, 1, 3)), join)
        seen = dense(seen, f"{base}.attention.output.dense")
        x = norm(g.op("Add", x, seen), f"{base}.attention.output.LayerNorm")
        wide = g.op("Gelu", dense(x, f"{base}.intermediate.dense"))  # [b, l, 4 width]
        x = norm(g.op("Add", x, dense(wide, f"{base}.output.dense")), f"{base}.output.LayerNorm")

    column = g.op("Unsqueeze", real, ints(2))  # [b, l, 1]
    total = g.op("ReduceSum", g.op("Mul", x, column), ints(1), keepdims=0)  # [b, width]
    mean = g.op("Div", total, g.op("ReduceSum", column, ints(1), keepdims=0))
    vectors = g.op("LpNormalization", mean, axis=-1, p=2)
    inputs = [port(name, INT64, ("b", "l")) for name in ("ids", "mask")]
    return g.model(inputs, (vectors, "vectors"), ("b", width))
