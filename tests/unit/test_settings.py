import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from p2pcache.github.lifetimes import DEFAULT_SECONDS
from p2pcache.github.request import Lifetime
from p2pcache.settings import (
    ClientSettings,
    Listen,
    LogLevel,
    Secret,
    Settings,
    SettingsError,
    Share,
    as_flags,
    for_commands,
    load,
    unset_empty,
)
from p2pcache.values import BucketName, GatewayHost

PEER = "12D3KooWGRYZDHBembyGJQqQ6WgLqJWYNjnECJwGBnCg8vbCeo8F"
GHES = "https://ghes.example"
HOME = {"XDG_CACHE_HOME": "/var/cache"}


def of(environ: Mapping[str, str] = MappingProxyType({}), /, **flags: str) -> Settings:
    return load(flags, {**HOME, **environ})


def test_with_nothing_said_there_are_defaults() -> None:
    settings = of()
    assert settings == Settings(directory=settings.directory)
    assert str(settings.directory) == "/var/cache/p2pcache"
    assert settings.lifetimes == DEFAULT_SECONDS


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("listen", "127.0.0.1:0", Listen("127.0.0.1", 0)),
        ("listen", "[::1]:8080", Listen("::1", 8080)),
        ("listen", "localhost:65535", Listen("localhost", 65535)),
        ("listen", "fd:7", Listen(fd=7)),
        ("socket_fd", "8", 8),
        ("keeper", "3:4", (3, 4)),
        ("adopt", "0:5,1:6", ((0, 5), (1, 6))),
        ("p2p", "false", False),
        ("p2p_listen", "/ip4/0.0.0.0/tcp/9000", "/ip4/0.0.0.0/tcp/9000"),
        (
            "bootstrap",
            f"/dns4/hub/tcp/9100/p2p/{PEER},/ip6/::1/tcp/9",
            (f"/dns4/hub/tcp/9100/p2p/{PEER}", "/ip6/::1/tcp/9"),
        ),
        ("announce", "/ip4/1.2.3.4/tcp/9000", ("/ip4/1.2.3.4/tcp/9000",)),
        ("mdns", "true", True),
        ("upstream", "https://ghe.example/api/v3/", "https://ghe.example/api/v3"),
        ("upstream", "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("upstream", "HTTPS://API.GitHub.com:443//", "https://api.github.com"),
        ("upstream", "https://api.github.com.:", "https://api.github.com"),
        ("upstream", "http://ghe.example:80/Path/", "http://ghe.example/Path"),
        ("upstream", "https://ghe.example:80", "https://ghe.example:80"),
        ("upstream", "http://[2001:DB8:0::1]:8080/", "http://[2001:db8::1]:8080"),
        ("backends", "P2P disk", ("p2p", "disk")),
        ("share", "verified", Share.VERIFIED),
        ("hub", "true", True),
        ("log_level", "debug", LogLevel.DEBUG),
    ],
)
def test_a_flag_that_is_right(field: str, text: str, value: object) -> None:
    assert getattr(of(**{field: text}), field) == value


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("CACHE_ENABLE_P2P", "false", "p2p", False),
        ("CACHE_LISTEN_PORT", " 9001 ", "p2p_port", 9001),
        (
            "CACHE_BOOTSTRAP_PEERS",
            "/ip4/1.2.3.4/tcp/1\n/ip4/1.2.3.4/tcp/2",
            "bootstrap",
            ("/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/tcp/2"),
        ),
        ("CACHE_P2P_BOOTSTRAP", "/ip4/1.2.3.4/tcp/1", "bootstrap", ("/ip4/1.2.3.4/tcp/1",)),
        ("MCP_P2P_BOOTSTRAP_PEERS", "/ip4/1.2.3.4/tcp/1", "bootstrap", ("/ip4/1.2.3.4/tcp/1",)),
        ("MCP_PEER_ID", PEER, "hub_peer_id", PEER),
        ("CACHE_MDNS", "true", "mdns", True),
        ("CACHE_UPSTREAM", "https://ghe.example/api/v3", "upstream", "https://ghe.example/api/v3"),
        ("GITHUB_API_URL", "https://ghe.example/api/v3", "upstream", "https://ghe.example/api/v3"),
        ("CACHE_BACKENDS", "disk", "backends", ("disk",)),
        ("CACHE_BACKEND", "p2p", "backends", ("p2p",)),
        ("CACHE_SHARE", "off", "share", Share.OFF),
        ("CACHE_MEMORY_BYTES", "1048576", "memory_bytes", 1 << 20),
        ("CACHE_SECRET", "one\n\n two \n", "secrets", (Secret("one"), Secret("two"))),
        ("GITHUB_TOKEN", "ghs_x\n", "token", Secret("ghs_x")),
        ("CACHE_JOB_TOKEN", "ghs_x\n", "job_token", Secret("ghs_x")),
        ("GITHUB_ACTIONS", "true", "in_actions", True),
        ("GITHUB_ACTIONS", "yes", "in_actions", False),
        ("CACHE_CONTROL_TOKEN", "t", "control_token", Secret("t")),
        ("GITHUB_REPOSITORY", "octo/app", "repository", "octo/app"),
        ("CACHE_LOG_LEVEL", "warning", "log_level", LogLevel.WARNING),
        ("CACHE_OIDC_REPOSITORIES", "1001, 7\n1001", "oidc_repositories", ("1001", "7")),
        ("CACHE_OIDC_OWNERS", "77", "oidc_owners", ("77",)),
        ("CACHE_OIDC_ISSUER", "HTTPS://GHES.example/_services/token/", "oidc_issuer", f"{GHES}/_services/token"),
        ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://run.example//t?v=2", "id_token_url", "https://run.example//t?v=2"),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "k\n", "id_token_key", Secret("k")),
    ],
)
def test_a_variable_that_is_right(variable: str, text: str, field: str, value: object) -> None:
    assert getattr(of({variable: text}), field) == value


@pytest.mark.parametrize("variable", ["GITHUB_TOKEN", "CACHE_JOB_TOKEN", "CACHE_CONTROL_TOKEN"])
@pytest.mark.parametrize("text", ["hunter\n2", "hunter 2", "hünter2", "hunter\x7f2"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_shown(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"^{variable}: read a value that is not shown: expected "):
        of({variable: text})


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("CACHE_DISK_BYTES", "1048576", "disk_bytes", 1 << 20),
        ("CACHE_S3_BUCKET", "example", "s3_bucket", BucketName("example")),
        ("CACHE_S3_BUCKET", "s3://example.org/ci/cache/", "s3_bucket", BucketName("example.org", "ci/cache")),
        ("CACHE_S3_PREFIX", "/ci/p2pcache/", "s3_prefix", "ci/p2pcache"),
        ("CACHE_S3_PREFIX", "/", "s3_prefix", ""),
        ("CACHE_S3_ENDPOINT", "HTTP://Minio:9000/", "s3_endpoint", "http://minio:9000"),
        ("CACHE_S3_REGION", "eu-central-1", "s3_region", "eu-central-1"),
        ("CACHE_S3_SECRET_ACCESS_KEY", "k\n", "s3_secret_access_key", Secret("k")),
        ("CACHE_IPFS_API", "", "ipfs_api", ""),
        ("CACHE_IPFS_API", "http://kubo:5001/", "ipfs_api", "http://kubo:5001"),
        ("CACHE_IPFS_API", "/dns4/kubo/tcp/5001/http", "ipfs_api", "http://kubo:5001"),
        ("IPFS_API", "/ip4/127.0.0.1/tcp/5001", "ipfs_api", "http://127.0.0.1:5001"),
        ("IPFS_API", "/ip6/::1/tcp/5001", "ipfs_api", "http://[::1]:5001"),
        ("CACHE_IPFS_TOKEN", "t", "ipfs_token", Secret("t")),
        ("CACHE_IPFS_GATEWAY", "http://a, https://b/\nhttp://a", "ipfs_gateways", ("http://a", "https://b")),
        ("CACHE_IPFS_PIN_SERVICE", "web-1.x", "ipfs_pin_service", "web-1.x"),
    ],
)
def test_an_option_of_a_backend_that_is_right(variable: str, text: str, field: str, value: object) -> None:
    assert of({variable: text}).options == {**of().options, field: value}


def test_a_variable_of_a_backend_that_ended_names_it() -> None:
    assert of({"CACHE_STORACHA_URL": "x"}).backends == ("disk", "p2p", "storacha")
    assert of({"CACHE_STORACHA_URL": "x", "CACHE_BACKENDS": "storacha,disk"}).backends == ("storacha", "disk")


def test_lifetimes_are_changed_by_class_or_all() -> None:
    assert of({"CACHE_TTL": "normal=5,slow=6"}).lifetimes == {**DEFAULT_SECONDS, Lifetime.NORMAL: 5, Lifetime.SLOW: 6}
    changed = of({"CACHE_TTL": "7"}).lifetimes
    assert {changed[lifetime] for lifetime in Lifetime if lifetime is not Lifetime.NEVER} == {7}


BAD = [
    ("listen", "8080", "HOST:PORT"),
    ("listen", "localhost:http", "HOST:PORT"),
    ("listen", "127.0.0.1:65536", "65535"),
    ("listen", ":80", "HOST:PORT"),
    ("listen", "::1:80", "HOST:PORT"),
    ("listen", "fd:x", "HOST:PORT"),
    ("socket", "/" + "a" * 107, "at most 107 bytes"),
    ("socket_fd", "x", "supervisor"),
    ("keeper", "1:2,3:4", "supervisor"),
    ("adopt", "1", "supervisor"),
    ("p2p_listen", "0.0.0.0:9000", "/ip4/172.17.0.1/tcp/9100"),
    ("p2p_listen", "/tcp/9000", "/tcp/PORT is for the Action alone"),
    ("p2p_listen", "/dns4/hub/tcp/9000", "cannot be listened on: give an address of this machine"),
    ("p2p_listen", f"/ip4/0.0.0.0/tcp/9000/p2p/{PEER}", "cannot be listened on"),
    ("p2p_listen", "/ip4/0.0.0.0/tcp/1,/ip4/0.0.0.0/tcp/2", "a TCP multiaddr"),
    ("bootstrap", "/ip4/1.2.3.4/udp/1/quic-v1", "is not a TCP multiaddr: write it like /ip4/172.17.0.1/tcp/9100 or"),
    ("bootstrap", "/tcp/9166", "/tcp/PORT is for the Action alone: name the host, e.g. /ip4/"),
    ("bootstrap", "/ip4/1.2.3/tcp/1", "no valid IPv4 address"),
    ("bootstrap", "/ip6/1.2.3.4/tcp/1", "no valid IPv6 address"),
    ("bootstrap", "/ip4/1.2.3.4/tcp/65536", "a number from 1 to 65535"),
    ("bootstrap", "/ip4/1.2.3.4/tcp/1/p2p/", "is not a TCP multiaddr"),
    ("bootstrap", "/ip4/1.2.3.4/tcp/1/p2p/12D3", "no valid peer id"),
    ("bootstrap", "/dnsaddr/hub/tcp/1", "begins with none of"),
    ("bootstrap", "/ip4/1.2.3.4/tcp/1,hub:2", ": hub:2 is not a multiaddr"),
    ("announce", "hub:9100", "is not a multiaddr: write it like /ip4/172.17.0.1/tcp/9100 or /dns4/hub/tcp/9100"),
    ("announce", "/ip4/1.2.3.4/tcp/0", "a number from 1 to 65535"),
    ("upstream", "api.github.com", "https://api.github.com"),
    ("upstream", "ftp://api.github.com", "https://api.github.com"),
    ("upstream", "https://api.github.com?x", "without credentials or query"),
    ("upstream", "https://api.github.com:x", "https://api.github.com"),
    ("upstream", "https://api.github.com:0", "https://api.github.com"),
    ("upstream", "https://[::1", "https://api.github.com"),
    ("upstream", "https://a b", "https://api.github.com"),
    ("upstream", "https://.", "https://api.github.com"),
    ("upstream", "https://:word@ghe.example", "without credentials or query"),
    ("directory", "~nobodyknows/x", "directory"),
    ("backends", "disk,tape", "disk, p2p"),
    ("backends", "disk,disk", "each once"),
    ("share", "everything", "scope, verified or off"),
    ("hub", "maybe", "true or false"),
    ("log_level", "loud", "debug, info, warning or error"),
]
BAD_VARIABLES = [
    ("CACHE_ENABLE_P2P", "perhaps", "true or false"),
    ("CACHE_LISTEN_PORT", "70000", "a port from 0 to 65535"),
    ("CACHE_BOOTSTRAP_PEERS", "hub", "hub is not a multiaddr"),
    ("CACHE_MEMORY_BYTES", "64MB", "a number of bytes"),
    ("CACHE_DISK_BYTES", "5", "at least 1048576"),
    ("CACHE_S3_BUCKET", "s3://", "the name of a bucket"),
    ("CACHE_S3_BUCKET", "gs://example", "the name of a bucket"),
    ("CACHE_S3_BUCKET", "https://example", "the name of a bucket"),
    ("CACHE_S3_BUCKET", "example/../other", "the name of a bucket"),
    ("CACHE_S3_PREFIX", "ci/p2p cache", "a path of letters"),
    ("CACHE_S3_PREFIX", "ci//p2pcache", "a path of letters"),
    ("CACHE_S3_ENDPOINT", "minio:9000", "an http(s) URL"),
    ("CACHE_S3_REGION", "Frankfurt", "the name of a region"),
    ("CACHE_IPFS_API", "kubo:5001", "an http(s) URL or a TCP multiaddr"),
    ("CACHE_IPFS_API", "/ip4/127.0.0.1/udp/5001", "an http(s) URL or a TCP multiaddr"),
    ("CACHE_IPFS_GATEWAY", "https://a,b", "separated by commas"),
    ("CACHE_IPFS_PIN_SERVICE", "a b", "a name"),
    ("CACHE_TTL", "fast=1", "not a lifetime class"),
    ("CACHE_TTL", "normal=soon", "not a number of seconds"),
    ("CACHE_OIDC_REPOSITORIES", "octo/app", "ids of digits, separated by commas: gh api repos/OWNER/NAME --jq .id"),
    ("CACHE_OIDC_OWNERS", "7,octo", "gh api users/OWNER --jq .id"),
    ("CACHE_OIDC_OWNERS", "-7", "ids of digits"),
    ("CACHE_OIDC_ISSUER", "http://token.example", "an https URL"),
    ("GITHUB_REPOSITORY", "octo", "OWNER/NAME"),
    ("GITHUB_REPOSITORY", "a/b/c", "OWNER/NAME"),
]


@pytest.mark.parametrize(("field", "text", "right"), BAD)
def test_a_flag_that_is_wrong_is_named(field: str, text: str, right: str) -> None:
    with pytest.raises(SettingsError) as caught:
        of(**{field: text})
    said = str(caught.value)
    assert said.startswith("--")
    assert right in said
    assert "\n" not in said


@pytest.mark.parametrize(("variable", "text", "right"), BAD_VARIABLES)
def test_a_variable_that_is_wrong_is_named(variable: str, text: str, right: str) -> None:
    with pytest.raises(SettingsError) as caught:
        of({variable: text})
    said = str(caught.value)
    assert said.startswith(f"{variable}: read '{text}': ")
    assert right in said


def test_a_flag_beats_a_variable_beats_the_default() -> None:
    assert of({"CACHE_SHARE": "off"}, share="verified").share is Share.VERIFIED
    assert of({"CACHE_SHARE": "off"}, share="").share is Share.OFF
    assert of({"CACHE_SHARE": " "}).share is Share.SCOPE
    assert of({"CACHE_UPSTREAM": "http://a", "GITHUB_API_URL": "http://b"}).upstream == "http://a"


def test_a_gateway_is_not_its_own_upstream() -> None:
    environ = {"GITHUB_API_URL": "http://127.0.0.1:4000", "P2PCACHE_API_URL": "http://127.0.0.1:4000"}
    assert of(environ).upstream == "https://api.github.com"


def test_no_credential_is_shown() -> None:
    for text in ("https://mona:hunter2@ghe.example/api", "https://mona:hunter2@"):
        with pytest.raises(SettingsError) as caught:
            of(upstream=text)
        assert "hunter2" not in str(caught.value)
    keys = of({f"CACHE_S3_{name}": "hunter2" for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")})
    assert "hunter2" not in f"{keys!r} {keys.options}"
    secret = of({"CACHE_SECRET": "hunter2", "GITHUB_TOKEN": "hunter2", "CACHE_CONTROL_TOKEN": "hunter2"})
    assert "hunter2" not in f"{secret!r} {secret} {secret.token} {secret.secrets}"


def test_only_what_is_empty_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("AWS_A", ""), ("AWS_B", " "), ("AWS_C", "c"), ("AWS_D", "")):
        monkeypatch.setenv(name, value)
    unset_empty(("AWS_A", "AWS_B", "AWS_C", "AWS_NONE"))
    assert {name for name in os.environ if name.startswith("AWS_") and len(name) == 5} == {"AWS_C", "AWS_D"}


def test_secrets_are_compared_by_value() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


def test_a_hub_has_a_port_of_its_own_unless_told() -> None:
    assert of().p2p_port == 0, "any free one: jobs that share a host cannot all have the same"
    assert of(hub="true").p2p_port == 9100
    assert of({"CACHE_LISTEN_PORT": "9001"}, hub="true").p2p_port == 9001


def test_paths_are_absolute_and_know_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/mona")
    assert str(of(directory="~/x").directory) == "/home/mona/x"
    ready_file = of(ready_file="r", stats_file="s", socket="t").ready_file
    assert ready_file is not None
    assert ready_file.is_absolute()


def test_without_a_home_a_directory_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(_: type[Path]) -> None:
        raise RuntimeError

    monkeypatch.setattr("pathlib.Path.home", classmethod(homeless))
    with pytest.raises(SettingsError, match="CACHE_DIR"):
        load({}, {})
    assert load({"directory": "/x"}, {}).directory.name == "x"


def test_flags_become_a_command_line_that_says_the_same() -> None:
    flags = {
        "listen": "127.0.0.1:8080",
        "p2p": "false",
        "hub": "true",
        "bootstrap": "/ip4/1.2.3.4/tcp/1,/ip4/1.2.3.4/tcp/2",
        "share": "off",
        "socket": "",
    }
    line = as_flags(flags)
    assert line.count("--bootstrap") == 2
    assert "--no-p2p" in line
    assert "--hub" in line
    assert "--socket" not in line
    assert as_flags({"p2p": "true", "hub": "false"}) == []


def test_a_client_reads_what_was_exported() -> None:
    settings = ClientSettings.from_env({"P2PCACHE_SOCKET": "/s", "GH_TOKEN": "t", "P2PCACHE_SECOND_TOKEN": "u"})
    assert str(settings.socket) == "/s"
    assert (settings.token, settings.second_token) == (Secret("t"), Secret("u"))
    assert ClientSettings.from_env(HOME).socket is None


def test_lifetimes_stay_finite() -> None:
    assert all(math.isfinite(seconds) for seconds in of({"CACHE_TTL": "1"}).lifetimes.values())


@pytest.mark.parametrize(
    "name", ["CACHE_STORACHA_URL", "CACHE_STORACHA_SPACE", "CACHE_STORACHA_SECRET", "WEB3_STORAGE_TOKEN"]
)
def test_commands_get_no_secret_of_a_service_that_ended(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "s3cret")
    monkeypatch.setenv("GITHUB_TOKEN", "ghs_job")
    assert name not in for_commands()
    assert for_commands()["GITHUB_TOKEN"] == "ghs_job"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.0.0.0", GatewayHost("0.0.0.0")),
        ("hub.example.org", GatewayHost("hub.example.org")),
        ("::", GatewayHost("::")),
        ("[::1]", GatewayHost("::1")),
        ("0.0.0.0:8443", GatewayHost("0.0.0.0", 8443)),
        ("[::]:0", GatewayHost("::", 0)),
    ],
)
def test_the_address_for_other_machines_may_have_a_port_of_its_own(text: str, expected: GatewayHost) -> None:
    assert of({"CACHE_CONTROL_TOKEN": "c"}, gateway_host=text).gateway_host == expected


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"gateway_host": "0.0.0.0:65536"}, "--gateway-host: read '0.0.0.0:65536': expected an address"),
        ({"tls_cert": "c.pem"}, "--tls-cert and --tls-key: one is of no use without the other"),
        ({"tls_cert": "c", "tls_key": "k"}, "name one with its port, e.g. --gateway-host 0.0.0.0:8443"),
        ({"tls_cert": "c", "tls_key": "k", "gateway_host": "0.0.0.0"}, "TLS is for an address beside --listen"),
    ],
)
def test_tls_that_would_protect_nothing_is_refused(flags: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        of({"CACHE_CONTROL_TOKEN": "c"}, **flags)


def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("one\n\ntwo\n")
    assert of({"CACHE_SECRET_FILE": str(file)}).secrets == (Secret("one"), Secret("two"))
    with pytest.raises(SettingsError, match="CACHE_SECRET is set too: set one of the two"):
        of({"CACHE_SECRET_FILE": str(file), "CACHE_SECRET": "three"})
    file.write_text("")
    with pytest.raises(SettingsError, match=r"CACHE_SECRET_FILE: read '.*secret' .it is empty.: expected a file"):
        of({"CACHE_SECRET_FILE": str(file)})


def test_commands_keep_what_the_runner_gives_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "k")
    assert for_commands()["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] == "k"
