"""Trains lota-tiny on conversations that corpus.py makes, and writes it as GGUF.

usage: train.py SECONDS OUT.gguf [--resume] [--checkpoint FILE]

Every two minutes the state goes to the checkpoint and the averaged weights to OUT.gguf. --resume
takes up the checkpoint's weights and optimiser and runs a fresh learning-rate schedule of SECONDS.
"""

import argparse
import math
import os
import random
import time

# Two OpenMP pools (forward, backward) and OpenBLAS share the cores: threads that spin while they
# wait would halve the speed. Read when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import torch
from torch.nn import functional as F

import corpus
import gguf
import tokenizer as tok
from model import Config, Llama

SEED = 1
PEAK_RATE, WARM_UP = 3e-3, 60  # learning rate, steps
CONVERSATIONS = 32  # per step
SLICES = 3  # of a step, by length, so that little is padding
AVERAGE = 0.99  # decay of the averaged weights, per step
SAVE_EVERY = 120  # seconds


def learning_rate(step, done):
    """Linear warm-up, then a cosine to a fiftieth; done is the elapsed part of the time, 0 to 1."""
    return PEAK_RATE * min(1, (step + 1) / WARM_UP) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1, done))))


def slices(t, r, context):
    """One step's conversations as padded pairs: ids (B, T), weights in the loss (B, T)."""
    docs = sorted((corpus.encode(t, corpus.conversation(r), context) for _ in range(CONVERSATIONS)), key=lambda d: len(d[0]))
    bounds = [0, CONVERSATIONS // 2, CONVERSATIONS * 5 // 6, CONVERSATIONS]
    for part in (docs[i:j] for i, j in zip(bounds, bounds[1:])):
        size = len(part[-1][0])
        fill = lambda xs: torch.tensor([x + [0] * (size - len(x)) for x in xs])
        yield fill([d[0] for d in part]), fill([d[1] for d in part])


def loss_of(model, ids, said):
    """Weighted sum of the cross-entropy, in nats, over the tokens the model must say."""
    wanted = said[:, 1:] > 0
    states = model.hidden(ids[:, :-1])[wanted]
    losses = F.cross_entropy(model.head(states), ids[:, 1:][wanted], reduction="none")
    return (losses * said[:, 1:][wanted]).sum()


def make_tokenizer(size):
    r = random.Random(SEED)
    texts = [content for _ in range(6000) for _, content in corpus.conversation(r)]
    return tok.Tokenizer(tok.train_merges(texts + ["system\n", "user\n", "assistant\n"] * 1000, size), size)


def optimiser(model):
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.95))


class Run:
    """A training run's whole state: model, averaged weights, optimiser, tokeniser and totals."""

    def __init__(self, config):
        torch.manual_seed(SEED)
        self.model = Llama(config)
        self.tokenizer = make_tokenizer(config.vocab)
        self.optimiser = optimiser(self.model)
        self.average = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.totals = {"steps": 0, "tokens": 0, "answer_tokens": 0, "seconds": 0.0}

    def save(self, path, out):
        torch.save({
            "config": vars(self.model.config), "merges": self.tokenizer.merges, "model": self.model.state_dict(),
            "average": self.average, "optimiser": self.optimiser.state_dict(), "totals": self.totals,
        }, path + ".part")
        os.replace(path + ".part", path)
        gguf.write(out, self.model.config, self.tokenizer, self.average, "lota-tiny")

    def load(self, path):
        saved = torch.load(path)
        self.tokenizer = tok.Tokenizer(saved["merges"], self.model.config.vocab)
        self.model.load_state_dict(saved["model"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.average, self.totals = saved["average"], saved["totals"]

    def step(self, r, rate):
        """One update; returns the weighted mean loss, in nats per answer token."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        parts = list(slices(self.tokenizer, r, self.model.config.context))
        weight = sum(int(said.sum()) for _, said in parts)
        total = 0.0
        for ids, said in parts:
            loss = loss_of(self.model, ids, said) / weight
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        for name, p in self.model.state_dict().items():
            self.average[name].lerp_(p, 1 - AVERAGE)
        self.totals["steps"] += 1
        self.totals["tokens"] += sum(ids.numel() for ids, _ in parts)
        self.totals["answer_tokens"] += sum(int((said > 0).sum()) for _, said in parts)
        return total


def main():
    p = argparse.ArgumentParser()
    p.add_argument("seconds", type=float)
    p.add_argument("out")
    p.add_argument("--checkpoint", default="lota-tiny.ckpt")
    p.add_argument("--resume", action="store_true")
    p.add_argument("--width", type=int, default=Config.width)
    p.add_argument("--layers", type=int, default=Config.layers)
    args = p.parse_args()
    torch.set_num_threads(2)
    run = Run(Config(width=args.width, heads=args.width // 32, hidden=args.width * 3, layers=args.layers))
    if args.resume:
        run.load(args.checkpoint)
    r = random.Random(SEED + run.totals["steps"])
    print("parameters", sum(p.numel() for p in run.model.parameters()), "tokens in use", run.tokenizer.used, flush=True)
    begin = saved = last = time.time()
    first, before = run.totals["steps"], run.totals["tokens"]
    while (now := time.time()) - begin < args.seconds:
        loss = run.step(r, learning_rate(run.totals["steps"] - first, (now - begin) / args.seconds))
        run.totals["seconds"] += time.time() - now
        if run.totals["steps"] % 50 == 0:
            speed = (run.totals["tokens"] - before) / (time.time() - last)
            last, before = time.time(), run.totals["tokens"]
            print(f"step {run.totals['steps']} {now - begin:.0f} s loss {loss:.4f} {speed:.0f} tokens/s", flush=True)
        if time.time() - saved > SAVE_EVERY:
            run.save(args.checkpoint, args.out)
            saved = time.time()
    run.save(args.checkpoint, args.out)
    print(run.totals, flush=True)


if __name__ == "__main__":
    main()
