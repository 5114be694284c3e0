"""Byte-level BPE: GPT-2's byte alphabet, the qwen2 pre-tokeniser, one token per digit.

llama.cpp reads the result as tokenizer.ggml.model=gpt2, tokenizer.ggml.pre=qwen2, and must
produce the same ids; the text that the model is trained on never holds a special token's
spelling, so those are added by id.
"""

import collections
import re

ENDOFTEXT, IM_START, IM_END = 0, 1, 2
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

# qwen2's pattern in the words of Python's re: [^\W\d_] is \p{L}, \d is (nearly) \p{N}.
PATTERN = re.compile(
    r"'[sStTmMdD]|'(?:re|ve|ll|RE|VE|LL)"
    r"|(?:[^\r\n\w]|_)?[^\W\d_]+"
    r"|\d"
    r"| ?(?:[^\s\w]|_)+[\r\n]*"
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"
    r"|\s+"
)


def byte_alphabet():
    """GPT-2's map from each of the 256 bytes to a printable character."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    chars = [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]
    return dict(zip(printable + others, chars))


BYTES = byte_alphabet()


def spell(word):
    """The word's UTF-8 bytes as a list of one-character tokens."""
    return [BYTES[b] for b in word.encode()]


def join_pair(symbols, pair):
    """Replaces each occurrence of pair in symbols, from the left, by its concatenation."""
    out, i = [], 0
    while i < len(symbols):
        if tuple(symbols[i:i + 2]) == pair:
            out.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


def train_merges(texts, size):
    """Learns merges, most frequent pair first, until specials + bytes + merges number size."""
    counts = collections.Counter(w for t in texts for w in PATTERN.findall(t))
    words = {w: spell(w) for w in counts}
    merges = []
    while len(SPECIAL) + 256 + len(merges) < size:
        pairs = collections.Counter()
        for word, symbols in words.items():
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += counts[word]
        if not pairs:
            break
        best = max(pairs, key=lambda p: (pairs[p], p))
        merges.append(best)
        words = {w: join_pair(s, best) if best[0] in s else s for w, s in words.items()}
    return merges


class Tokenizer:
    """Encodes text with the given merges (a list of pairs, best first) and decodes ids."""

    def __init__(self, merges, size):
        self.merges = [tuple(m) for m in merges]
        tokens = SPECIAL + list(BYTES.values()) + [a + b for a, b in self.merges]
        self.used = len(tokens)
        self.tokens = tokens + [f"<|unused{i}|>" for i in range(len(tokens), size)]
        self.ids = {t: i for i, t in enumerate(self.tokens)}
        self.ranks = {m: i for i, m in enumerate(self.merges)}
        self.bytes = {c: b for b, c in BYTES.items()}
        self.cache = {}

    def encode(self, text):
        """Ids of plain text; special tokens are not recognised in it."""
        return [i for word in PATTERN.findall(text) for i in self._word(word)]

    def decode(self, ids):
        """Text of ids; special tokens vanish."""
        chars = "".join(self.tokens[i] for i in ids if i >= len(SPECIAL))
        return bytes(self.bytes[c] for c in chars).decode(errors="replace")

    def _word(self, word):
        if word not in self.cache:
            symbols = spell(word)
            while len(symbols) > 1:
                best = min(zip(symbols, symbols[1:]), key=lambda p: self.ranks.get(p, len(self.ranks)))
                if best not in self.ranks:
                    break
                symbols = join_pair(symbols, best)
            self.cache[word] = [self.ids[s] for s in symbols]
        return self.cache[word]
