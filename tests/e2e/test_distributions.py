"""p2pcache as it is published, installed as users do: where Debian's Python is, and no compiler."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from release.changelog import newest

ROOT = Path(__file__).parents[2]
VERSION = newest((ROOT / "CHANGELOG.md").read_text())[0]
PYTHON = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
SECONDS = 550
"""Building and installing wait for a package index."""
# Each suite is tried in one of the two ways: Python 3.13 and 3.14, the wheel and the lock.
BY_PIPX, BY_ACTION = "trixie", "forky"
# Registries' settings of this machine, which a container with the host's network needs as well.
PASSED = [f"--env={name}" for name in os.environ if name.startswith(("PIP_INDEX", "PIP_EXTRA", "HTTPS_PROXY"))]
INSTALLS = """
for tool in gcc cc make; do ! command -v $tool || exit 9; done
pipx install --quiet /dist/*.whl >&2
cd /tmp
p2pcache --version
p2pcache demo | tail -n 2
pipx runpip p2pcache show --files p2pcache | grep -c bundled/libp2p/
"""


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheel and source distribution, as a release makes them."""
    folder = tmp_path_factory.mktemp("dist")
    made = subprocess.run(
        [ROOT / "release/distributions", folder], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="session")
def debian() -> Callable[[str], str]:
    """The image of a suite; it is made by `.ci/run`."""

    def image(suite: str) -> str:
        name = f"p2pcache-debian:{suite}"
        if subprocess.run(["docker", "image", "inspect", name], capture_output=True, check=False).returncode:
            pytest.skip(f"left out: {name} is not made (.ci/debian-image {suite})")
        return name

    return image


def test_both_have_the_version_and_what_no_index_has(distributions: Path) -> None:
    assert sorted(path.name for path in distributions.iterdir()) == [
        f"p2pcache-{VERSION}-py3-none-any.whl", f"p2pcache-{VERSION}.tar.gz"
    ]  # fmt: skip
    with zipfile.ZipFile(distributions / f"p2pcache-{VERSION}-py3-none-any.whl") as wheel:
        inside = set(wheel.namelist())
        metadata = wheel.read(f"p2pcache-{VERSION}.dist-info/METADATA").decode()
    with tarfile.open(distributions / f"p2pcache-{VERSION}.tar.gz") as source:
        sources = {name.partition("/")[2] for name in source.getnames()}
    assert inside - {name for name in inside if ".dist-info/" in name and "bundled" not in name} <= sources
    assert {name.partition("/")[0] for name in inside} == {"p2pcache", f"p2pcache-{VERSION}.dist-info"}
    assert "p2pcache/swarm/bundled/libp2p-0.8.1.dist-info/licenses/LICENSE-MIT" in inside
    required = set(re.findall(r"^Requires-Dist: ([\w-]+)", metadata, re.MULTILINE))
    assert not required & {"libp2p", "fastecdsa", "coincurve", "miniupnpc", "grpcio"}


@pytest.mark.needs("docker")
@pytest.mark.timeout(SECONDS)
def test_pipx_installs_it_on_debian_without_a_compiler(
    distributions: Path, docker: Callable[..., str], debian: Callable[[str], str]
) -> None:
    mounted = ["--network", "host", *PASSED, "-v", f"{distributions}:/dist:ro"]
    said = docker("run", "--rm", *mounted, debian(BY_PIPX), "bash", "-ec", INSTALLS, seconds=SECONDS - 30)
    assert said.startswith(f"p2pcache, version {VERSION}\n")
    assert "GitHub charged it 0 calls" in said
    assert int(said.splitlines()[-1]) > 100


@pytest.mark.needs("docker")
@pytest.mark.timeout(SECONDS)
def test_the_action_starts_nodes_with_python_3_14(docker: Callable[..., str], debian: Callable[[str], str]) -> None:
    """The environment from the lock, as the Action's step makes it, and the demo's four nodes in it."""
    step = """
    python3 -c 'import sys; assert sys.version_info[:2] == (3, 14)'
    cp -r /src/p2pcache /src/action /src/*.lock /srv/ && cd /srv
    made=$(RUNNER_TOOL_CACHE=/tmp/tools python3 -c \
      'import os; from action.environment import environment; print(environment(os.environ))' | tail -n 1)
    $made -m p2pcache demo | tail -n 2
    """
    mounted = ["--network", "host", *PASSED, "-v", f"{ROOT}:/src:ro"]
    assert "GitHub charged it 0 calls" in docker(
        "run", "--rm", *mounted, debian(BY_ACTION), "bash", "-ec", step, seconds=SECONDS - 30
    )


@pytest.mark.timeout(SECONDS)
def test_the_lock_makes_an_environment_for_another_python_of_this_machine(tmp_path: Path) -> None:
    """3.12; this environment is one of 3.11 in most places, and newer ones are tried above."""
    pythons = sorted(Path.home().glob(".pyenv/versions/3.12.*/bin/python3"))
    pythons += [path for folder in os.environ["PATH"].split(":") if (path := Path(folder, "python3.12")).exists()]
    working = [path for path in pythons if subprocess.run([path, "-c", ""], capture_output=True).returncode == 0]
    if not working:
        return  # a machine has the versions that it has
    makes = "import os; from action.environment import environment; print(environment(os.environ))"
    made = subprocess.run(
        [working[0], "-c", makes], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False,
        env={**os.environ, "RUNNER_TOOL_CACHE": str(tmp_path)},
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    python = made.stdout.splitlines()[-1]
    demo = subprocess.run([python, "-m", "p2pcache", "demo"], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert "GitHub charged it 0 calls" in " ".join(demo.stdout.split()), demo.stderr
