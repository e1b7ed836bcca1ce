"""The files of deploy/: each names only flags, variables and ports that there are, and agrees with the others."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from p2pcache.declarations import FLAGS, HUB_PORT, SETTINGS

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy/systemd"
SERVICE = (UNITS / "p2pcache-hub.service").read_text("utf-8")
SOCKET = (UNITS / "p2pcache-hub.socket").read_text("utf-8")
MANIFEST = ROOT / "deploy/kubernetes/hub.yaml"
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
EXPOSURE = 15
"""In tenths, as `systemd-analyze security` takes it."""


def flags(command: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in command if word.startswith("--")}


def values(unit: str, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit, re.MULTILINE)


@pytest.fixture
def units(tmp_path: Path) -> list[str]:
    """The units, with a program that is installed here: `verify` looks for it."""
    python = shutil.which("python3")
    for name, text in (("p2pcache-hub.service", SERVICE), ("p2pcache-hub.socket", SOCKET)):
        (tmp_path / name).write_text(text.replace("/usr/local/bin/p2pcache", str(python)))
    return [str(tmp_path / "p2pcache-hub.service"), str(tmp_path / "p2pcache-hub.socket")]


@pytest.mark.needs("systemd-analyze")
def test_the_units_are_what_systemd_understands(units: list[str]) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), "a misspelt name is a line, and status 0"


@pytest.mark.needs("systemd-analyze")
def test_what_the_document_adds_to_the_unit_is_understood_and_declared(units: list[str]) -> None:
    (added,) = re.findall(r"```ini\n(.*?)```", (ROOT / "docs/deploying.md").read_text("utf-8"), re.DOTALL)
    folder = Path(f"{units[0]}.d")
    folder.mkdir()
    (folder / "override.conf").write_text("\n".join(line.strip() for line in added.splitlines()))
    done = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    declared = {variable for setting in SETTINGS for variable in setting.variables}
    assert {name for name in re.findall(r"\b([A-Z][A-Z_]+)=", added) if name.startswith("CACHE_")} <= declared


@pytest.mark.needs("systemd-analyze")
def test_a_misspelt_name_would_be_found(units: list[str]) -> None:
    Path(units[0]).write_text(Path(units[0]).read_text().replace("ProtectHome=", "ProtectHouse="))
    done = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=30, check=False
    )
    assert "ProtectHouse" in done.stderr


@pytest.mark.needs("systemd-analyze")
def test_the_service_is_hardened(units: list[str]) -> None:
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", units[0]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_the_units_agree_with_the_program() -> None:
    (command,) = values(SERVICE, "ExecStart")
    assert flags(command.split()) <= {setting.flag for setting in FLAGS}
    listen = command.split()[command.split().index("--listen") + 1]
    assert listen in values(SOCKET, "ListenStream"), "the same address with and without the socket"
    directory = command.split()[command.split().index("--dir") + 1]
    assert directory == f"/var/lib/{values(SERVICE, 'StateDirectory')[0]}"
    assert values(SERVICE, "ExecReload") == ["kill -HUP $MAINPID"]


def test_the_images_hub_agrees_with_the_program() -> None:
    (command,) = re.findall(r'^ENTRYPOINT (\["p2pcache", "serve".*\])$', DOCKERFILE, re.MULTILINE)
    assert flags(yaml.safe_load(command)) <= {setting.flag for setting in FLAGS}
    assert f"\nEXPOSE {HUB_PORT}\n" in DOCKERFILE


OBJECTS: list[dict[str, Any]] = list(yaml.safe_load_all(MANIFEST.read_text("utf-8"))) if MANIFEST.exists() else []


def one(kind: str) -> dict[str, Any]:
    (found,) = [each for each in OBJECTS if each["kind"] == kind]
    return found


def container() -> dict[str, Any]:
    (found,) = one("Deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def test_the_manifest_names_flags_and_variables_that_there_are() -> None:
    declared = {variable for setting in SETTINGS for variable in setting.variables}
    assert {entry["name"] for entry in container()["env"]} <= declared
    assert flags(container()["args"]) <= {setting.flag for setting in FLAGS}


def test_the_manifests_ports_agree() -> None:
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    assert ports["p2p"] == HUB_PORT
    environ = {entry["name"]: entry.get("value") for entry in container()["env"]}
    assert environ["CACHE_GATEWAY_HOST"] == f"0.0.0.0:{ports['control']}"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container()[probe]["httpGet"] == {"path": "/-/healthz", "port": "control"}
    assert {port["targetPort"] for port in one("Service")["spec"]["ports"]} == set(ports)
    policy = one("NetworkPolicy")["spec"]["ingress"]
    assert {port["port"] for rule in policy for port in rule["ports"]} == set(ports)


def test_the_manifests_selectors_and_references_meet() -> None:
    labels = one("Deployment")["spec"]["template"]["metadata"]["labels"]
    for selector in (
        one("Deployment")["spec"]["selector"]["matchLabels"],
        one("Service")["spec"]["selector"],
        one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    pod = one("Deployment")["spec"]["template"]["spec"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container()["volumeMounts"]} == volumes
    claims = {
        volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume
    }
    assert claims == {one("PersistentVolumeClaim")["metadata"]["name"]}


@pytest.mark.needs("kubernetes-validate")
def test_the_manifest_is_valid_by_kubernetes_own_schemas(tmp_path: Path) -> None:
    def errors(manifest: Path) -> list[str]:
        command = ["kubernetes-validate", "--strict", str(manifest)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        said = (done.stdout + done.stderr).splitlines()
        assert sum("passed" in line or "did not" in line for line in said) == len(OBJECTS), said
        return [line for line in said if "passed" not in line]

    assert errors(MANIFEST) == []
    misspelt = tmp_path / "misspelt.yaml"
    misspelt.write_text(MANIFEST.read_text("utf-8").replace("readOnlyRootFilesystem", "readOnlyRotFilesystem"))
    assert "readOnlyRotFilesystem" in " ".join(errors(misspelt))


def test_the_manifest_is_of_pod_securitys_restricted_profile() -> None:
    """Kubernetes' Pod Security Standards: what `restricted` asks for, and a read-only root file system."""
    pod, inside = one("Deployment")["spec"]["template"]["spec"]["securityContext"], container()["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert inside["allowPrivilegeEscalation"] is False
    assert inside["capabilities"] == {"drop": ["ALL"]}
    assert inside["readOnlyRootFilesystem"] is True
    assert {"requests", "limits"} <= container()["resources"].keys()
