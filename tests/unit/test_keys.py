from __future__ import annotations

import pytest

from p2pcache.cache.sealing import generate_secret
from p2pcache.keys import identity_of, keyring_of
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
            ({"CACHE_ENABLE_P2P": "false"}, "CACHE_ENABLE_P2P is off"),
            ({"CACHE_SHARE": "off"}, "CACHE_SHARE is off"),
            ({"CACHE_BACKENDS": "disk"}, "leaves out p2p"),
        ],
    )
    def test_why_a_node_works_alone(self, told: dict[str, str], why: str) -> None:
        assert why in keyring_of(of(CACHE_SECRET=generate_secret(), **told))[1]
