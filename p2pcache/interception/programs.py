"""Which programs read which variable for certificates to trust, and whether a process names ours there.

Observed with 75 clients on Linux. A program that is not known here, or of which anything speaks against it, is passed
by: one that is shown a certificate it does not trust has failed, and what it did with it. So are all versions of a
program where some do not read the variable: bun did not in 1.3.2 (its issue 24581).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

Environ = Mapping[str, str]
Trusted = Callable[[Environ, frozenset[str]], bool]


class Program(StrEnum):
    """Kinds of programs that are told of a certificate by a variable."""

    NODE = "node"
    PYTHON = "python"
    CURL = "curl"
    GO = "go"
    RUBY = "ruby"
    UV = "uv"
    DENO = "deno"


@dataclass(frozen=True, slots=True)
class Process:
    """What can be seen of a process before it is answered.

    Attributes:
        name: of its executable, without folders.
        go: the Go linker made the executable.
        environ: as it was started; a program may have changed its own since.
        arguments: of its command line, the program's name included.
        loaded: names of shared libraries in it, as far as they were looked at.
        own_files: contents of configuration files that this kind of program reads, for curl.
    """

    name: str
    go: bool
    environ: Environ
    arguments: tuple[str, ...] = ()
    loaded: frozenset[str] = frozenset()
    own_files: tuple[str, ...] = ()

    @property
    def program(self) -> Program | None:
        """The kind of program, None where it is not known."""
        if self.go:
            return Program.GO
        return next((kind for kind, pattern in _NAMES.items() if pattern.fullmatch(self.name)), None)


_NAMES = {
    Program.NODE: re.compile(r"node(?:js)?\d*"),
    Program.PYTHON: re.compile(r"python[0-9.]*t?"),
    Program.CURL: re.compile(r"curl"),
    Program.RUBY: re.compile(r"ruby[0-9.]*"),
    Program.UV: re.compile(r"uv"),
    Program.DENO: re.compile(r"deno"),
}


def why_not(process: Process, ours: frozenset[str]) -> str:
    """Return why a process is not to be shown our certificate, empty where it trusts it.

    Args:
        process: what connects.
        ours: the paths by which our certificate is named, files and a folder.
    """
    program = process.program
    if program is None:
        return "a program that is not known to read a variable"
    if program in _EMBEDDERS and any("libcurl" in library for library in process.loaded):
        return "libcurl in it reads no variable"
    if program is Program.CURL and _has_own_trust(process):
        return "it names certificates of its own"
    if not _TRUSTS[program](process.environ, ours):
        return "its variables do not name our certificate"
    return ""


# curl(1): a long option may be cut short, short ones may stand together, and a file has them without dashes, too.
_OPTIONS = r"(?:expand-)?(?:ca|pi|cert-s|conf|crl|doh|ec)"
_OWN_TRUST = re.compile(rf"--{_OPTIONS}|-[A-Za-z0-9#:]*K")
_OWN_TRUST_IN_FILE = re.compile(rf"(?m)^\s*(?:-[A-Za-z0-9#:]*K|K\b|-{{0,2}}{_OPTIONS})")
_EMBEDDERS = (Program.PYTHON, Program.RUBY)


def _has_own_trust(process: Process) -> bool:
    options = any(map(_OWN_TRUST.match, process.arguments[1:]))
    return options or any(map(_OWN_TRUST_IN_FILE.search, process.own_files))


def _openssl(environ: Environ, ours: frozenset[str]) -> bool:
    """OpenSSL's, Go's and httpx's variables: httpx takes a file for all, the others add folders."""
    file, folders = environ.get("SSL_CERT_FILE", ""), environ.get("SSL_CERT_DIR", "")
    named = [file in ours] if file else []
    named += [any(folder in ours for folder in folders.split(":"))] if folders else []
    return bool(named) and all(named)


def _requests(environ: Environ, ours: frozenset[str]) -> bool:
    return (environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE", "")) in ours


def _python(environ: Environ, ours: frozenset[str]) -> bool:
    return _openssl(environ, ours) and _requests(environ, ours)  # which of its libraries asks is not to be seen


def _curl(environ: Environ, ours: frozenset[str]) -> bool:
    bundle = environ.get("CURL_CA_BUNDLE")
    return bundle in ours if bundle else _openssl(environ, ours)


def _node(environ: Environ, ours: frozenset[str]) -> bool:
    return environ.get("NODE_EXTRA_CA_CERTS", "") in ours


def _uv(environ: Environ, ours: frozenset[str]) -> bool:
    return environ.get("SSL_CERT_FILE", "") in ours and _openssl(environ, ours)  # most versions read no folders


def _deno(environ: Environ, ours: frozenset[str]) -> bool:
    return environ.get("DENO_CERT", "") in ours  # before 2.8 it does not read Node's variable


_TRUSTS: Mapping[Program, Trusted] = {
    Program.NODE: _node,
    Program.PYTHON: _python,
    Program.CURL: _curl,
    Program.GO: _openssl,
    Program.RUBY: _openssl,
    Program.UV: _uv,
    Program.DENO: _deno,
}
