from p2pcache.bounded import Bounded


def test_the_entry_that_was_set_the_longest_ago_gives_way() -> None:
    known: Bounded[str, int] = Bounded(2)
    for name in ("a", "b", "a", "c"):
        known[name] = len(known)
    assert list(known) == ["a", "c"]


def test_the_entry_that_gave_way_is_returned() -> None:
    known: Bounded[str, int] = Bounded(1)
    assert known.put("a", 1) is None
    assert known.put("b", 2) == ("a", 1)
