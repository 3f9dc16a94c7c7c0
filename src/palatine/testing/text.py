"""Seeded prose: made-up words with the statistics of notes that people and agents write.

Nothing here comes from a real person or corpus. Words are syllables, their frequencies follow
Zipf's law, common phrases recur, and each document keeps returning to a few words of its own;
those four together decide how well text compresses, which is what a store is measured on.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from random import Random

_ONSETS = [*"bcdfghjklmnprstvw" * 2, "cl", "dr", "fl", "gr", "pr", "sh", "st", "th", "tr", "", ""]
_NUCLEI = [*"aeiou" * 3, "ai", "ea", "ou"]
_CODAS = ["", "", "", *"nrstlm", "nd", "st", "ng"]

_VOCABULARY = 9_000
_PHRASES = 2_400
_TABLE = 1 << 16
_OWN_WORD = 29_000  # of 65,536 draws, how many go to the document's own words
_PHRASE_SHARE = 0.10
_BYTES_PER_DRAW = 8.3  # measured: mean length of one draw with the blank after it


@dataclass(frozen=True)
class Document:
    """A piece of text and the few words that stand for it."""

    title: str
    tags: tuple[str, ...]
    body: str


class Prose:
    """A vocabulary fixed by its seed; every method draws from the generator it is given."""

    def __init__(self, seed: int) -> None:
        rng = Random(f"prose:{seed}")
        self.vocabulary = _vocabulary(rng)
        phrases = [
            " ".join(rng.choices(self.vocabulary[:1_500], k=rng.randint(2, 4)))
            for _ in range(_PHRASES)
        ]
        draws = _TABLE - _OWN_WORD
        table = _zipf_table(phrases, int(draws * _PHRASE_SHARE))
        table += _zipf_table(self.vocabulary, draws - len(table))
        self._table = [""] * _OWN_WORD + table

    def sentences(self, rng: Random, size: int, own: list[str] | None = None) -> str:
        """About `size` bytes of sentences that keep returning to the words in `own`."""
        draws = max(4, round(size / _BYTES_PER_DRAW))
        own = own or self.own_words(rng)
        last = len(own)
        table = self._table
        words = [table[draw] or own[draw % last] for draw in array("H", rng.randbytes(2 * draws))]
        out = []
        start = 0
        while start < draws:
            end = start + 5 + int(rng.random() * 14)
            sentence = " ".join(words[start:end])
            out.append(sentence[0].upper() + sentence[1:] + ".")
            start = end
        return " ".join(out)

    def own_words(self, rng: Random) -> list[str]:
        """The words one document is about: mostly rare ones, and something with a number in it."""
        words = rng.choices(self.vocabulary[200:], k=7)
        words.append(f"{words[0]}_{words[1]}")
        words.append(f"{words[2]}-{rng.randint(1, 999)}")
        return words

    def name(self, rng: Random) -> str:
        """A lower-case name of two or three words, fit for a key or a file name."""
        return "-".join(rng.choices(self.vocabulary[50:4_000], k=rng.randint(2, 3)))

    def note(self, rng: Random, size: int) -> Document:
        """Plain prose of about `size` bytes, with a title and tags."""
        own = self.own_words(rng)
        title = " ".join(own[:3]).capitalize()
        return Document(title, tuple(own[2:5]), self.sentences(rng, size, own))

    def markdown(self, rng: Random, size: int) -> str:
        """A markdown page of about `size` bytes: front matter, headings, lists, links, code."""
        own = self.own_words(rng)
        title = " ".join(own[:3]).capitalize()
        blocks = [_front_matter(rng, title, own), f"# {title}"]
        left = size - len(blocks[0]) - len(title) - 5
        while left > 20:
            block = self._block(rng, min(left, 120 + int(rng.random() * 480)), own)
            blocks.append(block)
            left -= len(block) + 2
        return "\n\n".join(blocks) + "\n"

    def _block(self, rng: Random, size: int, own: list[str]) -> str:
        kind = rng.random()
        if size < 120 or kind < 0.55:
            return self.sentences(rng, size, own)
        if kind < 0.67:
            return f"## {own[0].capitalize()} {own[int(rng.random() * 6)]}\n\n" + self.sentences(
                rng, size - 24, own
            )
        if kind < 0.88:
            mark = "- [ ] " if kind > 0.82 else "- "
            return "\n".join(mark + self.sentences(rng, 60, own) for _ in range(size // 66))
        if kind < 0.95:
            return f"See [{own[0]}]({own[0]}.md), `{own[7]}`. " + self.sentences(
                rng, size - 40, own
            )
        call = f"{own[7]}({own[0]}={rng.randint(0, 9999)}, {own[1]}=None)"
        return f"```python\n{own[3]} = {call}\nassert {own[3]} is not None\n```"


def log_normal_size(rng: Random, mean: float, smallest: int, largest: int) -> int:
    """A size in bytes, log-normal as file sizes are, with about the given mean."""
    sigma = 0.8
    size = mean * math.exp(sigma * rng.gauss(0.0, 1.0) - sigma * sigma / 2)
    return int(min(max(size, smallest), largest))


def stamp(day: int, second: int) -> str:
    """An RFC 3339 time in UTC: the given second of a day counted from a fixed first day."""
    month, date = divmod(day, 28)
    year, month = divmod(month, 12)
    hour, rest = divmod(second % 86_400, 3_600)
    clock = f"{hour:02d}:{rest // 60:02d}:{rest % 60:02d}"
    return f"{2026 + year}-{month + 1:02d}-{date + 1:02d}T{clock}Z"


def hex_id(rng: Random) -> str:
    """A random identifier in the shape of a UUID."""
    digits = rng.randbytes(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _front_matter(rng: Random, title: str, own: list[str]) -> str:
    return (
        f"---\nid: {rng.randbytes(4).hex()}\ntitle: {title}\n"
        f"created: {stamp(rng.randint(0, 300), rng.randint(0, 86_399))}\n"
        f"tags: [{own[3]}, {own[4]}]\nimportance: 0.{rng.randint(1, 9)}\n---"
    )


def _vocabulary(rng: Random) -> list[str]:
    """Distinct words, the frequent ones short, as in any language."""
    words: dict[str, None] = {}
    while len(words) < _VOCABULARY:
        common = len(words) < 150
        syllables = 1 if common else rng.choice((1, 2, 2, 2, 3, 3, 4))
        word = "".join(rng.choice(_ONSETS) + rng.choice(_NUCLEI) for _ in range(syllables))
        words[word + rng.choice(_CODAS)] = None
    return list(words)


def _zipf_table(items: list[str], slots: int) -> list[str]:
    """`slots` entries in which the item of rank r stands about proportionally to 1/(r+3).

    A table and 16 random bits per draw are six times faster than `random.choices`.
    """
    weights = [1.0 / (rank + 3) for rank in range(len(items))]
    scale = slots / sum(weights)
    table: list[str] = []
    carry = 0.0
    for item, weight in zip(items, weights, strict=True):
        carry += weight * scale
        count = int(carry)
        table += [item] * count
        carry -= count
    return table + [items[0]] * (slots - len(table))
