import pytest

from p2pcache.gateway.routing import Api, Control, Misdirected, Router, Stream, Upstreams

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
        ("localhost", "/-/stats", Control("stats")),
        ("127.0.0.1", "/-/", Control("")),
        ("uploads.github.com", "/repos/o/r", Stream("https://uploads.github.com/repos/o/r", "/repos/o/r")),
        ("objects.githubusercontent.com", "/x?y", Stream("https://objects.githubusercontent.com/x?y")),
        ("github.com", "/o/r", Stream("https://github.com/o/r")),
        ("evil.example", "/", Misdirected("evil.example")),
        ("api.github.com.evil.example", "/", Misdirected("api.github.com.evil.example")),
        ("localhost.evil.example", "/-/stats", Misdirected("localhost.evil.example")),
        ("1.2.3.4.5", "/", Misdirected("1.2.3.4.5")),
    ],
)
def test_destinations_before_github(host, target, destination):
    assert GITHUB.route(host, target) == destination


@pytest.mark.parametrize(
    ("host", "target", "destination"),
    [
        ("ghe.example", "/api/v3/zen", Api("/zen")),
        ("ghe.example:443", "/api/graphql", Api("/graphql")),
        ("ghe.example", "/login/oauth", Stream("https://ghe.example/login/oauth")),
        ("ghe.example", "/api/uploads/x", Stream("https://ghe.example/api/uploads/x", "/x")),
        ("localhost", "/api/v3/zen", Api("/zen", "http://localhost/api/v3")),
        ("api.github.com", "/zen", Api("/zen")),
    ],
)
def test_destinations_before_an_enterprise_server(host, target, destination):
    assert GHES.route(host, target) == destination


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
            ("https://ghe.example/api/v3", "https://api.github.com"),
        ),
        (
            "http://127.0.0.1:9",
            "http://127.0.0.1:9/graphql",
            "http://127.0.0.1:9",
            ("http://127.0.0.1:9", "https://api.github.com"),
        ),
    ],
)
def test_where_an_upstream_has_what(api, graphql, uploads, bases):
    upstreams = Upstreams(api)
    assert (upstreams.graphql, upstreams.uploads, upstreams.bases) == (graphql, uploads, bases)
