import pytest

from p2pcache.gateway.routing import RESERVED_NAME, Api, Control, Misdirected, RawFile, Router, Stream, Upstreams

GITHUB = Router(Upstreams("https://api.github.com"), frozenset({"hub"}))
GHES = Router(Upstreams("https://ghe.example/api/v3"), frozenset())


@pytest.mark.parametrize(
    ("host", "target", "destination"),
    [
        ("api.github.com", "/zen", Api("/zen")),
        ("API.GitHub.com:443", "/zen?a=b", Api("/zen?a=b")),
        ("api.github.com", "/-/stats", Api("/-/stats")),
        ("127.0.0.1:8080", "/zen", Api("/zen", "http://127.0.0.1:8080")),
        ("[::1]:8080", "/zen", Api("/zen", "http://[::1]:8080")),
        ("localhost", "/zen", Api("/zen", "http://localhost")),
        ("hub:9", "/zen", Api("/zen", "http://hub:9")),
        ("host.docker.internal:9", "/zen", Api("/zen", "http://host.docker.internal:9")),
        ("172.17.0.1:9", "/api/v3/zen", Api("/zen", "http://172.17.0.1:9/api/v3")),
        ("localhost", "/api/v3", Api("/", "http://localhost/api/v3")),
        ("localhost", "/api/v3?a", Api("/?a", "http://localhost/api/v3")),
        ("localhost", "/api/v30", Api("/api/v30", "http://localhost")),
        ("localhost", "/graphql", Api("/graphql", "http://localhost")),
        ("localhost", "/api/graphql", Api("/graphql", "http://localhost/api/v3")),
        (
            "localhost",
            "/api/uploads/repos/o/r/releases/1/assets?name=x",
            Stream(
                "https://uploads.github.com/repos/o/r/releases/1/assets?name=x", "/repos/o/r/releases/1/assets?name=x"
            ),
        ),
        (RESERVED_NAME, "/api/v3/zen", Api("/zen", f"http://{RESERVED_NAME}/api/v3")),
        (RESERVED_NAME, "/api/graphql", Api("/graphql", f"http://{RESERVED_NAME}/api/v3")),
        (RESERVED_NAME, "/raw/o/r/HEAD/a?b", RawFile("/o/r/HEAD/a?b")),
        (f"raw.{RESERVED_NAME}", "/_ping", Misdirected()),
        (f"evil.{RESERVED_NAME}.example", "/api/v3/zen", Misdirected()),
        ("127.0.0.1:9", "/raw/o/r/HEAD/a", RawFile("/o/r/HEAD/a")),
        ("localhost", "/rawr/o", Api("/rawr/o", "http://localhost")),
        ("localhost", "/raw", Api("/raw", "http://localhost")),
        ("api.github.com", "/raw/o/r/HEAD/a", Api("/raw/o/r/HEAD/a")),
        ("raw.githubusercontent.com", "/o/r/HEAD/a", Stream("https://raw.githubusercontent.com/o/r/HEAD/a")),
        ("localhost", "/-/stats", Control("stats")),
        ("127.0.0.1", "/-/", Control("")),
        ("uploads.github.com", "/repos/o/r", Stream("https://uploads.github.com/repos/o/r", "/repos/o/r")),
        ("objects.githubusercontent.com", "/x?y", Stream("https://objects.githubusercontent.com/x?y")),
        ("github.com", "/o/r", Stream("https://github.com/o/r")),
        ("evil.example", "/", Misdirected()),
        ("api.github.com.evil.example", "/", Misdirected()),
        ("localhost.evil.example", "/-/stats", Misdirected()),
        ("1.2.3.4.5", "/", Misdirected()),
    ],
)
def test_destinations_before_github(host: str, target: str, destination: object) -> None:
    assert GITHUB.route(host, target) == destination


@pytest.mark.parametrize(
    ("host", "target", "destination"),
    [
        ("ghe.example", "/api/v3/zen", Api("/zen")),
        ("ghe.example:443", "/api/graphql", Api("/graphql")),
        ("ghe.example", "/login/oauth", Stream("https://ghe.example/login/oauth")),
        ("ghe.example", "/raw/o/r/HEAD/a", Stream("https://ghe.example/raw/o/r/HEAD/a")),
        ("localhost", "/raw/o/r/HEAD/a", RawFile("/o/r/HEAD/a")),
        ("ghe.example", "/api/uploads/x", Stream("https://ghe.example/api/uploads/x", "/x")),
        ("localhost", "/api/v3/zen", Api("/zen", "http://localhost/api/v3")),
        ("api.github.com", "/zen", Stream("https://api.github.com/zen")),
        ("api.github.com", "/-/stats", Stream("https://api.github.com/-/stats")),
        ("uploads.github.com", "/x", Stream("https://uploads.github.com/x")),
    ],
)
def test_destinations_before_an_enterprise_server(host: str, target: str, destination: Api | Stream) -> None:
    assert GHES.route(host, target) == destination


TENANT = Router(Upstreams("https://api.octo.ghe.com"), frozenset())


@pytest.mark.parametrize(
    ("host", "target", "destination"),
    [
        ("api.octo.ghe.com", "/zen", Api("/zen")),
        ("uploads.octo.ghe.com", "/x", Stream("https://uploads.octo.ghe.com/x", "/x")),
        ("api.github.com", "/zen", Stream("https://api.github.com/zen")),
        ("localhost", "/api/uploads/x", Stream("https://uploads.octo.ghe.com/x", "/x")),
    ],
)
def test_destinations_before_a_tenant(host: str, target: str, destination: Api | Stream) -> None:
    assert TENANT.route(host, target) == destination


@pytest.mark.parametrize(
    ("api", "raw"),
    [
        ("https://api.github.com", "https://raw.githubusercontent.com"),
        ("https://ghe.example/api/v3", "https://ghe.example/raw"),
        ("https://api.octo.ghe.com", "https://raw.octo.ghe.com"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/raw"),
        ("https://api.github.com.evil.example", "https://api.github.com.evil.example/raw"),
    ],
)
def test_raw_files_are_the_upstreams_own(api: str, raw: str) -> None:
    assert Upstreams(api).raw == raw


OTHERS = ["ghe.example", "GHE.example:443", "octo.ghe.com", "github", "a--b.example"]
NOWHERE = [
    *(
        "127.1",
        "0x7f000001",
        "2130706433",
        "1.2.3.0x4",
        "169.254.169.254.",
        "127.0.0.1.",
        "x.localhost",
        "ip6-localhost",
    ),
    *("ghe.example:80", "ghe.example:22", "ghe.example:0443", "-a.example", "a-.example", ".example", "ghe.example."),
    *("localhost.localdomain", "ghe_.example", "a" * 64 + ".example", "a." * 127 + "example"),
]


@pytest.mark.parametrize("host", OTHERS)
def test_other_servers_are_reached_for_this_user_alone(host: str) -> None:
    assert GITHUB.route(host, "/-/stats", lambda: True) == Stream(
        f"https://{host.lower().removesuffix(':443')}/-/stats"
    )
    assert GITHUB.route(host, "/-/stats", lambda: False) == Misdirected()


@pytest.mark.parametrize("host", NOWHERE)
def test_what_names_no_server_is_reached_for_nobody(host: str) -> None:
    assert GITHUB.route(host, "/", lambda: True) == Misdirected()


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "[::1]", "[fe80::1]", "8.8.8.8"])
def test_an_address_is_a_name_of_the_gateway(host: str) -> None:
    assert isinstance(GITHUB.route(host, "/zen", lambda: True), Api)


@pytest.mark.parametrize(
    ("api", "graphql", "uploads", "bases"),
    [
        (
            "https://api.github.com",
            "https://api.github.com/graphql",
            "https://uploads.github.com",
            ("https://api.github.com",),
        ),
        (
            "https://ghe.example/api/v3",
            "https://ghe.example/api/graphql",
            "https://ghe.example/api/uploads",
            ("https://ghe.example/api/v3",),
        ),
        (
            "https://api.octo.ghe.com",
            "https://api.octo.ghe.com/graphql",
            "https://uploads.octo.ghe.com",
            ("https://api.octo.ghe.com",),
        ),
        (
            "http://127.0.0.1:9",
            "http://127.0.0.1:9/graphql",
            "http://127.0.0.1:9",
            ("http://127.0.0.1:9", "https://api.github.com"),
        ),
    ],
)
def test_where_an_upstream_has_what(api: str, graphql: str, uploads: str, bases: tuple[str, ...]) -> None:
    upstreams = Upstreams(api)
    assert (upstreams.graphql, upstreams.uploads, upstreams.bases) == (graphql, uploads, bases)
