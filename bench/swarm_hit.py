"""A peer hit compared with a plain HTTPS fetch of the same bytes in the same run.

Both in processes of their own over loopback: asyncio to libp2p to asyncio and back (hash verified), and aiohttp to
aiohttp over one kept TLS connection. Run it alone: ``python bench/swarm_hit.py [--times 100]``; exit status 1 if a
target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import os
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import _swarm as swarm
import _tools as tools
from aiohttp import ClientSession, TCPConnector, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

SIZES = {"1 KB": 1_000, "50 KB": 50_000, "1 MB": 1_000_000}
P50_MS, P50_RATIO = 8.0, 12.0


def certificate(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now)
    made = builder.not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256())
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(key.private_bytes(*pem) + made.public_bytes(serialization.Encoding.PEM))


def serve(pem: str, port: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    bodies = {str(size): os.urandom(size) for size in SIZES.values()}

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=bodies[request.path[1:]])

    app = web.Application()
    app.router.add_get("/{size}", answer)
    web.run_app(app, host="127.0.0.1", port=port, ssl_context=context, print=None)


async def https(port: int, times: int) -> dict[str, list[float]]:
    """Return the seconds of each fetch by size."""
    took: dict[str, list[float]] = {}
    connector = TCPConnector(ssl=False)  # still encrypted; the certificate is self-signed
    async with ClientSession(connector=connector) as session:
        for label, size in SIZES.items():
            for number in range(times + 5):
                began = time.perf_counter()
                async with session.get(f"https://127.0.0.1:{port}/{size}") as answer:
                    await answer.read()
                if number >= 5:
                    took.setdefault(label, []).append(time.perf_counter() - began)
    return took


def peers(times: int) -> dict[str, list[float]]:
    """Return the same for the swarm."""
    took = {}
    with swarm.fleet(2) as (_, (holder, asker)):
        for label, size in SIZES.items():
            name, digest, _ = holder.do("hold", size=size)
            asker.do("sees", name=name)
            got = asker.do("fetch", name=name, times=times + 5)[5:]
            if any(each != digest for each, _ in got):
                sys.exit(f"a fetch of {label} failed")
            took[label] = [seconds for _, seconds in got]
    return took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve[0], int(options.serve[1]))
        return 0
    with tempfile.TemporaryDirectory() as home:
        pem, port = Path(home) / "pem", tools.free_port()
        certificate(pem)
        server = subprocess.Popen([sys.executable, __file__, "--serve", str(pem), str(port)])
        try:
            tools.listening(port)
            plain = asyncio.run(https(port, options.times))
        finally:
            server.terminate()
            server.wait()
    over = peers(options.times)
    print(f"{'':8}{'peer p50':>10}{'p95':>8}{'HTTPS p50':>12}{'p95':>8}   milliseconds")
    for label in SIZES:
        figures = [1e3 * swarm.percentile(each[label], share) for each in (over, plain) for share in (0.5, 0.95)]
        print(f"{label:8}{figures[0]:10.2f}{figures[1]:8.2f}{figures[2]:12.2f}{figures[3]:8.2f}")
    p50 = 1e3 * swarm.percentile(over["50 KB"], 0.5)
    return tools.verdict(
        [
            ("peer hit, 50 KB, p50 in ms", p50, "<=", P50_MS),
            ("the same in HTTPS fetches", p50 / (1e3 * swarm.percentile(plain["50 KB"], 0.5)), "<=", P50_RATIO),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
