from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pcache.cache.sealing import (
    MOST_SECRETS,
    ForgedError,
    Keyring,
    SealedKind,
    SealError,
    check_secret,
    generate_secret,
    job_keys,
)

OLD = "6b1f0c2a9d8e7f5041322314a5b6c7d8"
NEW = "Zx7-qL0_vT9mWc2RkYp4HsBn8Jd5"
KEYRING = Keyring.from_secrets([OLD])
BLOCK = SealedKind.BLOCK


@pytest.mark.parametrize(
    "secret",
    [
        OLD,
        OLD.upper(),
        NEW,
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "github_pat_11AAAAAAA0b9c8d7e6f5g4_h3i2j1k0L9M8N7O6P5Q4R3S2T1U0V9W8X7Y6Z5a4b3c2d1e0f",
        "kM3vV0o6S1nQy8tF2bZxHw==",
    ],
    ids=["hex", "hex-upper", "mixed", "classic-pat", "fine-grained-pat", "base64-128-bits"],
)
def test_a_secret_with_enough_chance_is_taken(secret: str) -> None:
    check_secret(secret)


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ("", "printable"),
        ("correct horse battery staple 1", "spaces"),
        ("geheimnisvöll-0123456789-abcdefgh", "printable"),
        ("${{ secrets.CACHE_SECRET }}", "spaces"),
        ("***", "letters and digits"),
        ("correcthorsebatterystaplecorrecthorse", "letters and digits"),
        ("1234567890" * 5, "letters and digits"),
        ("hunter2", "too short"),
        ("6b1f0c2a9d8e7f50", "too short"),
        ("passwordpasswordpassword12345678", "repeats"),
        ("0123456789abcdef0123456789abcdef", "repeats"),
        ("a1" * 40, "repeats"),
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1", "repeats"),
    ],
)
def test_a_weak_secret_is_refused_with_the_way_to_a_good_one(secret: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as refusal:
        check_secret(secret)
    assert "make one with: p2pcache keygen" in str(refusal.value)
    assert len(secret) < 4 or secret not in str(refusal.value)
    with pytest.raises(ValueError, match=reason):
        Keyring.from_secrets([secret])


def test_no_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="keygen"):
        Keyring.from_secrets([])


def test_a_generated_secret_is_good_new_and_needs_no_quotes() -> None:
    made = [generate_secret() for _ in range(50)]
    for secret in made:
        check_secret(secret)
        assert secret.isalnum()
    assert len(set(made)) == 50


@settings(deadline=None)
@given(st.integers(0, 2**128 - 1).map(lambda _: secrets.token_hex(16)))
def test_what_openssl_rand_makes_is_taken(secret: str) -> None:
    if not secret.isdigit():
        check_secret(secret)


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=2000))
def test_sealing_is_deterministic_and_opens(plaintext: bytes) -> None:
    sealed = KEYRING.seal(plaintext, BLOCK)
    assert sealed == Keyring.from_secrets([OLD]).seal(plaintext, BLOCK)
    assert KEYRING.open(sealed, BLOCK) == plaintext


@settings(deadline=None)
@given(st.binary(min_size=16, max_size=200), st.data())
def test_any_changed_bit_is_noticed(plaintext: bytes, data: st.DataObject) -> None:
    sealed = bytearray(KEYRING.seal(plaintext, BLOCK))
    assert plaintext not in sealed
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealError):
        KEYRING.open(bytes(sealed), BLOCK)


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_garbage_is_refused(garbage: bytes) -> None:
    with pytest.raises(SealError):
        KEYRING.open(garbage, BLOCK)
    with pytest.raises(SealError):
        KEYRING.open(b"\x02" + KEYRING.key_id + garbage, BLOCK)


@pytest.mark.parametrize(
    ("sealed", "reason"),
    [
        (KEYRING.seal(b"x", BLOCK)[:-2], "truncated"),
        (b"\x01" + KEYRING.seal(b"x", BLOCK)[1:], "sealed in version 1"),
        (Keyring.from_secrets([NEW]).seal(b"x", BLOCK), "a secret this node does not have"),
        (KEYRING.seal(b"xy", BLOCK)[:-1], "changed"),
    ],
)
def test_the_reason_is_told(sealed: bytes, reason: str) -> None:
    with pytest.raises(SealError, match=reason):
        KEYRING.open(sealed, BLOCK)


@given(
    st.binary(max_size=40),
    *[st.tuples(st.sampled_from(SealedKind), st.lists(st.binary(max_size=6), max_size=3))] * 2,
)
def test_sealed_bytes_open_only_as_what_and_where_they_were_sealed(
    plaintext: bytes, one: tuple[SealedKind, list[bytes]], other: tuple[SealedKind, list[bytes]]
) -> None:
    sealed = KEYRING.seal(plaintext, one[0], *one[1])
    if one == other:
        assert KEYRING.open(sealed, other[0], *other[1]) == plaintext
    else:
        assert sealed != KEYRING.seal(plaintext, other[0], *other[1])
        with pytest.raises(ForgedError):
            KEYRING.open(sealed, other[0], *other[1])


class TestRotation:
    both = Keyring.from_secrets([NEW, OLD, NEW])

    def test_the_first_seals_all_open(self) -> None:
        assert self.both.key_id == Keyring.from_secrets([NEW]).key_id
        assert self.both.open(KEYRING.seal(b"old", BLOCK), BLOCK) == b"old"
        assert self.both.seal(b"new", BLOCK) == Keyring.from_secrets([NEW]).seal(b"new", BLOCK)

    def test_what_has_an_old_name_can_be_asked_for(self) -> None:
        names = self.both.resource_names(b"/repos/octo/hello")
        assert names == (self.both.resource_name(b"/repos/octo/hello"), KEYRING.resource_name(b"/repos/octo/hello"))

    def test_topics_have_a_name_under_every_secret(self) -> None:
        new, old = Keyring.from_secrets([NEW]), KEYRING
        names = self.both.topic_names(["a", "b"])
        assert names == (*new.topic_names(["a", "b"]), *old.topic_names(["a", "b"]))
        assert self.both.topic_name("a") == new.topic_name("a")

    def test_what_was_published_under_an_old_secret_can_be_verified(self) -> None:
        name = self.both.resource_name(b"x")
        assert self.both.record_seeds(name) == (
            *Keyring.from_secrets([NEW]).record_seeds(name),
            *KEYRING.record_seeds(name),
        )

    def test_a_keyring_changes_for_all_that_hold_it(self) -> None:
        held = Keyring.from_secrets([OLD])
        sealed = held.seal(b"old", BLOCK)
        held.replace(self.both)
        assert held.membership_keys == self.both.membership_keys
        assert held.key_id == self.both.key_id
        assert held.open(sealed, BLOCK) == b"old"
        held.replace(Keyring.from_secrets([NEW]))
        with pytest.raises(SealError, match="a secret this node does not have"):
            held.open(sealed, BLOCK)

    def test_what_an_older_secret_sealed_can_be_told_and_sealed_again(self) -> None:
        by_old = KEYRING.seal(b"x", BLOCK)
        assert not self.both.sealed_first(by_old)
        assert self.both.sealed_first(self.both.seal(b"x", BLOCK))
        assert [ring.seal(b"x", BLOCK) for ring in self.both.each()] == [self.both.seal(b"x", BLOCK), by_old]

    def test_there_is_a_bound(self) -> None:
        many = [generate_secret() for _ in range(MOST_SECRETS + 1)]
        assert len(Keyring.from_secrets(many[1:]).membership_keys) == MOST_SECRETS
        with pytest.raises(ValueError, match="more than a rotation needs"):
            Keyring.from_secrets(many)

    def test_all_prove_membership(self) -> None:
        assert self.both.membership_keys == (
            *Keyring.from_secrets([NEW]).membership_keys,
            *KEYRING.membership_keys,
        )


def test_names_are_stable_separate_and_sized() -> None:
    names = (KEYRING.resource_name(b"x"), KEYRING.scope_name("x"), KEYRING.topic_name("x"))
    assert names == (KEYRING.resource_name(b"x"), KEYRING.scope_name("x"), KEYRING.topic_name("x"))
    assert list(map(len, names)) == [32, 16, 16]
    (seed,) = KEYRING.record_seeds(b"x")
    assert len(seed) == 32
    assert {*KEYRING.record_seeds(b"y"), *Keyring.from_secrets([NEW]).record_seeds(b"x")}.isdisjoint({seed})
    assert len({name[:16] for name in (*names, seed)}) == 4
    assert Keyring.from_secrets([NEW]).scope_name("x") != KEYRING.scope_name("x")
    assert KEYRING.resource_names(b"x") == (names[0],)


def test_of_two_servers_nothing_but_membership_is_common() -> None:
    ours, theirs = (
        Keyring.from_secrets([OLD], server) for server in ("https://api.github.com", "https://ghes.example")
    )
    assert ours.membership_keys == theirs.membership_keys
    assert ours.key_id != theirs.key_id
    assert set(ours.resource_names(b"x")).isdisjoint(theirs.resource_names(b"x"))
    assert ours.scope_name("x") != theirs.scope_name("x")
    assert ours.record_seeds(b"x") != theirs.record_seeds(b"x")
    assert ours.topic_name("x") != theirs.topic_name("x")
    with pytest.raises(SealError, match="does not have"):
        theirs.open(ours.seal(b"x", BLOCK), BLOCK)


def test_another_release_reads_what_this_one_wrote() -> None:
    """Known answers: a change here cuts a swarm, and every store, in two."""
    assert KEYRING.key_id.hex() == "d8f7e545d62809e3"
    assert (
        KEYRING.seal(b"p2pcache", SealedKind.POINTER, b"name", b"scope").hex()
        == "02d8f7e545d62809e3291b3713f26b8a083a5e9dc3f21a550553b07c43722679a304b01a0b7ccc6ac71891ceb4"
    )
    assert (
        KEYRING.resource_name(b"p2pcache").hex() == "267b41f6eed3d01c6175764a9b305d785a9793ba2c280638fef9b19dc4e2b2ad"
    )
    (seed,) = KEYRING.record_seeds(b"p2pcache")
    assert seed.hex() == "d820cc417764d1cdebf2d1a1671fb3f60ed1c1c044036c24ea51dab809fc5283"
    assert KEYRING.membership_keys[0].hex() == "eef666b025fb756ed1eb45930d9be4507b78d095d84461c600a14e6df9e563af"


def test_an_ephemeral_keyring_is_alone() -> None:
    one, two = Keyring.ephemeral(), Keyring.ephemeral()
    assert one.open(one.seal(b"x", BLOCK), BLOCK) == b"x"
    with pytest.raises(SealError):
        two.open(one.seal(b"x", BLOCK), BLOCK)


def test_nothing_secret_is_printed() -> None:
    assert OLD not in repr(KEYRING)
    assert KEYRING.membership_keys[0].hex() not in repr(KEYRING)


def test_threads_may_share_a_keyring() -> None:
    texts = [secrets.token_bytes(1000) for _ in range(200)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda text: KEYRING.open(KEYRING.seal(text, BLOCK), BLOCK), texts)) == texts


class TestJobKeys:
    """What a hub grants to the jobs of a repository."""

    def test_they_depend_on_each_part_and_on_nothing_else(self) -> None:
        parts = [("s", "1", "23", ""), ("t", "1", "23", ""), ("s", "12", "3", ""), ("s", "1", "23", "push x")]
        made = [job_keys(*part) for part in parts]
        assert len({keys.secret for keys in made}) == 4
        assert len({keys.names for keys in made}) == 3, "a context has the repository's names"
        assert made[0].names == made[3].names
        assert made[0] == job_keys(*parts[0])
        assert repr(made[0]) == "JobKeys(***)"

    def test_a_keyring_of_them_names_for_all_and_seals_for_its_own(self) -> None:
        main, pull = (Keyring.from_job_keys([job_keys("s", "1", "2", context)]) for context in ("", "pull_request 7"))
        assert main.lasting
        assert main.resource_name(b"r") == pull.resource_name(b"r")
        assert main.topic_name("t") == pull.topic_name("t")
        assert main.scope_name("s") != pull.scope_name("s")
        assert main.membership_keys != pull.membership_keys
        assert main.record_seeds(b"n" * 32) != pull.record_seeds(b"n" * 32)
        for one, other in ((main, pull), (pull, main)):
            with pytest.raises(SealError):
                other.open(one.seal(b"x", SealedKind.BLOCK), SealedKind.BLOCK)

    def test_a_rotation_opens_both(self) -> None:
        old, new = job_keys("old", "1", "2", ""), job_keys("new", "1", "2", "")
        both = Keyring.from_job_keys([new, old, new])
        assert len(both.membership_keys) == 2
        assert both.open(Keyring.from_job_keys([old]).seal(b"x", SealedKind.BLOCK), SealedKind.BLOCK) == b"x"

    @pytest.mark.parametrize("count", [0, MOST_SECRETS + 1])
    def test_as_many_as_a_rotation_takes(self, count: int) -> None:
        with pytest.raises(ValueError, match="sets of keys"):
            Keyring.from_job_keys([job_keys(str(n), "1", "2", "") for n in range(count)])
