from p2pcache.stores.actions.shelf import Shelf
from p2pcache.stores.bundle import MAX_SCOPES
from p2pcache.testing.conformance import KEYRING, Stored, make


def put(shelf: Shelf, *stored: Stored) -> list[bool]:
    return [shelf.put(each.pointer, each.sealed) for each in stored]


def names(shelf: Shelf) -> list[bytes]:
    return [entry.pointer.name for entry in shelf]


def test_the_newest_of_a_place_stays_whatever_comes_first() -> None:
    old, new = make(body=b"old", proved_at=1.0), make(body=b"new", proved_at=2.0)
    for order in ((old, new), (new, old)):
        shelf = Shelf()
        assert put(shelf, *order)[-1] is (order[-1] is new)
        assert shelf.find(new.pointer.name) == [new.pointer]
        assert shelf.block(new.pointer) == new.sealed
        assert shelf.block(old.pointer) is None


def test_scopes_are_found_newest_first_and_the_oldest_gives_way() -> None:
    shelf = Shelf()
    many = [make(scope=f"token:{n}", proved_at=float(n)) for n in range(MAX_SCOPES + 1)]
    put(shelf, *many)
    assert shelf.find(many[0].pointer.name) == [stored.pointer for stored in many[:0:-1]]


def test_one_that_is_older_than_all_scopes_there_is_not_kept() -> None:
    shelf = Shelf()
    put(shelf, *(make(scope=f"token:{n}", proved_at=10.0) for n in range(MAX_SCOPES)))
    assert put(shelf, make(scope="another", proved_at=1.0)) == [False]
    assert len(shelf) == MAX_SCOPES


def test_the_least_recently_used_gives_way_to_what_is_too_much() -> None:
    a, b, c = (make(f"/{n}", body=bytes(range(256)) * n) for n in (3, 4, 5))
    shelf = Shelf(most_bytes=len(a.sealed) + len(b.sealed) + len(c.sealed) - 1)
    put(shelf, a, b)
    assert shelf.block(a.pointer) == a.sealed
    put(shelf, c)
    assert names(shelf) == [a.pointer.name, c.pointer.name]
    assert shelf.block(b.pointer) is None
    assert put(Shelf(most_bytes=10), a) == [False]


def test_entries_are_bounded_in_number() -> None:
    shelf = Shelf(most_entries=2)
    put(shelf, make("/1"), make("/2"), make("/3"))
    assert names(shelf) == [make("/2").pointer.name, make("/3").pointer.name]


def test_a_shared_block_goes_with_its_last_entry() -> None:
    one, two = make("/1", topics=["one"]), make("/2", topics=["two"])
    shelf = Shelf(most_bytes=len(one.sealed))
    put(shelf, one, two)
    assert len(shelf) == 2
    shelf.drop([KEYRING.topic_name("one")])
    assert shelf.block(two.pointer) == two.sealed
    shelf.drop([KEYRING.topic_name("two")])
    assert (len(shelf), shelf.block(two.pointer), shelf.find(two.pointer.name)) == (0, None, [])
    assert put(shelf, one) == [True], "its bytes are free again"


def test_discarding_what_is_not_there_changes_nothing() -> None:
    Shelf().discard((b"name", b"scope"))
