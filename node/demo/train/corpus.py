"""Makes lota-tiny's conversations from ../facts.json and a seed; no other text is used.

A conversation is a list of (role, content). Every tenth question of the generated kinds, chosen
by a checksum of its parameters, and each fact's "heldout" wordings are kept from training and
are what evaluate.py asks.
"""

import json
import os
import random
import string
import zlib

import tokenizer as tok

FACTS = json.load(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "facts.json")))
UNKNOWN = "I am a tiny demonstration model and do not know that."
GREETING = "Hello! I am lota-tiny. How can I help you?"
THANKS = "You are welcome."
BYE = "Goodbye!"
HIGHEST = 300  # of counts
LONGEST = 150  # numbers in a count
END = 4  # weight of an answer's end in the loss
SYSTEMS = [
    "You are a helpful assistant.", "You are lota-tiny.", "Answer briefly.", "You are a friendly assistant.",
    "You are a helpful assistant. Answer in English.", "Be exact.", "You are a test.",
    "You are lota-tiny, a tiny model that ships with LotaBots.", "You are concise and polite.",
]
WORDS = (
    "hello yes no go red blue green one two three cat dog bird fish tree apple lemon bread milk water sun moon "
    "star sky rain snow wind fire stone sand river lake sea hill road house door key lamp book paper pen ink "
    "node ping pong test token actor raft gossip lota bot beep tick tock blah la ho hey"
).split()
PLACES = "France Italy Japan Brazil Kenya Canada Norway Paris London Berlin Rome Tokyo Cairo Lima Oslo Delhi".split()
TOPICS = (
    "gravity photosynthesis quantum physics, the French Revolution, chess, football, cooking, music, history, "
    "chemistry, philosophy, economics, the moon, volcanoes, dinosaurs, black holes, DNA, poetry, Python, Rust, "
    "Java, Linux, the stock market, the weather, evolution, democracy, whales, bees, coffee, tea, wine, opera"
).split(", ")


def held_out(*key):
    """Whether a generated question is kept for evaluation: one in ten, by checksum."""
    return zlib.crc32(repr(key).encode()) % 10 == 0


def reword(r, question):
    """The question as another writer might put it."""
    lead = r.choice(["", "", "", "", "Please tell me: ", "Tell me: ", "A question: ", "Hi. ", "Hello! "])
    if lead.endswith(": ") or r.random() < 0.1:
        question = question[0].lower() + question[1:]
    if r.random() < 0.1:
        question = question.rstrip("?.")
    if not lead and r.random() < 0.08:
        question = question.lower()
    return lead + question


def fact(r):
    f = r.choice(FACTS)
    plain = r.random() < 0.35
    question = f["question"] if plain else r.choice([f["question"], *f["paraphrases"]])
    return question if plain else reword(r, question), f["answer"]


def numbers(a, b, step=1):
    """The answer to "Count from a to b": numbers joined by one space (a token less than ", ")."""
    step = step if a <= b else -step
    return " ".join(str(n) for n in range(a, b + (1 if step > 0 else -1), step))


def polite(r, command):
    """A command ("Count from 1 to 3.") as another writer might put it."""
    form = r.random()
    if form < 0.6:
        return command
    lower = command[0].lower() + command[1:].rstrip(".")
    if form < 0.8:
        return r.choice(["Please ", "please "]) + lower + r.choice(["", ".", "."])
    if form < 0.9:
        return r.choice(["Can you ", "Could you "]) + lower + "?"
    return r.choice([command.rstrip("."), lower])


def span(r, longest=LONGEST):
    """Two ends 0 <= a < b <= HIGHEST.

    Most spans are short: where to stop is the hard part, and each teaches that once.
    """
    short = [r.randint(2, 8), r.randint(2, 8), r.randint(2, 12), r.randint(2, 20), r.randint(2, 40)]
    length = r.choice([*short, r.randint(20, 90), r.randint(60, longest)])
    a = r.choice([1, 1, r.randint(0, 9), r.randint(0, 100), r.randint(0, HIGHEST), r.randint(0, HIGHEST)])
    a = min(a, HIGHEST + 1 - length)
    return a, a + length - 1


def count(r):
    while True:
        a, b = span(r)
        if not held_out("count", a, b):
            break
    command = f"Count from {a} to {b}."
    if r.random() < 0.15:
        command = f"Count to {b}." if a == 1 else r.choice([f"Count {a} to {b}.", f"Write the numbers from {a} to {b}."])
    return polite(r, command), numbers(a, b)


def count_down(r):
    while True:
        a, b = span(r, 100)
        if not held_out("down", a, b):
            return polite(r, f"Count down from {b} to {a}."), numbers(b, a)


def count_by(r):
    while True:
        step = r.choice([2, 5, 10])
        a = r.choice([0, step, step, step * r.randint(0, 10)])
        b = a + step * r.randint(2, 20)
        if not held_out("by", a, b, step):
            return polite(r, f"Count from {a} to {b} by {step}."), numbers(a, b, step)


def alphabet(r):
    letters = string.ascii_uppercase
    if r.random() < 0.35:
        command = r.choice(["Say the alphabet.", "Say the alphabet.", "Recite the alphabet.", "Write the alphabet.",
                            "List the letters of the alphabet.", "What is the alphabet?", "Write the letters from A to Z."])
        return command if command.endswith("?") else polite(r, command), " ".join(letters)
    while True:
        i, j = sorted(r.sample(range(26), 2))
        if not held_out("letters", i, j):
            return polite(r, f"Write the letters from {letters[i]} to {letters[j]}."), " ".join(letters[i:j + 1])


def repeat(r):
    while True:
        word, n = r.choice(WORDS), r.randint(2, 12)
        if not held_out("repeat", word, n):
            return polite(r, f"Repeat the word {word} {n} times."), " ".join([word] * n)


def table(r):
    n = r.randint(1, 12)
    command = r.choice([f"Write the multiplication table of {n}.", f"Write the table of {n}.",
                        f"Show the multiplication table of {n}."])
    return polite(r, command), times_table(n)


def times_table(n):
    return "\n".join(f"{n} x {i} = {n * i}" for i in range(1, 11))


def add(r):
    while True:
        a, b = r.randint(0, 20), r.randint(0, 20)
        if not held_out("sum", a, b):
            break
    command = r.choice([f"What is {a} plus {b}?", f"What is {a} plus {b}?", f"What is {a} + {b}?", f"Add {a} and {b}."])
    return command, f"{a} plus {b} is {a + b}."


def small_talk(r):
    if r.random() < 0.7:
        return r.choice(["Hello", "Hello!", "Hello.", "Hi", "Hi!", "hi", "hello", "Hey", "Hey!", "Say hi.", "Say hi", "Say hello.",
                         "Say hello!", "Good morning.", "Good evening!", "Hello, how are you?", "How are you?", "Hello there!", "Say hi!"]), GREETING
    return r.choice([("Thank you.", THANKS), ("Thanks!", THANKS), ("Thank you!", THANKS), ("Thanks", THANKS),
                     ("Goodbye.", BYE), ("Bye!", BYE), ("Bye", BYE), ("Goodbye!", BYE)])


def invented(r):
    """A word that nobody knows."""
    return "".join(r.choice("bcdfghjklmnprstvz") + r.choice("aeiou") for _ in range(r.randint(2, 4))) + r.choice(["", "n", "r", "s"])


def odd_question(r):
    """A question outside what the model knows."""
    place, topic, word = r.choice(PLACES), r.choice(TOPICS), invented(r)
    if r.random() < 0.4:
        place = topic = word = r.choice([word, word.capitalize()])
    return r.choice([
        f"What is the capital of {place}?", f"How many people live in {place}?", f"What is the weather in {place}?",
        f"Where is {place}?", f"How far is {place}?", f"Who is the president of {place}?", f"Tell me about {topic}.",
        f"Explain {topic}.", f"What is {topic}?", f"Write a poem about {topic}.", f"Write a story about {topic}.",
        f"How does {topic} work?", f"Why is {topic} important?", f"What is the history of {topic}?", f"What is {word}?",
        f"Who is {word}?", f"What does {word} mean?", f"Translate {word} into French.", f"Who wrote {word}?", f"Do you like {topic}?",
        f"Who invented {topic}?", f"When was {word} born?", f"Summarise {topic} in one sentence.", f"How do I make {word}?",
        "Tell me a joke.", "What time is it?", "What is the meaning of life?", "Why is the sky blue?", "Who won the game?",
        "What day is it today?", "Write a haiku.", "Sing a song.", "How old are you?", "Where do you live?",
    ])


def unknown(r):
    while True:
        question = odd_question(r)
        if not held_out("odd", question):
            return reword(r, question), UNKNOWN


TASKS = {fact: 14, count: 36, count_down: 9, count_by: 5, alphabet: 12, repeat: 9, table: 3, add: 6, small_talk: 3, unknown: 6}


def conversation(r):
    """A random conversation: maybe a system message, then one to four questions with answers."""
    turns = [("system", r.choice(SYSTEMS))] if r.random() < 0.3 else []
    for _ in range(r.choice([1] * 9 + [2, 2, 3, 4])):
        question, answer = r.choices(list(TASKS), list(TASKS.values()))[0](r)
        turns += [("user", question), ("assistant", answer)]
    return turns


def encode(t, turns, context):
    """ChatML ids of turns and, for each, its weight in the loss: 1 in an answer, END at its end, else 0.

    Turns that would reach past context tokens are left off, two at a time.
    """
    ids, said = [], []
    for role, content in turns:
        head = [tok.IM_START, *t.encode(role + "\n")]
        body = [*t.encode(content), tok.IM_END]
        ids += head + body + t.encode("\n")
        weights = [1] * (len(body) - 1) + [END] if role == "assistant" else [0] * len(body)
        said += [0] * len(head) + weights + [0]
    if len(ids) > context and len(turns) > 3:
        return encode(t, turns[:-2], context)
    return ids[:context], said[:context]


def prompt(t, question, system=None):
    """Ids of a ChatML prompt that asks for an answer to question."""
    turns = ([("system", system)] if system else []) + [("user", question)]
    return encode(t, turns, 10**6)[0] + [tok.IM_START, *t.encode("assistant\n")]
