"""install.sh as users run it: on a host as an ordinary user, in an image as root, and with what goes wrong."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from p2pcache import __version__
from tests.e2e.conftest import await_

pytestmark = pytest.mark.timeout(400)
USER = 1001
SECONDS = 300
OLD_PYTHON = '#!/bin/sh\n[ "$1" = -V ] && echo "Python 3.8.20" && exit\nexit 1\n'
IMAGE = "python:3.11-slim-bookworm"


class Host:
    """A host on which an ordinary user installs; the path begins with a Python that is too old."""

    def __init__(self, checkout: Path, home: Path) -> None:
        self.checkout, self.home = checkout, home
        old = home / "old"
        old.mkdir(parents=True)
        for name in ("python", "python3", "python3.13"):
            (old / name).write_text(OLD_PYTHON)
            (old / name).chmod(0o755)
        kept = {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "UV_", "SSL_", "LANG"))}
        self.environ = {**kept, "HOME": str(home), "PATH": f"{old}:/usr/local/bin:/usr/bin:/bin"}
        os.chown(home, USER, USER)

    @property
    def command(self) -> Path:
        return self.home / ".local/bin/p2pcache"

    def start(self, *command: str | Path, **variables: str) -> subprocess.Popen[str]:
        become = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        return subprocess.Popen(
            [*become, *command], cwd="/", env={**self.environ, **variables}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self, *command: str | Path, **variables: str) -> tuple[int, str]:
        with self.start(*command, **variables) as process:
            said, _ = process.communicate(timeout=SECONDS)
        return process.returncode, said

    def install(self, *flags: str, **variables: str) -> tuple[int, str]:
        return self.run(self.checkout / "install.sh", "--no-doctor", *flags, **variables)


@pytest.fixture(scope="module")
def host(checkout: Path) -> Iterator[Host]:
    # Not below pytest's own folder, which it closes to other users whenever a session starts.
    with tempfile.TemporaryDirectory(prefix="p2pcache-host-") as folder:
        Path(folder).chmod(0o755)
        mine = Path(folder, "checkout")
        shutil.copytree(checkout, mine, ignore=shutil.ignore_patterns(".git", "tests"))
        yield Host(mine, Path(folder, "user"))


@pytest.fixture(scope="module")
def installed(host: Host) -> str:
    """What the first run said."""
    code, said = host.install()
    assert code == 0, said
    return said


@pytest.mark.needs("root", "setpriv")
def test_a_user_with_an_old_python_first_has_the_command_and_a_second_run_changes_nothing(
    host: Host, installed: str
) -> None:
    assert f"p2pcache {__version__} is installed: {host.command}" in installed
    assert f'export PATH="{host.command.parent}:$PATH"' in installed
    code, said = host.run(host.command, "keygen")
    assert (code, len(said.strip())) == (0, 64), said
    assert host.install() == (
        0,
        f"p2pcache {__version__} is installed already ({host.command}): nothing to do\n",
    )
    assert not [path for path in host.checkout.rglob("*") if path.lstat().st_uid == USER], "the checkout is not its own"


@pytest.mark.needs("root", "setpriv")
def test_what_is_killed_half_way_leaves_the_former_installation_and_no_rest(
    host: Host, installed: str, silent_index: str
) -> None:
    index = {"PIP_INDEX_URL": silent_index, "UV_DEFAULT_INDEX": silent_index, "PIP_FIND_LINKS": ""}
    process = host.start(host.checkout / "install.sh", "--extras", "s3", "--no-doctor", **index)
    releases = host.home / ".local/share/p2pcache/releases"
    await_(lambda: [*releases.glob(".*")], 60)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=20)
    assert host.run(host.command, "--version")[0] == 0
    code, said = host.install()
    assert (code, "nothing to do" in said) == (0, True), said
    assert len([*releases.iterdir()]) == 1


@pytest.mark.needs("root", "setpriv")
def test_an_index_that_cannot_be_reached_is_named_and_the_former_installation_stays(host: Host, installed: str) -> None:
    nowhere = "http://127.0.0.1:9/simple"
    index = {"PIP_INDEX_URL": nowhere, "UV_DEFAULT_INDEX": nowhere, "PIP_FIND_LINKS": ""}
    code, said = host.install("--extras", "s3", **index)
    assert code == 1
    assert "the package index cannot be reached" in said
    assert "The former installation stays in use." in said
    assert host.run(host.command, "--version")[0] == 0


@pytest.mark.needs("root", "setpriv")
def test_uninstalled_it_leaves_the_home_as_it_was(host: Host, installed: str) -> None:
    code, said = host.install("--uninstall")
    assert code == 0, said
    left = [path for path in (host.home / ".local").rglob("*") if not path.is_dir() or path.name == "p2pcache"]
    assert left == []


def test_without_a_python_it_says_what_to_do(checkout: Path, tmp_path: Path) -> None:
    for name in ("dirname", "id", "sed"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    text = (checkout / "install.sh").read_text()
    there = checkout / "install-without-python.sh"  # beside release/, and looking nowhere but on the path
    there.write_text(
        text.replace("/usr/bin/python3", "/nonexistent/python3").replace("/usr/local/bin/p", "/nonexistent/p")
    )
    try:
        done = subprocess.run(
            ["/bin/sh", there], env={"PATH": str(tmp_path), "HOME": str(tmp_path)}, capture_output=True, text=True
        )
    finally:
        there.unlink()
    assert done.returncode == 1
    assert re.search(r"CPython 3\.11 to 3\.\d+ is needed", done.stderr)
    assert "apt install python3" in done.stderr


@pytest.fixture
def silent_index() -> Iterator[str]:
    """A package index that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/simple"


# What systemd does with the unit, as far as it matters here: its folder, its command, and a wait until it is ready.
SYSTEMCTL = """#!/bin/sh
echo "systemctl $*"
if [ "$*" = "restart p2pcache-hub.service" ]; then
  mkdir -p -m 700 /var/lib/p2pcache
  setsid $(sed -n 's/^ExecStart=//p' /etc/systemd/system/p2pcache-hub.service) </dev/null >/tmp/hub.log 2>&1 &
  timeout 60 sh -c 'until grep -q "gh secret set" /tmp/hub.log; do sleep 0.2; done' || { cat /tmp/hub.log; exit 1; }
fi
"""
IN_A_CONTAINER = """
/checkout/examples/self-hosted/setup.sh
echo "== again"
/checkout/examples/self-hosted/setup.sh
export CACHE_SECRET=$(cat /var/lib/p2pcache/secret) CACHE_BOOTSTRAP_PEERS=/ip4/127.0.0.1/tcp/9100
p2pcache run -- sh -c 'timeout 30 sh -c "until p2pcache peers | grep hub; do sleep 0.2; done"'
/checkout/install.sh --uninstall
[ -e /usr/local/bin/p2pcache ] || [ -e /opt/p2pcache ] || echo gone
"""


@pytest.mark.needs("docker")
def test_a_host_of_runners_in_one_command_twice(
    checkout: Path, tmp_path: Path, docker: Callable[..., str], network_flags: list[str]
) -> None:
    """examples/self-hosted/setup.sh, as root in Debian: the program, the units, a hub that members join."""
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(SYSTEMCTL)
    systemctl.chmod(0o755)
    mounted = ["-v", f"{checkout}:/checkout:ro", "-v", f"{systemctl}:/usr/local/bin/systemctl:ro"]
    said = docker("run", "--rm", *network_flags, *mounted, IMAGE, "sh", "-euc", IN_A_CONTAINER, seconds=SECONDS)
    first, _, second = said.partition("== again")
    assert "is installed: /usr/local/bin/p2pcache" in first
    assert "systemctl enable p2pcache-hub.service" in first
    assert "the hub runs" in first
    assert "nothing to do" in second
    assert "the hub is up to date" in second
    assert "systemctl" not in second, "nothing changed, so nothing is restarted"
    assert said.splitlines()[-1] == "gone"


@pytest.fixture
def network_flags() -> list[str]:
    """What a container needs to reach the package index that this machine uses."""
    given = {name: os.environ[name] for name in ("PIP_INDEX_URL", "HTTPS_PROXY", "NO_PROXY") if name in os.environ}
    return [flag for name in given for flag in ("-e", name)]
