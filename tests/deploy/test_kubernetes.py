# SPDX-License-Identifier: Apache-2.0
"""deploy/kubernetes: names fit each other, the command line is one that the program takes, the probes ask what is answered."""

from __future__ import annotations

import argparse
import base64
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.cli import up
from stack.config import parse_listen
from stack.running import DRAIN_S
from tests.deploy.reverse_proxy import port_of
from tests.stack_process import ROOT, running_stack, sigbox

FOLDER = ROOT / "deploy" / "kubernetes"
OBJECTS: dict[str, Any] = {
    path.name: list(yaml.safe_load_all(path.read_text("utf-8"))) for path in sorted(FOLDER.glob("*.yaml"))
}
(KUSTOMIZATION,) = OBJECTS["kustomization.yaml"]
(DEPLOYMENT,) = OBJECTS["deployment.yaml"]
POD = DEPLOYMENT["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
LABELS = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
PROBES = {name: CONTAINER[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    up.add_arguments(parser)
    command, *arguments = CONTAINER["args"]
    assert command == "up"
    options, unknown = parser.parse_known_args(arguments)
    assert unknown == []
    return options


# --- whole ---------------------------------------------------------------------------------------------
def test_every_file_is_applied_but_the_one_for_other_clusters():
    assert set(KUSTOMIZATION["resources"]) == set(OBJECTS) - {"kustomization.yaml", "trust-root.yaml"}


def test_what_is_referred_to_is_there():
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == LABELS
    (service,), (policy,), (claim,) = (OBJECTS[f"{name}.yaml"] for name in ("service", "network-policy", "storage"))
    assert service["spec"]["selector"] == policy["spec"]["podSelector"]["matchLabels"] == LABELS
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    assert {mount["name"] for mount in CONTAINER["volumeMounts"]} == set(volumes)
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    (secret,), (config,) = KUSTOMIZATION["secretGenerator"], KUSTOMIZATION["configMapGenerator"]
    assert volumes["passphrase"]["secret"]["secretName"] == secret["name"]
    assert CONTAINER["envFrom"] == [{"configMapRef": {"name": config["name"]}}]
    assert CONTAINER["image"] == KUSTOMIZATION["images"][0]["name"]
    (namespace,) = OBJECTS["namespace.yaml"]
    assert namespace["metadata"]["name"] == KUSTOMIZATION["namespace"]


def test_ports_are_where_the_program_listens():
    (port,) = CONTAINER["ports"]
    assert parse_listen(options().listen) == ("0.0.0.0", port["containerPort"])  # noqa: S104 - the pod's own address
    (service,), (policy,) = OBJECTS["service.yaml"], OBJECTS["network-policy.yaml"]
    asked = [probe["port"] for probe in PROBES.values()]
    asked += [one["targetPort"] for one in service["spec"]["ports"]]
    asked += [one["port"] for rule in policy["spec"]["ingress"] for one in rule["ports"]]
    assert set(asked) == {port["name"]}
    annotations = DEPLOYMENT["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(port["containerPort"])


def test_its_files_are_on_what_is_mounted():
    given, mounts = options(), {mount["name"]: Path(mount["mountPath"]) for mount in CONTAINER["volumeMounts"]}
    assert given.data.parent == mounts["data"], "below the mount: its top has lost+found"
    assert given.passphrase_file.parent == mounts["passphrase"]
    (secret,) = KUSTOMIZATION["secretGenerator"]
    assert secret["files"] == [f"{given.passphrase_file.name}=passphrase"]
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert "/deploy/kubernetes/passphrase" in ignored


def test_one_process_owns_the_data_and_may_finish():
    spec = DEPLOYMENT["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    (claim,) = OBJECTS["storage.yaml"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert POD["terminationGracePeriodSeconds"] > DRAIN_S + 5
    assert POD["enableServiceLinks"] is False, "SIGBOX_PORT of a Service is no option of ours"


def test_the_pod_keeps_to_the_restricted_standard():
    """Pod Security Standards, "Restricted"; and the user is that of the image."""
    pod, container = POD["securityContext"], CONTAINER["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}
    assert container["readOnlyRootFilesystem"] is True
    assert POD["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(POD)
    (uid,) = re.findall(r"--uid (\d+) sigbox", (ROOT / "Dockerfile").read_text("utf-8"))
    assert {pod["runAsUser"], pod["fsGroup"]} == {int(uid)}
    assert pod["fsGroupChangePolicy"] == "OnRootMismatch"


# --- run -----------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_the_command_line_serves_and_the_probes_are_answered(tmp_path, monkeypatch):
    """With the mounts elsewhere, the secret with the mode that the kubelet gives it, and the variables of the config map."""
    (config,) = KUSTOMIZATION["configMapGenerator"]
    for literal in config["literals"]:
        monkeypatch.setenv(*literal.split("="))
    (secret,) = (volume["secret"] for volume in POD["volumes"] if "secret" in volume)
    passphrase = tmp_path / "sigbox-passphrase"
    passphrase.write_text("correct horse battery staple\n")
    passphrase.chmod(secret["defaultMode"])
    (tmp_path / "data").mkdir()
    given = options()
    elsewhere = {
        f"--listen={given.listen}": "--listen=127.0.0.1:0",
        f"--data={given.data}": f"--data={tmp_path}/data/sigbox",
        f"--passphrase-file={given.passphrase_file}": f"--passphrase-file={passphrase}",
    }
    assert set(elsewhere) <= set(CONTAINER["args"])

    with running_stack(tmp_path, *(elsewhere.get(one, one) for one in CONTAINER["args"][1:])) as stack:
        assert stack.url == "https://sigstore.corp.example"
        for probe in PROBES.values():
            url = f"http://127.0.0.1:{port_of(stack.process)}{probe['path']}"
            with urllib.request.urlopen(url, timeout=20) as answer:
                assert answer.status == 200
        shown = sigbox("env", "policy-controller", "--data", stack.data, SIGBOX_PASSPHRASE_FILE=str(passphrase))
        assert shown.returncode == 0, shown.stderr
        root = base64.b64encode(stack.tuf_root.read_bytes()).decode()
    (applied,) = re.findall(r"<<'EOF'\n(.*?)\nEOF", shown.stdout, re.DOTALL)
    text = (FOLDER / "trust-root.yaml").read_text("utf-8")
    assert "BASE64-OF-DATA/public/tuf/1.root.json" in text
    ours = list(yaml.safe_load_all(text.replace("BASE64-OF-DATA/public/tuf/1.root.json", root)))
    assert ours == list(yaml.safe_load_all(applied))
