import pytest

from p2pcache.proxies import Proxies, Proxy


@pytest.mark.parametrize(
    ("environ", "proxy", "headers"),
    [
        ({}, None, {}),
        ({"https_proxy": "http://proxy:3128"}, "http://proxy:3128", {}),
        (
            {"https_proxy": "http://mona:pw@proxy:3128"},
            "http://proxy:3128",
            {"Proxy-Authorization": "Basic bW9uYTpwdw=="},
        ),
        ({"https_proxy": "proxy:3128"}, "http://proxy:3128", {}),
        ({"https_proxy": "mona:pw@proxy:3128"}, "http://proxy:3128", {"Proxy-Authorization": "Basic bW9uYTpwdw=="}),
        ({"http_proxy": "http://proxy:3128"}, None, {}),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "github.com"}, None, {}),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "*"}, None, {}),
    ],
)
def test_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], proxy: str | None, headers: dict[str, str]
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    found = Proxies().of("https://api.github.com/zen")
    assert (found.url and str(found.url).rstrip("/"), found.headers, found.plain) == (proxy, headers, {})


@pytest.mark.parametrize(
    "named", ["http://u:hunter2@[::", "http://h:badport", "''", "socks5://proxy:1080", "://", "http://"]
)
def test_one_that_cannot_be_used_is_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, named: str
) -> None:
    monkeypatch.setenv("https_proxy", named)
    monkeypatch.delenv("no_proxy", raising=False)
    assert Proxies().of("https://api.github.com/zen") == Proxy()
    assert caplog.messages == ["HTTPS_PROXY is left out: expected an HTTP proxy, e.g. http://proxy.example:3128"]


def test_a_proxy_that_reads_requests_gets_its_credentials_in_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://mona:pw@proxy:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    assert Proxies().of("http://kubo.example:5001/api").plain == {"Proxy-Authorization": "Basic bW9uYTpwdw=="}


@pytest.mark.parametrize(
    ("netloc", "no_proxy", "direct"),
    [
        ("10.1.2.3:9000", "10.0.0.0/8", True),
        ("10.1.2.3:9000", "localhost, 10.1.2.0/24", True),
        ("10.1.2.3:9000", "10.1.2.3", True),
        ("11.1.2.3:9000", "10.0.0.0/8", False),
        ("[fd00::1]:9000", "fd00::/8", True),
        ("[::1]:9000", "::1", True),
        ("[::1]:9000", "10.0.0.0/8,fd00::/8", False),
        ("minio.internal", "10.0.0.0/8,.internal", True),
        ("minio.example", "10.0.0.0/8,nonsense/99,", False),
    ],
)
def test_an_address_may_be_left_out_by_its_range(
    monkeypatch: pytest.MonkeyPatch, netloc: str, no_proxy: str, direct: bool
) -> None:
    for name in ("http_proxy", "no_proxy"):
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", no_proxy)
    assert (Proxies().of(f"http://{netloc}/b").url is None) is direct
