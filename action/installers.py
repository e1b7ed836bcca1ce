"""pip and uv: equal settings for both, and a probe before the build, so that a hopeless one fails fast."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from action.causes import SILENCE, explain

BUILD_SECONDS = 300.0
PROBE_SECONDS = 8.0
PROBE = "sniffio"
"""The package of the lock that the probe fetches: pure Python, 10 KB."""
# Settings of a developer's shell that would change the target folder or the selection of packages.
DROPPED = re.compile(
    r"PYTHON|VIRTUAL_ENV|PIP_(TARGET|PREFIX|ROOT|REQUIRE|CONSTRAINT|NO_BINARY|ONLY_BINARY|DRY_RUN|QUIET)"
    r"|UV_(PYTHON|SYSTEM_PYTHON|PROJECT|WORKING|CONSTRAINT|OVERRIDE|EXCLUDE_NEWER|NO_BINARY|NO_BUILD)"
)
# An index that stops answering during the build costs seconds; with the defaults of pip, a minute and a half.
BRIEF = {"PIP_TIMEOUT": "8", "PIP_RETRIES": "1", "UV_HTTP_TIMEOUT": "8", "UV_HTTP_RETRIES": "1"}
UV_INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_CONFIG_FILE")
# Where distributions keep the bundle (the list of Go's crypto/x509); pip before 24.2 reads its own bundle only.
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


class InstallError(Exception):
    """A command failed; the message names the cause and the remedy."""


def run(command: list[str], variables: Mapping[str, str], seconds: float = BUILD_SECONDS) -> str:
    """Run a command without input in the scratch folder and return its stdout.

    In the job's workspace, uv would read the settings of the project there.

    Raises:
        InstallError: the command cannot be started, fails, or exceeds `seconds`.
    """
    try:
        done = subprocess.run(  # noqa: S603 - commands of this package only
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=seconds, env=dict(variables), cwd=variables.get("TMPDIR"), check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise InstallError(SILENCE.format(seconds)) from None
    except OSError as error:
        raise InstallError(f"{Path(command[0]).name}: {explain(str(error))}") from None
    if done.returncode:
        raise InstallError(explain(done.stdout + done.stderr))
    return done.stdout


def pip_settings(pip: list[str], variables: Mapping[str, str]) -> dict[str, str]:
    """Return pip's effective settings by option: configuration files and variables, from ``pip config list``."""
    try:
        lines = run([*pip, "config", "list"], variables, PROBE_SECONDS).splitlines()
    except InstallError:
        return {}  # the probe that follows reports the reason
    found: dict[str, str] = {}
    # In ascending order of precedence.
    order = {"global": 0, "install": 1, ":env:": 2}
    matches = [m for line in lines if (m := re.fullmatch(r"(global|install|:env:)\.([\w-]+)=('.*'|\".*\")", line))]
    for match in sorted(matches, key=lambda m: order[m[1]]):
        found[match[2]] = str(ast.literal_eval(match[3]))
    return found


def base_variables(environ: Mapping[str, str], scratch: Path) -> dict[str, str]:
    """Return the environment of every command, without misleading variables; temporary files go to `scratch`."""
    kept = {**BRIEF, **{k: v for k, v in environ.items() if not DROPPED.match(k)}}
    # Variables take precedence over configuration files.
    fixed = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    return {**kept, **fixed, "UV_PYTHON_DOWNLOADS": "never", "TMPDIR": str(scratch)}


def with_certificates(variables: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with the system's CA bundle for pip and uv, unless the user configured another."""
    chosen = settings.get("cert") or variables.get("REQUESTS_CA_BUNDLE") or variables.get("CURL_CA_BUNDLE")
    system = next((path for path in BUNDLES if sys.platform == "linux" and Path(path).is_file()), "")
    # One variable under its older and its newer name.
    found = {"UV_NATIVE_TLS": "true", "UV_SYSTEM_CERTS": "true", "SSL_CERT_FILE": chosen, **variables}
    found["PIP_CERT"] = chosen or variables.get("SSL_CERT_FILE") or system
    return {name: value for name, value in found.items() if value}


def for_uv(variables: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with pip's settings translated for uv; uv's own settings take precedence."""
    derived = {
        "UV_INSECURE_HOST": settings.get("trusted-host", ""),
        "ALL_PROXY": settings.get("proxy", ""),
        "SSL_CLIENT_CERT": settings.get("client-cert", ""),
    }
    if not _has_indexes(variables):
        derived |= {
            "UV_DEFAULT_INDEX": settings.get("index-url", ""),
            "UV_INDEX": settings.get("extra-index-url", ""),
            "UV_FIND_LINKS": ",".join(settings.get("find-links", "").split()),
            # uv's nearest equivalent of `no-index`.
            "UV_OFFLINE": "true" if settings.get("no-index", "").lower() in ("1", "true", "yes", "on") else "",
            # pip's rule. The hashes of the lock identify each file, whatever index serves it.
            "UV_INDEX_STRATEGY": "unsafe-best-match",
        }
    return {**{name: " ".join(value.split()) for name, value in derived.items() if value}, **variables}


def _has_indexes(variables: Mapping[str, str]) -> bool:
    home = Path(variables.get("XDG_CONFIG_HOME") or Path(variables.get("HOME") or "/nonexistent") / ".config")
    files = (home / "uv/uv.toml", Path("/etc/uv/uv.toml"))
    return any(variables.get(name) for name in UV_INDEXES) or any(file.is_file() for file in files)


def probe_lines(lock: str) -> str:
    """Return the lock's lines of one small package."""
    found = re.search(rf"^{PROBE}==.*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL)
    return found[0] if found else ""


def probe_with_pip(
    pip: list[str], variables: Mapping[str, str], lines: Path, scratch: Path, seconds: float = PROBE_SECONDS
) -> None:
    """Fetch one small package along the whole path: settings, index, certificate, file host, hash.

    Raises:
        InstallError: it cannot be fetched.
    """
    # Without -vv pip does not print why an index cannot be read.
    run([*pip, "download", "-vv", "--no-cache-dir", "--no-deps", "--require-hashes", "--retries", "0",
         "--timeout", f"{seconds / 2:g}", "-d", str(scratch / "probe"), "-r", str(lines)],
        variables, seconds)  # fmt: skip


def probe_with_uv(
    uv: str, python: str, variables: Mapping[str, str], lines: Path, scratch: Path, seconds: float = PROBE_SECONDS
) -> None:
    """Do the same as `probe_with_pip`, with uv.

    Raises:
        InstallError: it cannot be fetched.
    """
    brief = {**variables, "UV_HTTP_RETRIES": "0", "UV_HTTP_TIMEOUT": f"{seconds / 2:g}"}
    run([uv, "pip", "install", "--no-cache", "--no-deps", "--require-hashes", "--python", python,
         "--target", str(scratch / "probe"), "-r", str(lines)], brief, seconds)  # fmt: skip
