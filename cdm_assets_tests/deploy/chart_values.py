"""A schema of the values that `deploy/kubernetes/values.yaml` sets, written after the chart's documentation.

Dagster's chart is in no package registry, so that its own `values.schema.json` cannot be had in a test. This names
every value we set and refuses every other, and makes of each Deployment the pod that the chart would, for Kubernetes'
schema to judge. That the chart knows these names, and renders them so, is not shown by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

KubernetesObject = Mapping[str, Any]
"""Something of Kubernetes' own, which its schema judges as part of a pod."""
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
Port = Annotated[int, Field(gt=0, lt=65536)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class Image(_Strict):
    repository: str
    tag: Annotated[str, Field(pattern=r"^\S+$")]
    pull_policy: Literal["Always", "IfNotPresent", "Never"]


class Reference(_Strict):
    name: Name


class Switch(_Strict):
    enabled: bool


class _Workload(_Strict):
    image: Image
    env: list[KubernetesObject] = []
    env_config_maps: list[Reference] = []
    env_secrets: list[Reference] = []
    volumes: list[KubernetesObject] = []
    volume_mounts: list[KubernetesObject] = []
    pod_security_context: KubernetesObject
    security_context: KubernetesObject
    resources: KubernetesObject
    readiness_probe: KubernetesObject | None = None

    def pod(self, name: str, command: list[str]) -> dict[str, Any]:
        """The pod that these values describe, with the password that the chart adds."""
        password = {"secretKeyRef": {"name": "cdm-dagster-storage", "key": "postgresql-password"}}
        container = {
            "name": name,
            "image": f"{self.image.repository}:{self.image.tag}",
            "imagePullPolicy": self.image.pull_policy,
            "command": command,
            "env": [{"name": "DAGSTER_PG_PASSWORD", "valueFrom": password}, *map(dict, self.env)],
            "envFrom": [
                *({"configMapRef": {"name": each.name}} for each in self.env_config_maps),
                *({"secretRef": {"name": each.name}} for each in self.env_secrets),
            ],
            "volumeMounts": list(map(dict, self.volume_mounts)),
            "securityContext": dict(self.security_context),
            "resources": dict(self.resources),
            **({"readinessProbe": dict(self.readiness_probe)} if self.readiness_probe else {}),
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "cdm"},
            "spec": {
                "containers": [container],
                "volumes": list(map(dict, self.volumes)),
                "securityContext": dict(self.pod_security_context),
            },
        }


class CodeServer(_Workload):
    name: Name
    dagster_api_grpc_args: list[str]
    port: Port
    include_config_in_launched_runs: Switch


class CodeServers(_Strict):
    enabled: Literal[True]
    enable_subchart: Literal[True]
    deployments: Annotated[list[CodeServer], Field(min_length=1)]


class Service(_Strict):
    type: Literal["ClusterIP"]
    """Nothing that opens a port to the world: the UI has no login."""
    port: Port


class Webserver(_Workload):
    replica_count: Annotated[int, Field(ge=1)]
    enable_read_only: Literal[True]
    service: Service


class Daemon(_Workload):
    enabled: Literal[True]


class Global(_Strict):
    postgresql_secret_name: Name
    service_account_name: Name
    dagster_home: str


class PostgreSQL(_Strict):
    """An existing server; a password would be a secret in the values."""

    enabled: Literal[False]
    postgresql_host: str
    postgresql_username: str
    postgresql_database: str


class RunLauncher(_Strict):
    type: Literal["K8sRunLauncher"]


class ComputeLogManager(_Strict):
    type: Literal["NoOpComputeLogManager"]


class Off(_Strict):
    enabled: Literal[False]
    internal: Literal[False] = False


class ServiceAccount(_Strict):
    create: bool


class ChartValues(_Strict):
    """The whole file."""

    global_: Annotated[Global, Field(alias="global")]
    postgresql: PostgreSQL
    generate_postgresql_password_secret: Literal[False]
    generate_celery_config_secret: Literal[False]
    code_servers: Annotated[CodeServers, Field(alias="dagster-user-deployments")]
    dagster_webserver: Webserver
    dagster_daemon: Daemon
    run_launcher: RunLauncher
    compute_log_manager: ComputeLogManager
    ingress: Off
    telemetry: Off
    rabbitmq: Off
    redis: Off
    flower: Off
    service_account: ServiceAccount
    rbac_enabled: bool

    def pods(self) -> Iterator[dict[str, Any]]:
        """A pod of every Deployment."""
        for server in self.code_servers.deployments:
            yield server.pod(
                server.name, ["dagster", "api", "grpc", "-p", str(server.port), *server.dagster_api_grpc_args]
            )
        yield self.dagster_webserver.pod("webserver", ["dagster-webserver"])
        yield self.dagster_webserver.pod("webserver-read-only", ["dagster-webserver", "--read-only"])
        yield self.dagster_daemon.pod("daemon", ["dagster-daemon", "run"])
