"""What is deployed: the manifests are what Kubernetes accepts, and both compose files name the same server."""

from pathlib import Path
from typing import Any, cast

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parents[1]
MANIFESTS = ROOT / "deploy" / "kubernetes"


def documents(path: Path) -> list[dict[str, Any]]:
    return [cast("dict[str, Any]", document) for document in yaml.safe_load_all(path.read_text())]


def manifests() -> list[dict[str, Any]]:
    return [document for path in sorted(MANIFESTS.glob("*.yaml")) for document in documents(path)]


@pytest.mark.parametrize("manifest", manifests(), ids=lambda manifest: manifest["kind"])
def test_each_manifest_is_what_its_schema_says(manifest: dict[str, Any]) -> None:
    if manifest["kind"] == "Kustomization":  # not part of Kubernetes' own schema
        assert set(manifest) == {"apiVersion", "kind", "namespace", "resources", "images"}
        assert all((MANIFESTS / name).is_file() for name in manifest["resources"])
        return
    kubernetes_validate.validate(manifest, "1.30", strict=True)


def test_a_manifest_with_a_mistake_is_not() -> None:
    broken = next(manifest for manifest in manifests() if manifest["kind"] == "StatefulSet")
    broken["spec"]["template"]["spec"]["hostNetwork"] = "yes"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.30", strict=True)


def test_the_servers_of_the_fleet_share_a_registry_and_have_names_and_addresses_of_their_own() -> None:
    (fleet,) = documents(ROOT / "compose.fleet.yaml")
    servers = {name: service for name, service in fleet["services"].items() if name != "database"}
    assert len(servers) == 2
    environments = [server["environment"] for server in servers.values()]
    assert len({environment["TANDEM_REGISTRY__URL"] for environment in environments}) == 1
    for key in ("TANDEM_SERVER__NAME", "TANDEM_SERVER__PUBLIC"):
        assert len({environment[key] for environment in environments}) == 2
    assert all(server["read_only"] and server["cap_drop"] == ["ALL"] for server in servers.values())
