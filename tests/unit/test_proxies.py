import pytest

from p2pcache.proxies import Proxies


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
    found, sent = Proxies().of("https://api.github.com/zen")
    assert (found and str(found).rstrip("/"), sent) == (proxy, headers)
