"""A small Llama: RMSNorm, interleaved RoPE, grouped-query attention, SwiGLU.

Shapes: B sequences, T positions, D width, H query heads, K key/value heads, C = D/H.
"""

import dataclasses
import math

import torch
from torch import nn
from torch.nn import functional as F


@dataclasses.dataclass
class Config:
    """Sizes; context is the longest sequence in tokens."""

    vocab: int = 768
    width: int = 128
    layers: int = 5
    heads: int = 4
    kv_heads: int = 2
    hidden: int = 384
    context: int = 1024
    rope_base: float = 10000.0
    epsilon: float = 1e-5


def rope_tables(c):
    """Cosines and sines, each (context, C/2): position times the pair's frequency, in radians."""
    size = c.width // c.heads
    freqs = c.rope_base ** (-torch.arange(0, size, 2).float() / size)
    angles = torch.outer(torch.arange(c.context).float(), freqs)
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    """Turns each neighbouring pair of x (B, N, T, C) by its angle: llama.cpp's "norm" RoPE."""
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


class RMSNorm(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(c.width))
        self.epsilon = c.epsilon

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.epsilon) * self.weight


class Block(nn.Module):
    """Attention, then a gated feed-forward net, each on a normed copy and added back."""

    def __init__(self, c):
        super().__init__()
        self.heads, self.kv_heads, self.size = c.heads, c.kv_heads, c.width // c.heads
        kv = self.size * c.kv_heads
        self.attn_norm, self.ffn_norm = RMSNorm(c), RMSNorm(c)
        self.q = nn.Linear(c.width, c.width, bias=False)
        self.k = nn.Linear(c.width, kv, bias=False)
        self.v = nn.Linear(c.width, kv, bias=False)
        self.out = nn.Linear(c.width, c.width, bias=False)
        self.gate = nn.Linear(c.width, c.hidden, bias=False)
        self.up = nn.Linear(c.width, c.hidden, bias=False)
        self.down = nn.Linear(c.hidden, c.width, bias=False)

    def forward(self, x, cos, sin, mask, cache=None):
        """x (B, T, D) -> (B, T, D). cache: dict that keeps keys and values between calls."""
        x = x + self.attend(self.attn_norm(x), cos, sin, mask, cache)
        h = self.ffn_norm(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))

    def attend(self, h, cos, sin, mask, cache):
        b, t, d = h.shape
        q = rotate(self.q(h).view(b, t, self.heads, self.size).transpose(1, 2), cos, sin)
        k = rotate(self.k(h).view(b, t, self.kv_heads, self.size).transpose(1, 2), cos, sin)
        v = self.v(h).view(b, t, self.kv_heads, self.size).transpose(1, 2)
        if cache is not None:
            if cache:
                k, v = torch.cat((cache["k"], k), 2), torch.cat((cache["v"], v), 2)
            cache["k"], cache["v"] = k, v
        groups = self.heads // self.kv_heads
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        scores = (q * self.size ** -0.5) @ k.transpose(-1, -2) + mask
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, d))


class Llama(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.config = c
        self.embed = nn.Embedding(c.vocab, c.width)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.layers))
        self.norm = RMSNorm(c)
        self.head = nn.Linear(c.width, c.vocab, bias=False)
        self.cos, self.sin = rope_tables(c)
        for name, p in self.named_parameters():
            if p.dim() > 1:
                deep = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * c.layers) if deep else 0.02)

    def hidden(self, ids, start=0, caches=None):
        """ids (B, T) at positions start.. -> normed states (B, T, D)."""
        t = ids.shape[1]
        cos, sin = self.cos[start:start + t], self.sin[start:start + t]
        mask = torch.full((t, start + t), float("-inf")).triu(start + 1)
        x = self.embed(ids)
        for i, block in enumerate(self.blocks):
            x = block(x, cos, sin, mask, caches[i] if caches else None)
        return self.norm(x)

    @torch.no_grad()
    def answer(self, prompt, stop, limit):
        """Greedy continuation of prompt (a list of ids), without stop, of at most limit tokens."""
        caches = [{} for _ in self.blocks]
        ids, start, out = list(prompt), 0, []
        limit = min(limit, self.config.context - len(prompt))
        while len(out) < limit:
            state = self.hidden(torch.tensor([ids]), start, caches)[0, -1]
            start += len(ids)
            best = int(self.head(state).argmax())
            if best == stop:
                break
            out.append(best)
            ids = [best]
        return out
