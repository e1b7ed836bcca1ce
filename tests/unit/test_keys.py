"""Which secret a node's keys come from; what a hub does that has none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from p2pcache.cache.sealing import Keyring, generate_secret, job_keys
from p2pcache.keys import Enrolled, asks_for_keys, identity_of, keyring_of, reread, with_secret
from p2pcache.settings import Settings, SettingsError, load

HOME = {"XDG_CACHE_HOME": "/var/cache"}
JOB = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "octo/app", "CACHE_JOB_TOKEN": "ghs_job"}
PERSONAL = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"


def of(**environ: str) -> Settings:
    return load({}, {**HOME, **environ})


class TestIdentity:
    def test_a_job_is_told_by_the_runners_token(self) -> None:
        identity = identity_of(of(**JOB))
        assert (identity.job_token, identity.repository, identity.per_credential) == ("ghs_job", "octo/app", False)

    @pytest.mark.parametrize(
        "told",
        [
            pytest.param({"GITHUB_ACTIONS": "false"}, id="elsewhere"),
            pytest.param({"GITHUB_ACTIONS": ""}, id="not said"),
            pytest.param({"ACT": "true"}, id="act"),
            pytest.param({"CACHE_JOB_TOKEN": PERSONAL}, id="a personal token"),
            pytest.param({"CACHE_JOB_TOKEN": "gho_x"}, id="an OAuth token"),
            pytest.param({"CACHE_JOB_TOKEN": "", "GITHUB_TOKEN": "ghs_job"}, id="given, not the runner's"),
        ],
    )
    def test_nothing_else_is_a_job(self, told: dict[str, str]) -> None:
        assert identity_of(of(**{**JOB, **told})).job_token is None

    def test_verified_is_by_credential(self) -> None:
        assert identity_of(of(**JOB, CACHE_SHARE="verified")).per_credential


class TestKeyring:
    def test_one_server_however_it_is_written_has_one(self) -> None:
        secret = generate_secret()
        spelled = ("", "https://api.github.com/", "HTTPS://API.GITHUB.COM:443")
        rings = [keyring_of(of(CACHE_SECRET=secret, CACHE_UPSTREAM=url))[0] for url in spelled]
        assert len({ring.key_id for ring in rings}) == 1
        other = keyring_of(of(CACHE_SECRET=secret, CACHE_UPSTREAM="https://ghes.example/api/v3"))[0]
        assert other.key_id != rings[0].key_id
        assert other.membership_keys == rings[0].membership_keys

    def test_a_long_lived_token_stands_in_for_a_secret_a_jobs_does_not(self) -> None:
        ring, alone = keyring_of(of(GITHUB_TOKEN=PERSONAL))
        assert (alone, ring.key_id) == ("", keyring_of(of(GITHUB_TOKEN=PERSONAL))[0].key_id)
        for told in ({"GITHUB_TOKEN": "ghs_job"}, {"CACHE_JOB_TOKEN": PERSONAL}, {}):
            assert "no CACHE_SECRET" in keyring_of(of(**told))[1]

    def test_a_token_too_weak_to_be_a_secret_is_no_reason_to_refuse(self) -> None:
        assert "no CACHE_SECRET" in keyring_of(of(GITHUB_TOKEN="ghp_x"))[1]

    def test_a_weak_secret_is_refused(self) -> None:
        with pytest.raises(SettingsError, match=r"CACHE_SECRET: .*too short"):
            keyring_of(of(CACHE_SECRET="hunter2"))

    @pytest.mark.parametrize(
        ("told", "why"),
        [
            ({"CACHE_ENABLE_P2P": "false"}, "CACHE_ENABLE_P2P"),
            ({"CACHE_SHARE": "off"}, "CACHE_SHARE"),
            ({"CACHE_BACKENDS": "disk"}, "CACHE_BACKENDS"),
        ],
    )
    def test_a_node_that_works_alone_names_what_makes_it(self, told: dict[str, str], why: str) -> None:
        assert why in keyring_of(of(CACHE_SECRET=generate_secret(), **told))[1]


HUB = "/ip4/127.0.0.1/tcp/9100/p2p/12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"
BY_TOKEN = {
    "CACHE_BOOTSTRAP_PEERS": HUB,
    "ACTIONS_ID_TOKEN_REQUEST_URL": "https://run.example/t?v=2",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "k",
}


class TestEnrolment:
    def test_a_job_without_a_secret_asks_its_hub(self) -> None:
        assert asks_for_keys(of(**BY_TOKEN))
        assert asks_for_keys(of(**BY_TOKEN, GITHUB_TOKEN="ghs_job"))

    @pytest.mark.parametrize(
        "told",
        [
            *({**BY_TOKEN, name: ""} for name in BY_TOKEN),
            {**BY_TOKEN, "CACHE_SECRET": generate_secret()},
            {**BY_TOKEN, "GITHUB_TOKEN": PERSONAL},
            {**BY_TOKEN, "CACHE_ENABLE_P2P": "false"},
            {**BY_TOKEN, "CACHE_SHARE": "off"},
            {**BY_TOKEN, "CACHE_BACKENDS": "disk"},
        ],
    )
    def test_no_other_node_does(self, told: dict[str, str]) -> None:
        assert not asks_for_keys(of(**told))

    def test_nor_does_a_hub(self) -> None:
        assert not asks_for_keys(load({"hub": "true"}, {**HOME, **BY_TOKEN}))

    def test_what_it_is_granted_is_its_keyring(self) -> None:
        keys = (job_keys("the hub's", "77", "1001", ""),)
        ring, alone = keyring_of(of(**BY_TOKEN), Enrolled(keys))
        same = Keyring.from_job_keys(keys, "https://api.github.com")
        assert (alone, ring.lasting, ring.key_id, ring.membership_keys) == ("", True, same.key_id, same.membership_keys)

    def test_a_refusal_is_why_it_works_alone(self) -> None:
        assert keyring_of(of(**BY_TOKEN), Enrolled(problem="not today"))[1] == "not today"

    @pytest.mark.parametrize(
        ("flags", "told", "why"),
        [
            ({}, {"CACHE_SECRET": generate_secret()}, "add --hub"),
            ({"hub": "true"}, {"GITHUB_TOKEN": PERSONAL}, "come from CACHE_SECRET: set it"),
        ],
        ids=["no hub", "no secret"],
    )
    @pytest.mark.parametrize("variable", ["CACHE_OIDC_REPOSITORIES", "CACHE_OIDC_OWNERS"])
    def test_a_list_takes_a_hub_with_a_secret(
        self, flags: dict[str, str], told: dict[str, str], why: str, variable: str
    ) -> None:
        with pytest.raises(SettingsError, match=why):
            keyring_of(load(flags, {**HOME, **told, variable: "7"}))


SECRET = generate_secret()
TOKEN = "ghp_" + "a1B2c3D4e5" * 4


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    def read(*flags: str, **variables: str) -> Settings:
        given = {"directory": str(tmp_path), **dict.fromkeys(flags, "true")}
        return load({**given, **({"p2p": "false"} if "p2p" in flags else {})}, variables)

    return read


def test_a_hub_without_a_secret_makes_one_and_keeps_it(settings: Callable[..., Settings], tmp_path: Path) -> None:
    first, hint = with_secret(settings("hub"))
    file = tmp_path / "secret"
    assert file.stat().st_mode & 0o777 == 0o600
    assert hint.endswith(f"hand it to the jobs with: gh secret set CACHE_SECRET <{file}")
    assert [secret.reveal() for secret in first.secrets] == [file.read_text().strip()]
    assert first.secrets[0].reveal() not in hint
    again, _ = with_secret(settings("hub"))
    assert again.secrets == first.secrets
    keyring, alone = keyring_of(first)
    assert alone == ""
    assert keyring.membership_keys == keyring_of(settings(CACHE_SECRET=file.read_text()))[0].membership_keys


def test_a_hub_with_a_list_hands_its_secret_to_nobody(settings: Callable[..., Settings]) -> None:
    _, hint = with_secret(settings("hub", CACHE_OIDC_OWNERS="7"))
    assert hint.endswith("the keys of all admitted jobs come from it: give it to no job")


def test_a_secret_that_is_given_counts_and_none_is_kept(settings: Callable[..., Settings], tmp_path: Path) -> None:
    given = settings("hub", CACHE_SECRET=SECRET)
    assert with_secret(given) == (given, "")
    assert not (tmp_path / "secret").exists()


def test_a_personal_token_is_a_hubs_secret_unless_it_made_one_before(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    given = settings("hub", GITHUB_TOKEN=TOKEN)
    same, hint = with_secret(given)
    assert same == given
    assert "its token" in hint
    (tmp_path / "secret").write_text(SECRET)
    assert [secret.reveal() for secret in with_secret(given)[0].secrets] == [SECRET]


def test_a_jobs_token_is_no_secret(settings: Callable[..., Settings], tmp_path: Path) -> None:
    with_secret(settings("hub", GITHUB_TOKEN="ghs_" + "a" * 36))
    assert (tmp_path / "secret").exists()


def test_only_a_hub_makes_one(settings: Callable[..., Settings], tmp_path: Path) -> None:
    for given in (settings(), settings("hub", "p2p")):
        assert with_secret(given) == (given, "")
    assert not (tmp_path / "secret").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"\n", "it is empty"), (b"\xff\xfe", "cannot be kept there .it is no text")],
    ids=["empty", "no text"],
)
def test_a_file_that_is_no_secret(settings: Callable[..., Settings], tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(SettingsError, match=f"{tmp_path}/secret: .*{says}"):
        with_secret(settings("hub"))


def test_a_directory_that_cannot_be_written(settings: Callable[..., Settings], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    given = load({"hub": "true", "directory": str(tmp_path / "file" / "below")}, {})
    with pytest.raises(SettingsError, match=r"cannot be kept there .Not a directory.: set CACHE_SECRET"):
        with_secret(given)


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"CACHE_ENABLE_P2P": "false"}, "peer to peer is off"),
        ({"CACHE_SHARE": "off"}, "sharing is off"),
        ({"CACHE_BACKENDS": "disk"}, "peers are not among the backends"),
    ],
)
def test_a_hub_that_would_work_alone_is_refused(
    settings: Callable[..., Settings], variables: dict[str, str], why: str
) -> None:
    assert why in keyring_of(settings(CACHE_SECRET=SECRET, **variables))[1]
    with pytest.raises(SettingsError, match=f"--hub: {why}"):
        keyring_of(settings("hub", CACHE_SECRET=SECRET, **variables))


def test_a_hubs_file_is_read_again(settings: Callable[..., Settings], tmp_path: Path) -> None:
    given, _ = with_secret(settings("hub"))
    keyring, _ = keyring_of(given)
    new = generate_secret()
    (tmp_path / "secret").write_text(f"{new}\n{given.secrets[0].reveal()}\n")
    assert reread(given, keyring)
    expected = keyring_of(settings(CACHE_SECRET=(tmp_path / "secret").read_text()))[0]
    assert (keyring.key_id, keyring.membership_keys) == (expected.key_id, expected.membership_keys)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it is empty"),
        (b"weak", "the secret needs letters and digits"),
        (b"\xff", "it is no text"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing_and_is_one_line(
    settings: Callable[..., Settings],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    content: bytes | None,
    says: str,
) -> None:
    file = tmp_path / "mounted"
    file.write_text(SECRET)
    given = settings(CACHE_SECRET_FILE=str(file))
    keyring, _ = keyring_of(given)
    before = keyring.membership_keys
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    assert not reread(given, keyring)
    assert keyring.membership_keys == before
    (line,) = caplog.messages
    assert line.startswith(f"{file}: ")
    assert line.endswith("; the former secret stays in use")
    assert says in line


def test_a_secret_that_no_file_gave_is_not_read_again(settings: Callable[..., Settings]) -> None:
    given = settings("hub", CACHE_SECRET=SECRET)
    assert not reread(given, keyring_of(given)[0])
