import random

import pytest

from p2pcache.stores.actions.chain import FOLD, KEPT_SECONDS, LARGEST_ENTRY, Chain
from p2pcache.stores.actions.packs import MAX_PACK, Pack, PackedEntry, seal_pack
from p2pcache.testing.conformance import KEYRING, Stored, make

ME, YOU = b"author-1", b"author-2"
NOW = 1_000_000.0


def stored(resource: str, body: bytes = b"{}", ago: float = 0.0, **changes: object) -> Stored:
    return make(resource, body=body, proved_at=NOW - ago, **changes)  # type: ignore[arg-type]  # the pointer's


def noise(number: int, size: int) -> bytes:
    return random.Random(number).randbytes(size)


def pack(*entries: Stored, base: str | None = None, author: bytes = YOU) -> Pack:
    return Pack(base, author, tuple(PackedEntry(each.pointer, each.sealed) for each in entries))


def resources(made: Pack) -> set[bytes]:
    return {entry.pointer.name for entry in made.entries}


def names(*entries: Stored) -> set[bytes]:
    return {each.pointer.name for each in entries}


@pytest.fixture
def chain() -> Chain:
    return Chain(ME, lambda: NOW)


A, B, C = stored("/a", b"a"), stored("/b", b"b"), stored("/c", b"c")


def note(chain: Chain, *entries: Stored) -> None:
    for each in entries:
        chain.note(each.pointer, each.sealed)


def test_the_first_pack_is_a_base_and_the_next_ones_add_to_it(chain: Chain) -> None:
    note(chain, A)
    first = chain.compose()
    assert (first.base, resources(first), first.author) == (None, names(A), ME)
    chain.wrote("k1", first)
    assert chain.news == 0
    note(chain, A, B)
    assert chain.news == 1, "what the newest pack has is no news"
    second = chain.compose()
    assert (second.base, resources(second)) == ("k1", names(B))


def test_a_pack_has_what_others_added_to_the_base_too(chain: Chain) -> None:
    chain.learn_base("k1", pack(A))
    chain.learn("k2", pack(B, base="k1"), head=True)
    note(chain, C)
    made = chain.compose()
    assert (made.base, resources(made)) == ("k1", names(B, C))
    assert chain.authors == 2


def test_what_another_pack_overtook_is_news_again(chain: Chain) -> None:
    note(chain, A)
    chain.wrote("k1", chain.compose())
    chain.learn("k2", pack(B), head=True)
    assert chain.news == 1
    made = chain.compose()
    assert (made.base, resources(made)) == ("k2", names(A))


def test_what_another_wrote_is_no_news(chain: Chain) -> None:
    note(chain, A)
    chain.learn("k1", pack(A), head=True)
    assert chain.news == 0


def test_a_newer_body_is_news_and_an_older_one_changes_nothing(chain: Chain) -> None:
    old, new = stored("/a", b"old", ago=60.0), stored("/a", b"new")
    chain.learn("k1", pack(old), head=True)
    note(chain, new)
    assert chain.news == 1
    chain.learn("k2", pack(old, author=b"author-3"), head=True)
    assert chain.news == 1
    assert chain.shelf.find(new.pointer.name) == [new.pointer]
    newest = stored("/a", b"newest", ago=-5.0)
    chain.learn("k3", pack(newest), head=True)
    assert chain.news == 0, "GitHub's word to another is as good"


def test_a_clock_ahead_of_this_one_keeps_nothing_out(chain: Chain) -> None:
    ahead, own = stored("/a", b"ahead", ago=-9999.0), stored("/a", b"own")
    chain.learn("k1", pack(ahead), head=True)
    assert chain.shelf.find(own.pointer.name)[0].proved_at == NOW
    note(chain, own)
    assert chain.shelf.find(own.pointer.name) == [own.pointer]


def test_a_base_that_is_gone_is_written_anew(chain: Chain) -> None:
    found = pack(B, base="gone")
    assert chain.lacks(found) == "gone"
    chain.learn("k2", found, head=True)
    note(chain, A)
    made = chain.compose()
    assert (made.base, resources(made)) == (None, names(A, B))


def test_too_much_for_an_addition_is_a_new_base(chain: Chain) -> None:
    chain.learn("k1", pack(A), head=True)
    large = [stored(f"/{n}", noise(n, FOLD // 4)) for n in range(5)]
    note(chain, *large[:3])
    assert chain.compose().base == "k1"
    note(chain, *large[3:])
    made = chain.compose()
    assert (made.base, resources(made)) == (None, names(A, *large))


def test_a_base_is_bounded_has_its_own_first_then_the_newest_and_forgets_the_old(chain: Chain) -> None:
    size = LARGEST_ENTRY - 1000
    old = stored("/old", b"old", ago=KEPT_SECONDS + 1)
    theirs = [stored(f"/theirs/{n}", noise(n, size), ago=60.0 * n) for n in range(5)]
    own = [stored(f"/own/{n}", noise(100 + n, size), ago=3600.0) for n in range(5)]
    chain.learn("k1", pack(old, *theirs), head=False)
    note(chain, *own)
    made = chain.compose()
    assert resources(made) == names(*own, *theirs[:3])
    assert len(seal_pack(KEYRING, "k", made)) <= MAX_PACK


def test_what_no_pack_has_room_for_is_no_news_for_ever(chain: Chain) -> None:
    many = [stored(f"/{n}", noise(n, LARGEST_ENTRY - 1000), ago=n) for n in range(10)]
    note(chain, *many)
    made = chain.compose()
    assert len(made.entries) < len(many)
    chain.wrote("k1", made)
    assert chain.news == 0


def test_news_that_comes_while_a_pack_is_written_stays_news(chain: Chain) -> None:
    note(chain, A)
    made = chain.compose()
    note(chain, B)
    chain.wrote("k1", made)
    assert chain.news == 1


def test_what_takes_the_room_of_many_is_not_kept(chain: Chain) -> None:
    note(chain, stored("/b", noise(1, LARGEST_ENTRY + 1)))
    assert (chain.news, len(chain.shelf)) == (0, 0)


def test_another_refs_chain_is_a_beginning(chain: Chain) -> None:
    chain.learn_base("main/base", pack(A))
    chain.learn("main/head", pack(B, base="main/base"), head=False)
    note(chain, A, C)
    assert chain.news == 2, "this ref's chain has nothing yet"
    made = chain.compose()
    assert (made.base, resources(made)) == ("main/base", names(B, C))
    chain.wrote("own/1", made)
    assert chain.news == 0


def test_another_refs_base_replaces_no_own_one(chain: Chain) -> None:
    chain.learn("own/base", pack(A), head=True)
    chain.learn("main/base", pack(B), head=False)
    note(chain, C)
    assert chain.compose().base == "own/base"


def test_keys_are_remembered(chain: Chain) -> None:
    assert not chain.seen("k1")
    chain.refuse("k1")
    chain.learn("k2", pack(A), head=True)
    assert chain.seen("k1")
    assert chain.seen("k2")


def test_news_that_gave_way_is_no_news() -> None:
    chain = Chain(ME, lambda: NOW)
    note(chain, A, B)
    chain.shelf.discard((A.pointer.name, A.pointer.scope))
    chain.learn("k1", pack(C), head=True)
    assert chain.news == 1
    assert resources(chain.compose()) == names(B)


@pytest.mark.parametrize(
    ("known", "news", "worth"),
    [(0, 0, False), (0, 1, True), (40, 2, False), (39, 2, False), (38, 2, True), (90, 3, True)],
)
def test_little_news_is_not_worth_a_pack_at_the_jobs_end(chain: Chain, known: int, news: int, worth: bool) -> None:
    chain.learn("k1", pack(*(stored(f"/known/{n}") for n in range(known))), head=True)
    note(chain, *(stored(f"/news/{n}") for n in range(news)))
    assert chain.worth_leaving is worth


def test_the_same_answer_of_another_scope_is_no_news_and_is_packed_once(chain: Chain) -> None:
    mine, theirs = stored("/a", b"a", scope="token:1"), stored("/a", b"a", scope="token:2", ago=60.0)
    chain.learn("k1", pack(theirs), head=True)
    note(chain, mine)
    assert chain.news == 0
    alone = Chain(ME, lambda: NOW)
    note(alone, mine, stored("/a", b"a", scope="token:3"), stored("/a", b"other", scope="token:4"))
    assert len(alone.compose().entries) == 2
