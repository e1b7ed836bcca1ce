from __future__ import annotations

import dataclasses
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcache.cache import decide as rules
from p2pcache.cache.decide import Asked, Decision, Fetch, Prove, Refuse, Rule, Serve, clamped, decide, on_failure
from p2pcache.cache.entry import CID_PREFIX, Pointer
from p2pcache.github.etag import TagKind, is_object_id

NOW = 10_000.0
ME, OTHER = b"me".ljust(16), b"other".ljust(16)


def pointer(
    scope: bytes = ME, age: float = 0.0, *, body: bytes = b"body", lifetime: float = 60.0, **changes: object
) -> Pointer:
    """One vouched for `age` seconds ago."""
    proved = NOW - age
    made = Pointer(
        b"n" * 32,
        scope,
        CID_PREFIX + body,
        '"e"',
        None,
        None,
        "normal",
        proved,
        proved + lifetime,
        0,
        1,
        "",
        (b"t" * 16,),
    )
    return msgspec.structs.replace(made, **changes)


def asked(**facts: Any) -> Asked:
    return Asked(scope=ME, now=NOW, **facts)


FRESH, EXPIRED, OLD = pointer(age=10), pointer(age=100), pointer(age=1000)
THEIRS = pointer(OTHER, 10)
NO_VALIDATOR = pointer(age=100, etag=None)
DATED = pointer(age=100, etag=None, last_modified="Tue, 14 Nov 2023 22:13:20 GMT")
MOVED_ON = pointer(OTHER, 5, body=b"newer body")
AHEAD = pointer(age=-30)
DROPPED = pointer(age=1, expires_at=rules.UNPROVEN)
LOW, SPENT, TOLD = {"serve_stale": True}, {"serve_stale": True, "refuse": True}, {"wait": True}
NO_RULE = {"computed_tags": False}
RAW, OPAQUE = {"tag": TagKind.BLOB}, {"tag": TagKind.OPAQUE}
FILE = pointer(OTHER, 10, etag=f'W/"{"a" * 40}"')


def serve(rule: Rule, which: Pointer) -> Serve:
    return Serve(which, rule)


@pytest.mark.parametrize(
    ("facts", "found", "expected"),
    [
        # Served as it is
        pytest.param({}, [FRESH], serve(Rule.FRESH, FRESH), id="own, fresh -> serve"),
        pytest.param({}, [THEIRS, FRESH], serve(Rule.FRESH, FRESH), id="own, fresh, beside another's newer -> own"),
        pytest.param({}, [pointer(age=30), FRESH], serve(Rule.FRESH, FRESH), id="own, two fresh -> the newer"),
        pytest.param(SPENT | TOLD, [FRESH], serve(Rule.FRESH, FRESH), id="own, fresh, whatever the quota -> serve"),
        pytest.param({"validators": False}, [FRESH], serve(Rule.FRESH, FRESH), id="GraphQL, fresh -> serve"),
        pytest.param({}, [FRESH, DROPPED], serve(Rule.FRESH, FRESH), id="own, fresh, beside a dropped one -> serve"),
        # The request wants GitHub asked
        pytest.param({"oldest": 0.0}, [FRESH], Prove((FRESH,), Rule.PROVE_FRESH), id="no-cache, own, fresh -> prove"),
        pytest.param({"oldest": 9.0}, [FRESH], Prove((FRESH,), Rule.PROVE_FRESH), id="max-age, own, older -> prove"),
        pytest.param({"oldest": 11.0}, [FRESH], serve(Rule.FRESH, FRESH), id="max-age, own, younger -> serve"),
        pytest.param(
            {"oldest": 0.0}, [EXPIRED], Prove((EXPIRED,), Rule.PROVE_OWN), id="no-cache, own, expired -> prove"
        ),
        pytest.param({"oldest": 0.0} | LOW, [EXPIRED], Prove((EXPIRED,), Rule.PROVE_OWN), id="no-cache, low -> prove"),
        pytest.param({"oldest": 0.0} | SPENT, [FRESH], Refuse(Rule.REFUSE_QUOTA), id="no-cache, spent -> refuse"),
        pytest.param({"oldest": 0.0} | TOLD, [FRESH], Refuse(Rule.REFUSE_LIMIT), id="no-cache, told to wait -> refuse"),
        pytest.param(
            {"oldest": 0.0, "validators": False}, [FRESH], Fetch(Rule.FETCH_UNPROVABLE), id="no-cache, GraphQL -> fetch"
        ),
        pytest.param(
            {"oldest": 0.0}, [AHEAD], Prove((AHEAD,), Rule.PROVE_FRESH), id="no-cache, clock set back -> prove"
        ),
        # The quota runs low
        pytest.param({"stretch": 2.0}, [EXPIRED], serve(Rule.STRETCHED, EXPIRED), id="own, within stretch -> serve"),
        pytest.param({"stretch": 1.5}, [EXPIRED], Prove((EXPIRED,), Rule.PROVE_OWN), id="own, beyond stretch -> prove"),
        pytest.param(LOW, [EXPIRED], serve(Rule.STALE_FOR_QUOTA, EXPIRED), id="own, expired, quota low -> stale"),
        pytest.param(LOW, [OLD], Prove((OLD,), Rule.PROVE_OWN), id="own, too old, quota low -> prove"),
        pytest.param(LOW, [THEIRS], Prove((THEIRS,), Rule.PROVE_OTHER), id="another's, quota low -> prove"),
        pytest.param(SPENT, [EXPIRED], serve(Rule.STALE_FOR_QUOTA, EXPIRED), id="own, expired, quota spent -> stale"),
        pytest.param(SPENT, [OLD], Refuse(Rule.REFUSE_QUOTA), id="own, too old, quota spent -> refuse"),
        pytest.param(SPENT, [THEIRS], Refuse(Rule.REFUSE_QUOTA), id="another's, quota spent -> refuse"),
        pytest.param(SPENT, [], Refuse(Rule.REFUSE_QUOTA), id="nothing, quota spent -> refuse"),
        # GitHub asked to wait
        pytest.param(TOLD, [EXPIRED], serve(Rule.STALE_FOR_LIMIT, EXPIRED), id="own, expired, told to wait -> stale"),
        pytest.param(TOLD, [OLD], Refuse(Rule.REFUSE_LIMIT), id="own, too old, told to wait -> refuse"),
        pytest.param(TOLD, [THEIRS], Refuse(Rule.REFUSE_LIMIT), id="another's, told to wait -> refuse"),
        pytest.param(TOLD | SPENT, [], Refuse(Rule.REFUSE_LIMIT), id="nothing, told to wait -> refuse"),
        pytest.param(TOLD, [DROPPED], Refuse(Rule.REFUSE_LIMIT), id="own, dropped, told to wait -> refuse"),
        # Proved
        pytest.param({}, [EXPIRED], Prove((EXPIRED,), Rule.PROVE_OWN), id="own, expired -> prove"),
        pytest.param({}, [OLD], Prove((OLD,), Rule.PROVE_OWN), id="own, however old -> prove"),
        pytest.param({}, [DROPPED], Prove((DROPPED,), Rule.PROVE_OWN), id="own, dropped -> prove"),
        pytest.param({}, [THEIRS], Prove((THEIRS,), Rule.PROVE_OTHER), id="another's, fresh -> prove"),
        pytest.param(
            {}, [MOVED_ON, EXPIRED], Prove((EXPIRED, MOVED_ON), Rule.PROVE_OWN), id="own and another's -> own first"
        ),
        pytest.param(
            {}, [EXPIRED, THEIRS], Prove((EXPIRED,), Rule.PROVE_OWN), id="own and another's, same body -> once"
        ),
        pytest.param(
            {}, [THEIRS, MOVED_ON], Prove((MOVED_ON, THEIRS), Rule.PROVE_OTHER), id="others' bodies -> the newest first"
        ),
        # The ETag rule does not hold here
        pytest.param(NO_RULE, [EXPIRED], Prove((EXPIRED,), Rule.PROVE_OWN), id="no rule, own with an ETag -> prove"),
        pytest.param(
            NO_RULE | {"dated": True}, [DATED], Prove((DATED,), Rule.PROVE_OWN), id="no rule, own with a date -> prove"
        ),
        pytest.param(
            NO_RULE, [DATED], Fetch(Rule.FETCH_UNPROVABLE), id="no rule, a date that says too little -> fetch"
        ),
        # Tags that no rule computes
        pytest.param(OPAQUE, [EXPIRED], Prove((EXPIRED,), Rule.PROVE_OWN), id="opaque, own with an ETag -> prove"),
        pytest.param(OPAQUE, [THEIRS, FILE], Fetch(Rule.FETCH_UNPROVABLE), id="opaque, another's -> fetch"),
        pytest.param(OPAQUE, [NO_VALIDATOR], Fetch(Rule.FETCH_UNPROVABLE), id="opaque, own without -> fetch"),
        pytest.param(RAW, [FILE], Prove((FILE,), Rule.PROVE_OTHER), id="raw, another's by its blob id -> prove"),
        pytest.param(RAW, [THEIRS], Fetch(Rule.FETCH_UNPROVABLE), id="raw, another's by another tag -> fetch"),
        pytest.param(NO_RULE, [NO_VALIDATOR], Fetch(Rule.FETCH_UNPROVABLE), id="no rule, own without either -> fetch"),
        pytest.param(NO_RULE, [THEIRS], Fetch(Rule.FETCH_UNPROVABLE), id="no rule, another's -> fetch"),
        pytest.param(
            {}, [NO_VALIDATOR], Prove((NO_VALIDATOR,), Rule.PROVE_OWN), id="rule, own without either -> prove"
        ),
        # Fetched
        pytest.param({}, [], Fetch(Rule.FETCH_COLD), id="nothing -> fetch"),
        pytest.param(LOW, [], Fetch(Rule.FETCH_COLD), id="nothing, quota low -> fetch"),
        pytest.param(
            {"validators": False}, [EXPIRED, THEIRS], Fetch(Rule.FETCH_UNPROVABLE), id="GraphQL, expired -> fetch"
        ),
    ],
)
def test_decide(facts: dict[str, object], found: list[Pointer], expected: Decision) -> None:
    assert decide(asked(**facts), found) == expected


@pytest.mark.parametrize(
    ("found", "served"),
    [
        pytest.param([EXPIRED], EXPIRED, id="own, expired -> stale"),
        pytest.param([OLD, EXPIRED], EXPIRED, id="own, two -> the newer"),
        pytest.param([OLD], None, id="own, too old -> the failure"),
        pytest.param([THEIRS], None, id="another's -> the failure"),
        pytest.param([DROPPED], None, id="own, dropped -> the failure"),
        pytest.param([], None, id="nothing -> the failure"),
    ],
)
def test_when_github_cannot_answer(found: list[Pointer], served: Pointer | None) -> None:
    decision = on_failure(asked(), found)
    assert decision == (None if served is None else Serve(served, Rule.STALE_FOR_ERROR))
    assert decision is None or decision.stale


def test_no_stale_answer_for_who_wants_github_asked() -> None:
    assert on_failure(asked(oldest=0.0), [EXPIRED]) is None
    assert on_failure(asked(oldest=101.0), [EXPIRED]) == Serve(EXPIRED, Rule.STALE_FOR_ERROR)


def test_only_the_likeliest_bodies_are_proved() -> None:
    found = [pointer(OTHER, age, body=b"%d" % age) for age in range(10)]
    assert decide(asked(), found) == Prove(tuple(found[: rules.MAX_TAGS]), Rule.PROVE_OTHER)


@pytest.mark.parametrize(
    ("given", "dropped", "proved_at", "expires_at"),
    [
        pytest.param(pointer(age=10), 0.0, NOW - 10, NOW + 50, id="believed as it is"),
        pytest.param(pointer(age=10, lifetime=900), 0.0, NOW - 10, NOW + 50, id="a longer lifetime elsewhere"),
        pytest.param(pointer(age=10, lifetime=5), 0.0, NOW - 10, NOW - 5, id="a shorter lifetime elsewhere"),
        pytest.param(pointer(age=-300), 0.0, NOW, rules.UNPROVEN, id="from the future: a clock was set back"),
        pytest.param(pointer(age=10), NOW - 5, NOW - 10, rules.UNPROVEN, id="dropped since"),
        pytest.param(pointer(age=10), NOW - 10, NOW - 10, rules.UNPROVEN, id="dropped at that very moment"),
        pytest.param(pointer(age=10), NOW - 15, NOW - 10, NOW + 50, id="dropped before"),
    ],
)
def test_what_others_say_is_believed_so_far(
    given: Pointer, dropped: float, proved_at: float, expires_at: float
) -> None:
    mine = clamped(given, (b"my topic",), 60.0, NOW, dropped)
    assert (mine.proved_at, mine.expires_at, mine.topics) == (proved_at, expires_at, (b"my topic",))


POINTERS = st.builds(
    pointer,
    st.sampled_from([ME, OTHER, b"third".ljust(16)]),
    st.floats(0, 2000),
    body=st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f"]),
    lifetime=st.sampled_from([10.0, 60.0, 300.0]),
    etag=st.sampled_from([None, '"x"', f'"{"a" * 40}"']),
    last_modified=st.sampled_from([None, "Tue, 14 Nov 2023 22:13:20 GMT"]),
)
FACTS = st.builds(
    Asked,
    scope=st.just(ME),
    now=st.just(NOW),
    computed_tags=st.booleans(),
    tag=st.sampled_from(TagKind),
    dated=st.booleans(),
    validators=st.booleans(),
    stretch=st.floats(1, 10),
    serve_stale=st.booleans(),
    refuse=st.booleans(),
    wait=st.booleans(),
)


@given(FACTS, st.lists(POINTERS, max_size=8))
def test_nothing_of_another_scope_is_ever_served(facts: Asked, found: list[Pointer]) -> None:
    for decision in (decide(facts, found), on_failure(facts, found)):
        assert not isinstance(decision, Serve) or decision.pointer.scope == facts.scope


@given(FACTS, st.lists(POINTERS, max_size=8))
def test_nothing_is_served_beyond_the_promise(facts: Asked, found: list[Pointer]) -> None:
    for decision in (decide(facts, found), on_failure(facts, found)):
        if isinstance(decision, Serve):
            served = decision.pointer
            lifetime = served.expires_at - served.proved_at
            promise = lifetime + rules.STALE_IF_ERROR if decision.stale else lifetime * facts.stretch
            assert NOW - served.proved_at <= promise + 1e-6


@given(FACTS, st.lists(POINTERS, max_size=8))
def test_only_what_can_be_proved_is_proved(facts: Asked, found: list[Pointer]) -> None:
    decision = decide(facts, found)
    if isinstance(decision, Prove):
        assert facts.validators
        assert 0 < len(decision.pointers) <= rules.MAX_TAGS
        assert len({p.cid for p in decision.pointers}) == len(decision.pointers)
        for proved in decision.pointers:
            own = proved.scope == facts.scope and bool(proved.etag or (facts.dated and proved.last_modified))
            hashed = facts.tag is TagKind.HASH and facts.computed_tags
            assert own or hashed or (facts.tag is TagKind.BLOB and is_object_id(proved.etag))


@given(FACTS, st.lists(POINTERS, max_size=8))
def test_nobody_who_was_told_to_wait_asks(facts: Asked, found: list[Pointer]) -> None:
    for held in (dataclasses.replace(facts, wait=True), dataclasses.replace(facts, refuse=True)):
        assert isinstance(decide(held, found), (Serve, Refuse))


@given(FACTS, st.lists(POINTERS, max_size=8), st.randoms())
def test_the_order_of_what_was_found_does_not_matter(facts: Asked, found: list[Pointer], random: Random) -> None:
    found = list({p.proved_at: p for p in found}.values())  # two vouched for at the same instant are equally good
    shuffled = list(found)
    random.shuffle(shuffled)
    assert decide(facts, found) == decide(facts, shuffled)
