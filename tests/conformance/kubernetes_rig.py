"""The rig of the Kubernetes driver: a real API server, other hands on it, and a wire that can be cut."""

import base64
import itertools
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config, dynamic

from drivers.base import Driver
from drivers.kubernetes.client import Client
from drivers.kubernetes.credentials import by_kubeconfig
from drivers.kubernetes.driver import KubernetesDriver
from drivers.kubernetes.kinds import RESOURCES
from drivers.kubernetes.names import INSTALLATION, manager_of, namespace_of
from drivers.kubernetes.settings import Settings as ClusterSettings
from drivers.kubernetes.translate import KINDS
from drivers.kubernetes.watch import Patience
from model.names import Owner, PathRef, SecretRef, text
from model.objects import Site
from model.units import AnyUnit, Credentials, Environment, Mount, Process, Settings, Task, Volume
from tests.conformance.rig import Rig
from tests.drivers.postgres.relay import Relay

_NUMBERS = itertools.count(1)
_PASSWORD = "hunter2-very-secret"
_FOUND_BY_THEMSELVES = ("managedFields", "resourceVersion", "generation")


class Hands:
    """Somebody with an administrator's rights and the official client, who is not us."""

    def __init__(self, kubeconfig: Path) -> None:
        self._api = config.new_client_from_config(str(kubeconfig))
        self._dynamic = dynamic.DynamicClient(self._api)

    def close(self) -> None:
        self._api.close()

    def kind(self, name: str) -> Any:
        return self._dynamic.resources.get(api_version=RESOURCES[name].api_version, kind=name)

    def patch(self, kind: str, namespace: str | None, name: str, body: Mapping[str, Any]) -> None:
        self.kind(kind).patch(
            body=dict(body), name=name, namespace=namespace, content_type="application/merge-patch+json"
        )

    def remove(self, kind: str, namespace: str | None, name: str) -> None:
        self.kind(kind).delete(name=name, namespace=namespace)

    def make(self, kind: str, namespace: str | None, name: str, body: Mapping[str, Any]) -> None:
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        manifest = {"apiVersion": RESOURCES[kind].api_version, "kind": kind, "metadata": metadata, **body}
        self.kind(kind).create(body=manifest, namespace=namespace)

    def listed(self, kind: str, labels: str = "") -> list[dict[str, Any]]:
        return [one.to_dict() for one in self.kind(kind).get(label_selector=labels).items]

    def forget(self, namespace: str) -> None:
        try:
            self.remove("Namespace", None, namespace)
        except client.ApiException as error:
            if error.status not in (404, 409):
                raise


class KubernetesRig(Rig):
    """One deployment of an installation of its own, on a cluster that others use too."""

    secrets = (_PASSWORD, base64.b64encode(_PASSWORD.encode()).decode())
    deadline_seconds = 60.0

    def __init__(
        self, kubeconfig: Path, folder: Path, patience: Patience | None = None, timeout_seconds: float = 10.0
    ) -> None:
        self.patience = patience
        self.timeout_seconds = timeout_seconds
        number = f"{time.time_ns() % 10**9}-{next(_NUMBERS)}"
        self.hands = Hands(kubeconfig)
        self.installation = f"test-{number}"
        self.owner = Owner("deployment", "12")
        ports = {("scheduler", "health"): 8974}
        self.site = Site(
            installation=self.installation,
            cluster="east",
            owner=self.owner,
            release=f"demo-{number}",
            root="",
            ports=ports,
        )
        self.namespace = namespace_of(self.site.release)
        self.units = _units(SecretRef(str(self.owner), "password", 1))
        self.relay, self._kubeconfig, self._folder = _relay_to(kubeconfig), kubeconfig, folder

    async def start(self) -> None:
        """Let the relay listen, and make the driver that goes through it."""
        await self.relay.open()
        through = yaml.safe_load(self._kubeconfig.read_text())
        for cluster in through["clusters"]:
            scheme = cluster["cluster"]["server"].partition("://")[0]
            cluster["cluster"]["server"] = f"{scheme}://127.0.0.1:{self.relay.port}"
        (self._folder / "kubeconfig").write_text(yaml.safe_dump(through))
        self.driver = self.make_driver()

    def other(self) -> Owner:
        return Owner("deployment", "13")

    def make_driver(self) -> Driver:
        access = by_kubeconfig(str(self._folder / "kubeconfig"))
        return KubernetesDriver(
            client=Client(
                access,
                field_manager=manager_of(self.installation),
                timeout_seconds=self.timeout_seconds,
            ),
            cluster="east",
            installation=self.installation,
            settings=ClusterSettings(quota={"pods": "20", "requests.cpu": "8"}, container={"cpu": "100m"}),
            reveal=self.reveal,
            patience=self.patience,
        )

    async def reveal(self, reference: SecretRef) -> str:
        return _PASSWORD

    @property
    def vandals(self) -> Mapping[str, Callable[[], None]]:
        patch, remove, here = self.hands.patch, self.hands.remove, self.namespace
        container = {"name": "scheduler", "image": "evil:1"}
        return {
            "an edited file": lambda: patch("ConfigMap", here, "settings", {"data": {"airflow.cfg": "a = 2"}}),
            "a file more": lambda: patch("ConfigMap", here, "settings", {"data": {"more": "1"}}),
            "a file less": lambda: patch("ConfigMap", here, "settings", {"data": {"airflow.cfg": None}}),
            "another password": lambda: patch("Secret", here, "credentials", {"data": {"key": "eA=="}}),
            "a password more": lambda: patch("Secret", here, "credentials", {"data": {"more": "eA=="}}),
            "a label taken away": lambda: patch(
                "Service", here, "scheduler", {"metadata": {"labels": {INSTALLATION: None}}}
            ),
            "a mark taken away": lambda: patch(
                "Secret", here, "scheduler-env", {"metadata": {"annotations": None}}
            ),
            "another image": lambda: patch(
                "Deployment", here, "scheduler", {"spec": {"template": {"spec": {"containers": [container]}}}}
            ),
            "more replicas": lambda: patch("Deployment", here, "scheduler", {"spec": {"replicas": 2}}),
            "another port": lambda: patch(
                "Service", here, "scheduler", {"spec": {"ports": [{"name": "health", "port": 1}]}}
            ),
            "an open network": lambda: patch("NetworkPolicy", here, "inside-only", {"spec": {"ingress": [{}]}}),
            "a token for everybody": lambda: patch(
                "ServiceAccount", here, "airflow", {"automountServiceAccountToken": True}
            ),
            "a larger quota": lambda: patch(
                "ResourceQuota", here, "deployment", {"spec": {"hard": {"pods": "900"}}}
            ),
            "no bound for containers": lambda: remove("LimitRange", here, "deployment"),
            "all pods at once": lambda: patch(
                "PodDisruptionBudget", here, "scheduler", {"spec": {"maxUnavailable": 9}}
            ),
            "weaker pods": lambda: patch(
                "Namespace",
                None,
                here,
                {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}},
            ),
            "a removed Deployment": lambda: remove("Deployment", here, "scheduler"),
            "a removed Secret": lambda: remove("Secret", here, "credentials"),
        }

    def unreachable(self) -> AbstractContextManager[None]:
        return self.relay.cut()

    def plant(self) -> None:
        self.hands.make("Namespace", None, self.namespace, {})
        self.hands.make("ConfigMap", self.namespace, "settings", {"data": {"theirs": "1"}})

    def fingerprint(self) -> object:
        labels = f"{INSTALLATION}={self.installation}"
        ours = [one for kind in KINDS for one in self.hands.listed(kind, labels)]
        theirs = [one for one in self.hands.listed("ConfigMap") if one["metadata"]["namespace"] == self.namespace]
        return sorted(repr(_lasting(one)) for one in (*ours, *theirs))

    async def clean(self) -> None:
        await self.driver.close()
        await self.relay.close()
        self.hands.forget(self.namespace)
        self.hands.close()


def _units(password: SecretRef) -> tuple[AnyUnit, ...]:
    secret = {"KEY": text("x", password), "CFG": text(PathRef("settings", "airflow.cfg"))}
    mounts = (
        Mount(unit="settings", holds="settings", digest="d1"),
        Mount(unit="credentials", holds="credentials", digest="d2"),
        Mount(unit="logs"),
    )
    return (
        Environment(name="environment", component="environment", image="airflow:1"),
        Settings(name="settings", component="environment", files={"airflow.cfg": text("a = 1")}),
        Credentials(name="credentials", component="environment", files={"key": text("x", password)}),
        Volume(name="logs", component="environment", retain=True),
        Process(
            name="scheduler",
            component="scheduler",
            image="airflow:1",
            command=("run",),
            env=secret,
            ports={"health": 8974},
            mounts=mounts,
        ),
        Task(name="migrate", component="migrate", image="airflow:1", command=("do",), env=secret, key="1"),
    )


def _relay_to(kubeconfig: Path) -> Relay:
    server = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    host, _, port = server.partition("://")[2].partition(":")
    return Relay(host, int(port))


def _lasting(live: dict[str, Any]) -> dict[str, Any]:
    """An object without what the cluster's own controllers change of it while nobody writes."""
    metadata = {key: value for key, value in live["metadata"].items() if key not in _FOUND_BY_THEMSELVES}
    notes = {key: value for key, value in (metadata.get("annotations") or {}).items() if "armillary" in key}
    rest = {key: value for key, value in live.items() if key != "status"}
    return {**rest, "metadata": {**metadata, "annotations": notes}}
