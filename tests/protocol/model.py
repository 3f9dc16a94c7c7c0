"""The concurrency protocol (docs/format.md, "Concurrency") as a small state space, searched whole.

Actors are writers, collectors, one that forgets, one that undeletes, one that reindexes. Each step
is one call to the backend; any actor may take the next one. A crash is an actor that takes no
further step, so every prefix of every run is a crash that was looked at; and as a collector may
fence whom it likes (no clock decides safety), so is every way in which a dead or slow writer is
taken for dead. What a collector condemns is a guess: any pack, or any two. A commit without an
answer, which may still arrive, is a writer that is about to commit: it stays announced.

Objects are A, and B that may be stored as a delta onto A. What must hold in every state: each
object of each snapshot that has a file lies in a listed pack, with its base.

`VARIANTS` are protocols with one thing left out: the search has to find what each of them loses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

A, B = 1, 2
"""Objects: what a snapshot holds is a sum of them."""

FULL_A, FULL_B, DELTA_B = 1, 2, 4
"""Copies: what a pack holds is a sum of them. The base of DELTA_B is A."""

VOID = 255
OLD, OLDER, WRITER, COLLECTOR = 0, 1, 2, 4
"""Packs, by number: the first two are there from the start; then one for each writer and collector.
A set of packs is a sum of powers of two."""

VARIANTS = {
    "no sessions": "the collector waits for nobody",
    "no fencing": "a session that is taken for dead is passed over without a void",
    "named by content": "a pack has the name that one of the same content had",
    "index trusted": "what the index says counts without a listing of the packs",
    "uncondemned": "a condemned pack that turns out to be needed is taken back",
    "snapshots before waiting": "the collector lists snapshots, then waits for sessions",
    "condemned after packs": "the writer lists packs, then what is condemned",
    "collector condemned after packs": "the collector lists packs, then what is condemned",
    "announced late": "the writer puts its session after it has read what is condemned",
    "withdrawn unanswered": "a writer ends its session while its commit may still arrive",
    "commit over": "the commit replaces what has its key",
    "late adoption": "the collector deletes what was condemned after it listed the sessions",
    "left to others": "the collector copies objects out of its packs, no others that stand on them",
    "entries first": "condemned entries are deleted before their packs",
    "bases forgotten": "the collector marks objects, but not the bases of deltas",
    "undelete unchecked": "undelete commits without looking whether the objects are present",
}


@dataclass(frozen=True)
class Bounds:
    """How many of each actor there are.

    `forgets` is how many snapshots may be forgotten, `guess` how many packs a collector condemns at
    once (besides those that others left).
    """

    writers: int = 2
    collectors: int = 2
    forgets: int = 1
    guess: int = 1
    undelete: bool = False
    reindex: bool = False


# A state is bytes: what the repository holds, then each actor's place and what it remembers.
LISTED, INDEX, CONDEMNED, SESSIONS = 0, 1, 2, 3
CONTENTS = 4  # of six packs
KEYS = 10  # of the first two snapshots, two writers, one undeleter
FORGOTTEN = 15
FORGETS = 20  # left to do
WRITERS = 21  # place, condemned as read, listing as read, what to put
COLLECTORS = 29  # place, its own, whom it awaits, needed, condemned as read, listing, what to put
FORGETTER = 43  # place, key
UNDELETER = 45  # place, snapshot, condemned as read, from which key
REINDEXER = 49  # place, listing
SIZE = 51

PLACE, ABSENT, SEEN, PUT = 0, 1, 2, 3
MINE, AWAITED, NEEDED, C_ABSENT, C_SEEN, C_PUT = 1, 2, 3, 4, 5, 6
DONE = 99

WANTS = (A, B)
"""What the writers' palaces hold."""

State = bytes
Step = Callable[[bytearray, int, int], None]


class Model:
    """One protocol: the real one, or a variant of it."""

    def __init__(self, bounds: Bounds, variant: str = "") -> None:
        assert variant in VARIANTS or not variant
        self._bounds = bounds
        self._variant = variant
        # Where nobody reads the index, and nobody a pack that is gone, neither need be remembered.
        self._indexed = bounds.reindex or variant == "index trusted"
        self._remembers = variant in ("index trusted", "named by content") or "after" in variant

    def first(self) -> State:
        """Return the state all begins in: two snapshots, the second a delta onto the first."""
        state = bytearray(SIZE)
        state[LISTED] = 1 << OLD | 1 << OLDER
        state[INDEX] = state[LISTED] if self._indexed else 0
        state[CONTENTS + OLD], state[CONTENTS + OLDER] = FULL_A, DELTA_B
        state[KEYS], state[KEYS + 1] = A, B
        state[FORGETS] = self._bounds.forgets
        for number in range(self._bounds.writers, 2):
            state[WRITERS + 4 * number] = DONE
        for number in range(self._bounds.collectors, 2):
            state[COLLECTORS + 7 * number] = DONE
        if not self._bounds.undelete:
            state[UNDELETER] = DONE
        if not self._bounds.reindex:
            state[REINDEXER] = DONE
        return bytes(state)

    def next(self, state: State) -> Iterator[bytearray]:
        """Yield every state that one step of one actor leads to."""
        for number in range(2):
            yield from self._writer(state, number)
            yield from self._collector(state, number)
        yield from self._forgetter(state)
        yield from self._undeleter(state)
        yield from self._reindexer(state)

    def is_whole(self, state: State | bytearray) -> bool:
        """Whether everything that a snapshot needs is there."""
        there = present(state, state[LISTED])
        for content in state[KEYS : KEYS + 5]:
            if content and content != VOID and content & ~there:
                return False
        return True

    # Writers

    def _writer(self, state: State, number: int) -> Iterator[bytearray]:
        me = WRITERS + 4 * number
        place = state[me]
        if place == DONE:
            return
        after = bytearray(state)
        after[me] = place + 1
        order = self._writer_order()
        if place < 3:
            order[place](after, me, number)
            if place == 2:
                self._decide(after, me, number)
        elif place == 3:
            self._put_pack(after, WRITER + number, state[me + PUT])
            after[me] = 4 if self._indexed else 5
            after[me + PUT] = 0
        elif place == 4:
            after[INDEX] |= 1 << WRITER + number
        else:
            if (place == 5) != (self._variant == "withdrawn unanswered"):
                if not state[KEYS + 2 + number] or self._variant == "commit over":
                    after[KEYS + 2 + number] = WANTS[number]
            else:
                after[SESSIONS] &= ~(1 << number)
            if place == 6:
                after[me] = DONE
        yield after

    def _writer_order(self) -> tuple[Step, Step, Step]:
        announce, condemned, packs = self._announce, self._read_condemned, self._read_packs
        if self._variant == "condemned after packs":
            return announce, packs, condemned
        if self._variant == "announced late":
            return condemned, announce, packs
        return announce, condemned, packs

    def _announce(self, after: bytearray, me: int, number: int) -> None:
        after[SESSIONS] |= 1 << number

    def _read_condemned(self, after: bytearray, me: int, number: int) -> None:
        after[me + ABSENT] = after[CONDEMNED]

    def _read_packs(self, after: bytearray, me: int, number: int) -> None:
        trusted = self._variant == "index trusted"
        after[me + SEEN] = after[INDEX] if trusted else after[LISTED]

    def _decide(self, after: bytearray, me: int, number: int) -> None:
        there = present(after, after[me + SEEN] & ~after[me + ABSENT])
        after[me + ABSENT] = after[me + SEEN] = 0
        wanted = WANTS[number]
        if wanted & there:
            after[me] = 5
        elif wanted == A:
            after[me + PUT] = FULL_A
        else:
            after[me + PUT] = DELTA_B if there & A else FULL_B

    def _put_pack(self, after: bytearray, own: int, holds: int) -> None:
        if self._variant == "named by content" and holds in after[CONTENTS : CONTENTS + 6]:
            own = after.index(holds, CONTENTS) - CONTENTS
        after[CONTENTS + own] = holds
        after[LISTED] |= 1 << own

    # Collectors

    def _collector(self, state: State, number: int) -> Iterator[bytearray]:
        me = COLLECTORS + 7 * number
        place = state[me]
        if place == DONE:
            return
        if place == 0:
            yield from self._guess(state, me)
        elif place == 6:
            yield from self._plan(state, me)
        else:
            after = bytearray(state)
            after[me] = place + 1
            if self._collector_step(after, me, number, place):
                yield after
            if place == 3:
                yield from self._fence(state, me)

    def _guess(self, state: State, me: int) -> Iterator[bytearray]:
        """Take one or two packs for dead, and what others left condemned."""
        packs = [1 << at for at in range(6) if state[LISTED] >> at & 1]
        others = packs if self._bounds.guess == 2 else [0]
        for guess in {one | other for one in packs for other in others}:
            after = bytearray(state)
            after[me] = 1
            after[me + MINE] = guess | state[CONDEMNED]
            yield after

    def _collector_step(  # noqa: C901 - one branch for each step
        self, after: bytearray, me: int, number: int, place: int
    ) -> bool:
        mine = after[me + MINE]
        if place == 1:
            missing = mine & ~after[CONDEMNED]
            after[CONDEMNED] |= missing & -missing
            if missing & (missing - 1):
                after[me] = 1
        elif place == 2:
            after[me + AWAITED] = after[SESSIONS]
            if self._variant == "no sessions":
                after[me + AWAITED] = 0
            if self._variant == "snapshots before waiting":
                after[me + NEEDED] = self._needed(after)
        elif place == 3:
            after[me + AWAITED] &= after[SESSIONS]
            return not after[me + AWAITED]
        elif place == 4:
            if self._variant != "snapshots before waiting":
                after[me + NEEDED] = self._needed(after)
            if self._variant == "collector condemned after packs":
                after[me + C_SEEN] = after[LISTED]
        elif place == 5:
            after[me + C_ABSENT] = after[CONDEMNED]
            if self._variant == "late adoption":
                after[me + MINE] |= after[CONDEMNED]
        elif place == 7:
            self._copy(after, me, number)
        elif place == 8:
            after[INDEX] |= 1 << COLLECTOR + number
        elif place == 9:
            after[INDEX] &= ~mine
        else:
            self._delete(after, me, number, place)
        return True

    def _copy(self, after: bytearray, me: int, number: int) -> None:
        copies = after[me + C_PUT]
        read = (A if copies & FULL_A else 0) | (B if copies & (FULL_B | DELTA_B) else 0)
        if read & ~present(after, after[LISTED]):
            self._end(after, me)  # another collector has removed what was to be copied
            return
        self._put_pack(after, COLLECTOR + number, copies)
        after[me] = 8 if self._indexed else 10
        after[me + C_PUT] = 0

    def _end(self, after: bytearray, me: int) -> None:
        after[me : me + 7] = bytes([DONE, 0, 0, 0, 0, 0, 0])

    def _delete(self, after: bytearray, me: int, number: int, place: int) -> None:
        """Delete one pack, or one condemned entry, after the other."""
        entries_first = self._variant == "entries first"
        which = LISTED if (place == 10) != entries_first else CONDEMNED
        mine = after[me + MINE]
        left = mine & after[which]
        after[which] &= ~(left & -left)
        if which == LISTED and left and not self._remembers:
            after[CONTENTS + (left & -left).bit_length() - 1] = 0
        if left & (left - 1):
            after[me] = place
        elif place == 11:
            self._end(after, me)

    def _fence(self, state: State, me: int) -> Iterator[bytearray]:
        """Take a session for dead: put a void on its key, and remove it."""
        for number in range(3):
            if not state[me + AWAITED] & state[SESSIONS] & 1 << number:
                continue
            after = bytearray(state)
            key = KEYS + 2 + number
            if not after[key] and self._variant != "no fencing":
                after[key] = VOID
            after[SESSIONS] &= ~(1 << number)
            after[me + AWAITED] &= ~(1 << number)
            yield after

    def _needed(self, state: bytearray) -> int:
        needed = 0
        for content in state[KEYS : KEYS + 5]:
            if content != VOID:
                needed |= content
        return needed

    def _plan(self, state: State, me: int) -> Iterator[bytearray]:
        """Choose what to copy: needed objects that are present in condemned packs only."""
        seen = state[me + C_SEEN] or state[LISTED]
        usable = seen & ~state[me + C_ABSENT]
        there = present(state, usable)
        if self._variant == "bases forgotten":
            there = without_bases(state, usable)
        lost = state[me + NEEDED] & ~there
        if self._variant == "left to others":
            lost &= without_bases(state, state[me + MINE] & seen)
        after = bytearray(state)
        after[me + NEEDED] = after[me + C_ABSENT] = after[me + C_SEEN] = 0
        if lost & ~present(state, seen):
            self._end(after, me)  # forgotten since, and collected by another
            yield after
            return
        if self._variant == "uncondemned" and lost:
            needed = state[me + MINE] & state[CONDEMNED]
            after[CONDEMNED] &= ~needed
            self._end(after, me)
            yield after
            return
        after[me] = 7 if lost else (9 if self._indexed else 10)
        for copies in self._copies(lost, there):
            one = bytearray(after)
            one[me + C_PUT] = copies
            yield one

    def _copies(self, lost: int, there: int) -> list[int]:
        """Return the ways to copy lost objects: in full, or as a delta whose base will be there."""
        if lost == B:
            ways = [FULL_B, DELTA_B | FULL_A]
            return [*ways, DELTA_B] if there & A else ways
        if lost == A | B:
            return [FULL_A | FULL_B, FULL_A | DELTA_B]
        return [FULL_A if lost else 0]

    # The others

    def _forgetter(self, state: State) -> Iterator[bytearray]:
        if state[FORGETTER] == 0 and state[FORGETS]:
            for key in range(5):
                if state[KEYS + key] not in (0, VOID):
                    after = bytearray(state)
                    if self._bounds.undelete:
                        after[FORGOTTEN + key] = state[KEYS + key]
                    after[FORGETTER], after[FORGETTER + 1] = 1, key
                    yield after
        elif state[FORGETTER] == 1:
            after = bytearray(state)
            after[KEYS + state[FORGETTER + 1]] = 0
            after[FORGETTER] = after[FORGETTER + 1] = 0
            after[FORGETS] -= 1
            yield after

    def _undeleter(self, state: State) -> Iterator[bytearray]:
        place, me = state[UNDELETER], UNDELETER
        if place == DONE:
            return
        after = bytearray(state)
        after[me] = place + 1
        if place == 0:
            for key in range(5):
                if state[FORGOTTEN + key]:
                    after = bytearray(state)
                    after[me], after[me + 1], after[me + 3] = 1, state[FORGOTTEN + key], key
                    after[SESSIONS] |= 1 << 2
                    yield after
            return
        if place == 1:
            after[me + 2] = state[CONDEMNED]
        elif place == 2:
            there = present(state, state[LISTED] & ~state[me + 2])
            after[me + 2] = 0
            if state[me + 1] & ~there and self._variant != "undelete unchecked":
                after[me] = 5  # collected already: refused
        elif place == 3:
            if not state[KEYS + 4]:
                after[KEYS + 4] = state[me + 1]
            else:
                after[me] = 5
        elif place == 4:
            after[FORGOTTEN + state[me + 3]] = 0
        else:
            after[SESSIONS] &= ~(1 << 2)
            after[me : me + 4] = bytes([DONE, 0, 0, 0])
        yield after

    def _reindexer(self, state: State) -> Iterator[bytearray]:
        place = state[REINDEXER]
        if place == DONE:
            return
        after = bytearray(state)
        if place == 0:
            after[REINDEXER], after[REINDEXER + 1] = 1, state[LISTED]
        else:
            after[INDEX] = state[REINDEXER + 1]
            after[REINDEXER], after[REINDEXER + 1] = DONE, 0
        yield after


def present(state: State | bytearray, packs: int) -> int:
    """Return the objects that are present in a set of packs: with their bases."""
    copies = _copies_in(state, packs)
    there = A if copies & FULL_A else 0
    if copies & FULL_B or (copies & DELTA_B and there):
        there |= B
    return there


def without_bases(state: State | bytearray, packs: int) -> int:
    """Return the objects that lie in a set of packs, wherever their bases are."""
    copies = _copies_in(state, packs)
    return (A if copies & FULL_A else 0) | (B if copies & (FULL_B | DELTA_B) else 0)


def _copies_in(state: State | bytearray, packs: int) -> int:
    copies = 0
    for at in range(6):
        if packs >> at & 1:
            copies |= state[CONTENTS + at]
    return copies


@dataclass(frozen=True)
class Searched:
    """How many states there are, and one in which something is lost, if there is one."""

    states: int
    bad: State | None


def search(model: Model, limit: int | None = None) -> Searched:
    """Look at every state that can be reached, or at `limit` of them; stop at a bad one."""
    first = model.first()
    seen = {first}
    waiting = [first]
    while waiting:
        state = waiting.pop()
        for after in model.next(state):
            reached = bytes(after)
            if reached in seen:
                continue
            if not model.is_whole(reached):
                return Searched(len(seen), reached)
            seen.add(reached)
            waiting.append(reached)
        if limit is not None and len(seen) >= limit:
            break
    return Searched(len(seen), None)
