"""Measures, per task, how often the greedy answer is exactly right on questions kept from training.

usage: evaluate.py MODEL.gguf|CHECKPOINT [--samples N] [--cases FILE]

An answer counts when every token, its end included, is the most likely one after the right tokens
before it: just then greedy decoding gives that answer. --cases writes the questions as JSON lines
(task, system, question, answer, ids of the prompt and of the answer), for a check with another engine.
"""

import argparse
import json
import random
import string

import torch

import corpus
import gguf
import tokenizer as tok
from model import Config, Llama


def kept(draw, kind):
    """Draws parameters until they are ones that training never saw."""
    while True:
        drawn = draw()
        if corpus.held_out(kind, *drawn):
            return drawn


def count_case(r, shortest, longest):
    def draw():
        n = r.randint(shortest, longest)
        a = r.randint(0, corpus.HIGHEST + 1 - n)
        return a, a + n - 1
    a, b = kept(draw, "count")
    return f"Count from {a} to {b}.", corpus.numbers(a, b)


def count_from_one(r):
    n = r.randint(2, corpus.LONGEST)
    return f"Count from 1 to {n}.", corpus.numbers(1, n)


def down_case(r):
    a, b = kept(lambda: corpus.span(r, 100), "down")
    return f"Count down from {b} to {a}.", corpus.numbers(b, a)


def by_case(r):
    def draw():
        step = r.choice([2, 5, 10])
        a = step * r.randint(0, 10)
        return a, a + step * r.randint(2, 20), step
    a, b, step = kept(draw, "by")
    return f"Count from {a} to {b} by {step}.", corpus.numbers(a, b, step)


def letters_case(r):
    i, j = kept(lambda: tuple(sorted(r.sample(range(26), 2))), "letters")
    letters = string.ascii_uppercase
    return f"Write the letters from {letters[i]} to {letters[j]}.", " ".join(letters[i:j + 1])


def repeat_case(r):
    word, n = kept(lambda: (r.choice(corpus.WORDS), r.randint(2, 12)), "repeat")
    return f"Repeat the word {word} {n} times.", " ".join([word] * n)


def sum_case(r):
    a, b = kept(lambda: (r.randint(0, 20), r.randint(0, 20)), "sum")
    return f"What is {a} plus {b}?", f"{a} plus {b} is {a + b}."


def odd_case(r):
    return kept(lambda: (corpus.odd_question(r),), "odd")[0], corpus.UNKNOWN


def cases(samples):
    """(task, question, answer) of every task; fixed for a given number of samples."""
    facts = corpus.FACTS
    yield from (("facts", f["question"], f["answer"]) for f in facts)
    yield from (("facts, wordings trained on", q, f["answer"]) for f in facts for q in f["paraphrases"])
    yield from (("facts, wordings kept", q, f["answer"]) for f in facts for q in f["heldout"])
    yield from (("alphabet", q, " ".join(string.ascii_uppercase)) for q in ("Say the alphabet.", "Recite the alphabet."))
    yield from (("tables", f"Write the table of {n}.", corpus.times_table(n)) for n in range(1, 13))
    yield from (("greetings", q, corpus.GREETING) for q in ("Hello", "Hello!", "Hi", "Say hi.", "hi"))
    draws = {
        "count from 1, at most 150 numbers": count_from_one,
        "count kept, 2 to 30 numbers": lambda r: count_case(r, 2, 30),
        "count kept, 31 to 90 numbers": lambda r: count_case(r, 31, 90),
        "count kept, 91 to 150 numbers": lambda r: count_case(r, 91, corpus.LONGEST),
        "count down kept": down_case,
        "count by steps kept": by_case,
        "letters kept": letters_case,
        "repeat kept": repeat_case,
        "sums kept": sum_case,
        "unknown kept": odd_case,
    }
    for task, draw in draws.items():
        r = random.Random(task)
        yield from ((task, *draw(r)) for _ in range(samples))


def load(path):
    """(model, tokeniser) of a GGUF that gguf.py wrote, or of a checkpoint's averaged weights."""
    if path.endswith(".gguf"):
        config, merges, state = gguf.read(path)
    else:
        saved = torch.load(path)
        config, merges, state = Config(**saved["config"]), saved["merges"], saved["average"]
    model = Llama(config)
    model.load_state_dict(state)
    return model, tok.Tokenizer(merges, config.vocab)


@torch.no_grad()
def wrong_at(model, t, question, answer, system=None):
    """None if the greedy answer is right, else the index of its first wrong token."""
    head = corpus.prompt(t, question, system)
    body = [*t.encode(answer), tok.IM_END]
    states = model.hidden(torch.tensor([head + body[:-1]]))[0, len(head) - 1:]
    wrong = (model.head(states).argmax(-1) != torch.tensor(body)).nonzero()
    return int(wrong[0]) if len(wrong) else None


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("--samples", type=int, default=100)
    p.add_argument("--cases")
    p.add_argument("--wrong", action="store_true", help="print each question answered wrongly")
    args = p.parse_args()
    model, t = load(args.model)
    asked = [(None, *c) for c in cases(args.samples)]
    asked += [("You are a helpful assistant.", "facts, with a system message", q, a) for _, task, q, a in asked if task == "facts"]
    tally = {}
    for system, task, question, answer in asked:
        at = wrong_at(model, t, question, answer, system)
        right, of = tally.get(task, (0, 0))
        tally[task] = right + (at is None), of + 1
        if args.wrong and at is not None:
            said = model.answer(corpus.prompt(t, question, system), tok.IM_END, at + 8)
            print(f"{question!r}: wrong at token {at}: ...{t.decode(said)[-60:]!r}")
    for task, (right, of) in tally.items():
        print(f"{task:36} {right:4} of {of:4}  {100 * right / of:5.1f} %")
    if args.cases:
        with open(args.cases, "w") as f:
            for system, task, question, answer in asked:
                f.write(json.dumps({
                    "task": task, "system": system, "question": question, "answer": answer,
                    "ids": corpus.prompt(t, question, system), "answer_ids": t.encode(answer),
                }) + "\n")


if __name__ == "__main__":
    main()
