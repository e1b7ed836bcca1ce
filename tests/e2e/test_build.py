"""An environment built, and not built, by the pip of this machine from an index on the loopback; seen from outside."""

from __future__ import annotations

import datetime
import hashlib
import io
import ipaddress
import os
import shutil
import ssl
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from action import installers

ROOT = Path(__file__).parents[2]
PYTHON = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
"""One with a pip, as a runner's has; a development environment made by uv has none."""
WHEEL = "sniffio-1.3.1-py3-none-any.whl"


def wheel() -> bytes:
    made = io.BytesIO()
    info = "sniffio-1.3.1.dist-info"
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(zipfile.ZipInfo("sniffio.py"), "FROM = 'the index'\n")
        archive.writestr(zipfile.ZipInfo(f"{info}/METADATA"), "Metadata-Version: 2.1\nName: sniffio\nVersion: 1.3.1\n")
        archive.writestr(
            zipfile.ZipInfo(f"{info}/WHEEL"), "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD"), "")
    return made.getvalue()


class Index(BaseHTTPRequestHandler):
    """One package; below /refuses none, below /empty no package, below /rebuilt another file."""

    def do_GET(self) -> None:
        if self.path.startswith("/refuses"):
            self.send_error(403)
        elif self.path.endswith("/sniffio/") and not self.path.startswith("/empty"):
            self.answer("text/html", f'<a href="{WHEEL}">{WHEEL}</a>'.encode())
        elif self.path.endswith(WHEEL):
            self.answer("application/zip", wheel() + (b"another" if self.path.startswith("/rebuilt") else b""))
        else:
            self.send_error(404)

    def answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def serve(context: ssl.SSLContext | None = None) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    if context:
        # The handshake belongs to the connection's thread: one that fails must not stop the server.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        setattr(server, "handle_error", lambda *_: None)  # noqa: B010 - a method, of this server alone
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def index() -> Iterator[str]:
    yield from serve()


@pytest.fixture
def company(tmp_path: Path) -> tuple[Path, Path]:
    """A company's authority, and a certificate of its own for 127.0.0.1 with the key."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("company", "index")]
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    files = tmp_path / "company.pem", tmp_path / "index.pem"
    for n, file in enumerate(files):
        made = (
            x509.CertificateBuilder(
                names[0],
                names[n],
                keys[n].public_key(),
                n + 1,
                now - datetime.timedelta(1),
                now + datetime.timedelta(1),
            )
            .add_extension(address, critical=False)
            .add_extension(x509.BasicConstraints(ca=n == 0, path_length=None), critical=True)
            .sign(keys[0], hashes.SHA256())
        )
        file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    kind = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    files[1].write_bytes(files[1].read_bytes() + keys[1].private_bytes(serialization.Encoding.PEM, *kind))
    return files


@pytest.fixture
def company_index(company: tuple[Path, Path]) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(company[1])
    yield from serve(context)


@pytest.fixture
def step(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The Action's step in a release of one package, on a machine whose pip knows what is given and nothing else."""
    release = tmp_path / "release"
    for package in ("action", "p2pcache"):
        shutil.copytree(ROOT / package, release / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "entrypoint.py", release)
    # How long pip itself takes on a busy machine is not what is tried here.
    patient = (release / "action/installers.py").read_text().replace("PROBE_SECONDS = 8.0", "PROBE_SECONDS = 40.0")
    assert "PROBE_SECONDS = 40.0" in patient
    (release / "action/installers.py").write_text(patient)
    digest = hashlib.sha256(wheel()).hexdigest()
    (release / "requirements.lock").write_text(f"sniffio==1.3.1 \\\n    --hash=sha256:{digest}\n")
    (release / "requirements-uv.lock").write_text(f"uv==0.0.0 \\\n    --hash=sha256:{digest}\n")
    (release / "p2pcache/runner/main.py").write_text("import sniffio\nprint('started with', sniffio.FROM)\n")
    home = tmp_path / "home"
    home.mkdir()

    def run(**variables: str) -> subprocess.CompletedProcess[str]:
        environ = {
            "PATH": "/usr/bin:/bin", "HOME": str(home), "NO_PROXY": "127.0.0.1", "PIP_CONFIG_FILE": os.devnull,
            "RUNNER_TOOL_CACHE": str(tmp_path / "tools"), **variables,
        }  # fmt: skip
        return subprocess.run(
            [PYTHON, "-I", release / "entrypoint.py"], env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=110, check=False,
        )  # fmt: skip

    return run


def test_a_mirror_of_pips_configuration_is_used(
    step: Callable[..., subprocess.CompletedProcess[str]], index: str, tmp_path: Path
) -> None:
    (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = {index}/simple\nuser = true\n")
    done = step(PIP_CONFIG_FILE=str(tmp_path / "pip.conf"))
    assert done.stdout.splitlines()[-1] == "started with the index", done.stdout
    (made,) = (tmp_path / "tools/p2pcache").iterdir()
    assert made.name.startswith("py3."), "nothing is left beside it"


def test_a_companys_authority_is_named_and_used_when_it_is_given(
    step: Callable[..., subprocess.CompletedProcess[str]], company_index: str, company: tuple[Path, Path]
) -> None:
    url = f"{company_index}/simple"
    said = step(PIP_INDEX_URL=url).stdout
    assert (
        "::warning title=p2pcache::the environment cannot be built: the package index's certificate is signed by an"
        in said
    )
    assert "set SSL_CERT_FILE" in said
    done = step(PIP_INDEX_URL=url, SSL_CERT_FILE=str(company[0]))
    assert done.stdout.splitlines()[-1] == "started with the index", done.stdout


@pytest.mark.parametrize(
    ("variables", "cause"),
    [
        ({"PIP_INDEX_URL": "{index}/refuses/simple"}, "refuses access: give it credentials in PIP_INDEX_URL"),
        ({"PIP_INDEX_URL": "{index}/empty/simple"}, "does not have all of p2pcache's packages"),
        ({"PIP_INDEX_URL": "{index}/rebuilt/simple"}, "other files than those p2pcache was tested with"),
        ({"PIP_INDEX_URL": "http://127.0.0.1:1/simple"}, "cannot be reached: set PIP_INDEX_URL"),
        ({"PIP_INDEX_URL": "https://nowhere.invalid/simple"}, "name cannot be resolved: set PIP_INDEX_URL"),
        ({"PIP_INDEX_URL": "https://nowhere.invalid/simple", "HTTPS_PROXY": "http://127.0.0.1:1"}, "check HTTPS_PROXY"),
        ({"PIP_INDEX_URL": "http://nowhere.invalid/simple"}, "is not one by https: use its https address, or name"),
        ({"PIP_INDEX_URL": "https://127.0.0.1:1/simple", "SSL_CERT_FILE": "/nonexistent"}, "a file that is not there"),
        ({"PIP_NO_INDEX": "1"}, "does not have all of p2pcache's packages"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_succeed_is_told_with_its_cause(
    step: Callable[..., subprocess.CompletedProcess[str]],
    index: str,
    tmp_path: Path,
    variables: dict[str, str],
    cause: str,
) -> None:
    done = step(**{name: value.format(index=index) for name, value in variables.items()}, INPUT_STRICT="true")
    last = done.stdout.splitlines()[-1]
    assert last.startswith("::error title=p2pcache::the environment cannot be built: ")
    assert cause in last
    assert done.returncode == 1
    assert list((tmp_path / "tools/p2pcache").iterdir()) == [], "nothing half made is left"


def test_an_index_that_never_answers_is_waited_for_briefly(tmp_path: Path) -> None:
    """Eight seconds in all, whatever pip's own patience: here two, and a pip that would wait for ever."""
    assert installers.PROBE_SECONDS <= 8
    pip = tmp_path / "pip"
    pip.write_text("#!/bin/sh\nexec sleep 600\n")
    pip.chmod(0o755)
    with pytest.raises(installers.InstallError, match="no answer within 2 s"):
        installers.probe_with_pip([str(pip)], dict(os.environ), tmp_path / "lines", tmp_path, 2.0)
    with pytest.raises(installers.InstallError, match="no answer within 2 s"):
        installers.probe_with_uv(str(pip), "python", dict(os.environ), tmp_path / "lines", tmp_path, 2.0)
