"""What pip and uv are told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from action import installers
from action.installers import InstallError

PIP = """\
:env:.index-url='https://ci.example/simple'
global.cert='/etc/company.pem'
global.extra-index-url='https://a.example/simple\\nhttps://b.example/simple'
global.index-url='https://other.example/simple'
install.find-links='/wheels https://c.example/'
install.index-url="https://it's.example/simple"
freeze.timeout='10'
nonsense
"""


def fake_pip(tmp_path: Path, text: str) -> list[str]:
    script = tmp_path / "pip.py"
    script.write_text(f"print({text!r}, end='')")
    return [sys.executable, str(script)]


def test_pips_settings_are_those_it_lists_and_variables_count_most(tmp_path: Path) -> None:
    settings = installers.pip_settings(fake_pip(tmp_path, PIP), {})
    assert settings == {
        "cert": "/etc/company.pem", "extra-index-url": "https://a.example/simple\nhttps://b.example/simple",
        "index-url": "https://ci.example/simple", "find-links": "/wheels https://c.example/",
    }  # fmt: skip
    assert installers.pip_settings(["/nonexistent/pip"], {}) == {}


def test_uv_is_told_what_pip_was(tmp_path: Path) -> None:
    settings = {**installers.pip_settings(fake_pip(tmp_path, PIP), {}), "trusted-host": "a\nb", "no-index": "yes"}
    told = installers.for_uv({"HOME": str(tmp_path)}, settings)
    assert told == {
        "HOME": str(tmp_path), "UV_DEFAULT_INDEX": "https://ci.example/simple", "UV_INSECURE_HOST": "a b",
        "UV_INDEX": "https://a.example/simple https://b.example/simple", "UV_FIND_LINKS": "/wheels,https://c.example/",
        "UV_INDEX_STRATEGY": "unsafe-best-match", "UV_OFFLINE": "true",
    }  # fmt: skip


def test_uvs_own_settings_count_more(tmp_path: Path) -> None:
    settings = {"index-url": "https://pip.example", "proxy": "http://proxy"}
    own = {"UV_INDEX_URL": "https://uv.example", "ALL_PROXY": "http://mine"}
    assert installers.for_uv(own, settings) == own
    (tmp_path / "uv").mkdir()
    (tmp_path / "uv/uv.toml").touch()
    assert "UV_DEFAULT_INDEX" not in installers.for_uv({"XDG_CONFIG_HOME": str(tmp_path)}, settings)


@pytest.mark.parametrize(
    ("variables", "settings", "pip", "uv"),
    [
        ({}, {}, "/system.pem", None),
        ({"SSL_CERT_FILE": "/mine"}, {}, "/mine", "/mine"),
        ({"REQUESTS_CA_BUNDLE": "/mine"}, {}, "/mine", "/mine"),
        ({"SSL_CERT_FILE": "/a"}, {"cert": "/pips"}, "/pips", "/a"),
        ({}, {"cert": "/pips"}, "/pips", "/pips"),
    ],
)
def test_what_the_system_trusts_is_trusted(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], settings: dict[str, str], pip: str, uv: str | None
) -> None:
    monkeypatch.setattr(installers, "BUNDLES", ("/nonexistent", "/system.pem"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(Path, "is_file", lambda path: str(path) == "/system.pem")
    told = installers.with_certificates(variables, settings)
    assert (told["PIP_CERT"], told.get("SSL_CERT_FILE")) == (pip, uv)
    assert told["UV_SYSTEM_CERTS"] == "true"


def test_what_would_install_elsewhere_is_left_out(tmp_path: Path) -> None:
    stray = {
        "PYTHONPATH": "x",
        "PIP_TARGET": "x",
        "PIP_USER": "1",
        "UV_EXCLUDE_NEWER": "2020-01-01",
        "PIP_CONSTRAINT": "x",
    }
    kept = {"PIP_INDEX_URL": "https://ci.example", "UV_DEFAULT_INDEX": "https://ci.example", "PATH": "/bin"}
    told = installers.base_variables({**stray, **kept}, tmp_path)
    assert {name: told.get(name) for name in kept} == kept
    assert {name: told.get(name) for name in stray} == {**dict.fromkeys(stray), "PIP_USER": "0"}
    assert told["TMPDIR"] == str(tmp_path)


def test_a_command_that_cannot_run_or_says_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="nonexistent"):
        installers.run(["/nonexistent"], {})
    with pytest.raises(InstallError, match="says nothing"):
        installers.run(["/bin/sh", "-c", "exit 3"], {})
    with pytest.raises(InstallError, match=r"no answer within 0.2 s: set PIP_INDEX_URL"):
        installers.run(["/bin/sleep", "60"], {}, 0.2)
