"""Writes and reads a Llama as GGUF version 3: matrices F16, norms F32, tensors aligned to 32 bytes."""

import os
import struct

import numpy as np
import torch

import tokenizer as tok
from model import Config

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ALIGNMENT = 32  # bytes
# GGUF's value types, and of ggml's tensor types the two used here.
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
PACK = {U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}
GGML_F32, GGML_F16 = 0, 1
NORMAL, CONTROL, UNUSED = 1, 3, 5  # token types


def text(s):
    raw = s.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(kind, v):
    return text(v) if kind == STRING else struct.pack(PACK[kind], v)


def field(key, kind, v):
    """One metadata entry; a list v is written as an array of kind."""
    if isinstance(v, list):
        head = struct.pack("<IIQ", ARRAY, kind, len(v))
        return text(key) + head + b"".join(value(kind, x) for x in v)
    return text(key) + struct.pack("<I", kind) + value(kind, v)


def metadata(c, t, name):
    """The entries for model config c, Tokenizer t."""
    special = len(tok.SPECIAL)
    types = [CONTROL] * special + [NORMAL] * (t.used - special) + [UNUSED] * (c.vocab - t.used)
    return [
        field("general.architecture", STRING, "llama"),
        field("general.name", STRING, name),
        field("general.license", STRING, "apache-2.0"),
        field("general.file_type", U32, 1),
        field("general.alignment", U32, ALIGNMENT),
        field("llama.context_length", U32, c.context),
        field("llama.embedding_length", U32, c.width),
        field("llama.block_count", U32, c.layers),
        field("llama.feed_forward_length", U32, c.hidden),
        field("llama.attention.head_count", U32, c.heads),
        field("llama.attention.head_count_kv", U32, c.kv_heads),
        field("llama.attention.layer_norm_rms_epsilon", F32, c.epsilon),
        field("llama.rope.dimension_count", U32, c.width // c.heads),
        field("llama.rope.freq_base", F32, c.rope_base),
        field("llama.vocab_size", U32, c.vocab),
        field("tokenizer.ggml.model", STRING, "gpt2"),
        field("tokenizer.ggml.pre", STRING, "qwen2"),
        field("tokenizer.ggml.tokens", STRING, t.tokens),
        field("tokenizer.ggml.token_type", I32, types),
        field("tokenizer.ggml.merges", STRING, [f"{a} {b}" for a, b in t.merges]),
        field("tokenizer.ggml.bos_token_id", U32, tok.ENDOFTEXT),
        field("tokenizer.ggml.eos_token_id", U32, tok.IM_END),
        field("tokenizer.ggml.padding_token_id", U32, tok.ENDOFTEXT),
        field("tokenizer.ggml.add_bos_token", BOOL, False),
        field("tokenizer.ggml.add_eos_token", BOOL, False),
        field("tokenizer.chat_template", STRING, CHATML),
    ]


def names(layers):
    """(GGUF name, name in the model's state dict) of each tensor, in file order."""
    parts = {
        "attn_norm": "attn_norm", "attn_q": "q", "attn_k": "k", "attn_v": "v", "attn_output": "out",
        "ffn_norm": "ffn_norm", "ffn_gate": "gate", "ffn_up": "up", "ffn_down": "down",
    }
    yield "token_embd.weight", "embed.weight"
    for i in range(layers):
        for name, ours in parts.items():
            yield f"blk.{i}.{name}.weight", f"blocks.{i}.{ours}.weight"
    yield "output_norm.weight", "norm.weight"
    yield "output.weight", "head.weight"


def pad(data):
    return data + b"\0" * (-len(data) % ALIGNMENT)


def write(path, config, t, state, name):
    """Writes the file whole or not at all."""
    infos, blob, count = b"", bytearray(), 0
    for key, ours in names(config.layers):
        w = state[ours]
        half = w.dim() > 1
        dims = list(reversed(w.shape))  # GGUF: the fastest dimension first
        kind = GGML_F16 if half else GGML_F32
        infos += text(key) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, len(blob))
        blob += pad((w.half() if half else w.float()).contiguous().numpy().tobytes())
        count += 1
    meta = metadata(config, t, name)
    header = b"GGUF" + struct.pack("<IQQ", 3, count, len(meta)) + b"".join(meta) + infos
    with open(path + ".part", "wb") as f:
        f.write(pad(header) + blob)
    os.replace(path + ".part", path)


class Reader:
    """Reads values one after another from a GGUF's bytes."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values if len(values) > 1 else values[0]

    def text(self):
        size = self.take("Q")
        self.at += size
        return self.data[self.at - size:self.at].decode()

    def value(self, kind):
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            inner, size = self.take("IQ")
            return [self.value(inner) for _ in range(size)]
        return self.take(PACK[kind][1:])


def read(path):
    """(Config, merges, state dict of F32 tensors) of a file that write made."""
    with open(path, "rb") as f:
        r = Reader(f.read())
    _, _, count, fields = r.take("4sIQQ")
    meta = {r.text(): r.value(r.take("I")) for _ in range(fields)}
    infos = {}
    for _ in range(count):
        name, dims = r.text(), r.take("I")
        shape = [r.take("Q") for _ in range(dims)]
        infos[name] = (shape[::-1], *r.take("IQ"))
    start = r.at + -r.at % ALIGNMENT
    weights = {}
    for name, (shape, kind, offset) in infos.items():
        dtype = np.float16 if kind == GGML_F16 else np.float32
        raw = np.frombuffer(r.data, dtype, int(np.prod(shape)), start + offset)
        weights[name] = torch.from_numpy(raw.astype(np.float32).reshape(shape))
    part = lambda key: meta["llama." + key]
    config = Config(
        vocab=part("vocab_size"), width=part("embedding_length"), layers=part("block_count"),
        heads=part("attention.head_count"), kv_heads=part("attention.head_count_kv"),
        hidden=part("feed_forward_length"), context=part("context_length"), rope_base=part("rope.freq_base"),
    )
    merges = [tuple(m.split(" ")) for m in meta["tokenizer.ggml.merges"]]
    return config, merges, {ours: weights[name] for name, ours in names(config.layers)}
