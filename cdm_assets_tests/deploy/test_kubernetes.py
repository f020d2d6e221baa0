"""`deploy/kubernetes`, judged without a cluster; and a run worker, launched into a cluster that only listens."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import dagster
import dagster_k8s.launcher
import kubernetes
import kubernetes_validate
import pytest
import sqlalchemy as sa
import typer
import yaml
from dagster import DagsterInstance, DagsterInvalidConfigError
from dagster._core.code_pointer import CodePointer
from dagster._core.instance.ref import InstanceRef
from dagster._core.launcher import LaunchRunContext
from dagster._core.origin import DEFAULT_DAGSTER_ENTRY_POINT, JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster_k8s import K8sRunLauncher
from pydantic import ValidationError

from cdm_assets.cli import app
from cdm_assets.operations.variables import KNOWN
from cdm_assets.orchestration.instance import ensure_instance, max_concurrent_runs
from cdm_assets.orchestration.postgres_event_log import BatchedPostgresEventLogStorage
from cdm_assets.settings import Settings
from cdm_assets_tests.deploy.chart_values import ChartValues
from cdm_assets_tests.engines.postgres_server import PostgresServer
from cdm_assets_tests.orchestration.conftest import SMALL_DEFINITIONS
from cdm_assets_tests.orchestration.small_definitions import defs

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
KUBERNETES_VERSION = "1.34"
# Python, Dagster and the drivers beside the DuckDB that reads landing files (benchmarks/README.md).
BESIDE_DUCKDB_MB = 500

Change = Callable[[Any], object]


def _documents(name: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all((FOLDER / name).read_text()) if document]


def _manifests() -> list[dict[str, Any]]:
    names = ("settings.yaml", "network-policy.yaml", "setup-job.yaml")
    return [document for name in names for document in _documents(name)]


def _named(kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in _manifests() if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def _validate(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)


def _values() -> dict[str, Any]:
    (values,) = _documents("values.yaml")
    return deepcopy(values)


@pytest.mark.parametrize("manifest", _manifests(), ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_a_manifest_is_valid(manifest: dict[str, Any]) -> None:
    _validate(manifest)
    assert manifest["metadata"]["namespace"] == "cdm"


def _container_of(job: Any) -> Any:
    return job["spec"]["template"]["spec"]["containers"][0]


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [
        ("Job", "cdm-setup", lambda job: job["spec"].update(backofLimit=0)),
        ("Job", "cdm-setup", lambda job: _container_of(job)["resources"].update(limits=["3Gi"])),
        ("Job", "cdm-setup", lambda job: _container_of(job)["env"].append({"value": "without a name"})),
        ("NetworkPolicy", "viewers", lambda policy: policy["spec"]["ingress"][0].update(form=[])),
        ("ConfigMap", "cdm-settings", lambda settings: settings["data"].update(CDM_THREADS=2)),
        ("PersistentVolumeClaim", "cdm-home", lambda claim: claim["spec"].update(accessModes="ReadWriteMany")),
        ("Role", "cdm-dagster", lambda role: role["rules"][0].pop("verbs")),
    ],
)
def test_a_broken_manifest_is_refused(kind: str, name: str, change: Change) -> None:
    manifest = deepcopy(_named(kind, name))
    change(manifest)
    with pytest.raises(kubernetes_validate.ValidationError):
        _validate(manifest)


def test_the_values_are_as_declared_and_their_pods_valid() -> None:
    pods = list(ChartValues.model_validate(_values()).pods())
    assert [pod["metadata"]["name"] for pod in pods] == ["cdm-assets", "webserver", "webserver-read-only", "daemon"]
    for pod in pods:
        _validate(pod)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values["dagsterWebserver"]["service"].update(type="LoadBalancer"), "ClusterIP"),
        (lambda values: values["dagsterWebserver"].update(enableReadOnly=False), "enableReadOnly"),
        (lambda values: values["dagsterWebserver"].update(replicas=2), "replicas"),
        (lambda values: values["ingress"].update(enabled=True), "ingress"),
        (lambda values: values["postgresql"].update(postgresqlPassword="hunter2"), "postgresqlPassword"),
        (lambda values: values["runLauncher"].update(type="CeleryK8sRunLauncher"), "K8sRunLauncher"),
        (lambda values: values["dagster-user-deployments"].update(deployments=[]), "deployments"),
        (lambda values: values["dagster-user-deployments"]["deployments"][0].update(port="3030"), "port"),
        (lambda values: values["dagster-user-deployments"]["deployments"][0].update(name="cdm_assets"), "name"),
        (lambda values: values.pop("dagsterDaemon"), "dagsterDaemon"),
    ],
)
def test_broken_values_are_refused(change: Change, message: str) -> None:
    values = _values()
    change(values)
    with pytest.raises(ValidationError, match=message):
        ChartValues.model_validate(values)


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values["dagsterDaemon"]["resources"].update(limits="2Gi"),
        lambda values: values["dagsterWebserver"]["volumes"][0].update(configMap="cdm-instance"),
        lambda values: values["dagsterWebserver"]["env"].append({"name": "X", "valeu": "x"}),
        lambda values: values["dagsterWebserver"]["readinessProbe"].update(periodSecond=5),
    ],
)
def test_what_kubernetes_does_not_know_in_the_values_is_refused(change: Change) -> None:
    values = _values()
    change(values)
    pods = list(ChartValues.model_validate(values).pods())

    def validate_all() -> None:
        for pod in pods:
            _validate(pod)

    with pytest.raises(kubernetes_validate.ValidationError):
        validate_all()


# The instance


def _instance_configuration() -> dict[str, Any]:
    (configuration,) = _documents("dagster.yaml")
    return deepcopy(configuration)


def _reference(folder: Path, configuration: Mapping[str, Any]) -> InstanceRef:
    (folder / "dagster.yaml").write_text(yaml.safe_dump(configuration))
    return InstanceRef.from_dir(str(folder))


@pytest.mark.parametrize(
    "change",
    [
        lambda instance: instance.update(run_monitor={"enabled": True}),
        lambda instance: instance["concurrency"]["runs"].update(max_concurrent_runs="one"),
        lambda instance: instance["retention"]["schedule"].update(purge_after_days={"ever": 1}),
        lambda instance: instance["run_retries"].update(max_retry=1),
    ],
)
def test_a_broken_instance_file_is_refused(change: Change, tmp_path: Path) -> None:
    configuration = _instance_configuration()
    change(configuration)
    with pytest.raises(DagsterInvalidConfigError):
        _reference(tmp_path, configuration)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda launcher: launcher.update(job_images="x"), "job_images"),
        (lambda launcher: launcher.pop("instance_config_map"), "instance_config_map"),
        (lambda launcher: launcher.update(env_secrets="cdm-secrets"), "env_secrets"),
        (lambda launcher: launcher["volumes"][0].pop("name"), "name"),
        (lambda launcher: launcher["resources"].update(limit={"memory": "3Gi"}), "limit"),
    ],
)
def test_a_broken_launcher_is_refused(change: Change, message: str, tmp_path: Path) -> None:
    configuration = _instance_configuration()
    change(configuration["run_launcher"]["config"])
    data = _reference(tmp_path, configuration).run_launcher_data
    assert data is not None
    with pytest.raises(DagsterInvalidConfigError, match=message):
        data.rehydrate(as_type=K8sRunLauncher)


def test_the_instance_is_the_one_of_a_single_machine_but_for_storage_launcher_and_start(tmp_path: Path) -> None:
    ensure_instance(tmp_path)
    here, there = yaml.safe_load((tmp_path / "dagster.yaml").read_text()), _instance_configuration()
    there["run_monitoring"]["start_timeout_seconds"] = here["run_monitoring"]["start_timeout_seconds"]
    others = {"event_log_storage", "run_storage", "schedule_storage", "run_launcher"}
    assert {name: part for name, part in there.items() if name not in others} == {
        name: part for name, part in here.items() if name not in others
    }


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the launcher asks the cluster to start; there is none."""
    asked: list[dict[str, Any]] = []

    class Cluster:
        @classmethod
        def production_client(cls, **_: object) -> "Cluster":
            return cls()

        def create_namespaced_job_with_retries(self, body: Any, namespace: str) -> None:
            asked.append(kubernetes.client.ApiClient().sanitize_for_serialization(body) | {"namespace": namespace})

    monkeypatch.setattr(dagster_k8s.launcher, "load_kubernetes_config", lambda **_: None)
    monkeypatch.setattr(dagster_k8s.launcher, "DagsterKubernetesClient", Cluster)
    return asked


@pytest.fixture
def instance(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: list[dict[str, Any]]
) -> Iterator[DagsterInstance]:
    """The instance of the file, with a PostgreSQL server of the tests behind it."""
    url: sa.URL = postgres.new_database()
    monkeypatch.setenv("DAGSTER_PG_HOST", str(url.host))
    monkeypatch.setenv("DAGSTER_PG_USERNAME", str(url.username))
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "not asked for")
    monkeypatch.setenv("DAGSTER_PG_DB", str(url.database))
    configuration = _instance_configuration()
    for storage in ("event_log_storage", "run_storage", "schedule_storage"):
        configuration[storage]["config"]["postgres_db"]["port"] = url.port
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(configuration))
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def _launched(
    instance: DagsterInstance, jobs: list[dict[str, Any]], kubernetes_config: Mapping[str, Any]
) -> dict[str, Any]:
    origin = JobPythonOrigin(
        "everything",
        RepositoryPythonOrigin(
            executable_path="python",
            code_pointer=CodePointer.from_module(SMALL_DEFINITIONS, "defs", working_directory=None),
            container_image="registry.example/cdm-assets:1",
            entry_point=DEFAULT_DAGSTER_ENTRY_POINT,
        ),
    )
    tags = {"dagster-k8s/config": json.dumps(kubernetes_config)}
    run = instance.create_run_for_job(defs.resolve_job_def("everything"), tags=tags, job_code_origin=origin)
    instance.run_launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=None))
    return jobs[-1]


def test_the_instance_opens_and_launches_a_valid_run_worker(
    instance: DagsterInstance, jobs: list[dict[str, Any]]
) -> None:
    assert isinstance(instance.event_log_storage, BatchedPostgresEventLogStorage)
    assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
    job = _launched(instance, jobs, {})
    assert job.pop("namespace") == "cdm"
    _validate(job)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "registry.example/cdm-assets:1"
    assert container["resources"] == {"requests": {"cpu": "1", "memory": "2560Mi"}, "limits": {"memory": "3Gi"}}
    assert {"secretRef": {"name": "cdm-secrets"}} in container["envFrom"]
    assert {"configMapRef": {"name": "cdm-settings"}} in container["envFrom"]
    environment = {each["name"]: each for each in container["env"]}
    assert environment["DAGSTER_HOME"]["value"] == "/opt/cdm/dagster_home"
    assert environment["DAGSTER_PG_PASSWORD"]["valueFrom"]["secretKeyRef"]["name"] == "cdm-dagster-storage"
    assert "not asked for" not in str(job), "the password travels as a reference"
    assert pod["securityContext"] == {"runAsNonRoot": True, "runAsUser": 10001, "fsGroup": 10001}
    assert pod["automountServiceAccountToken"] is False


def test_a_run_may_ask_for_more_memory_and_for_nothing_else(
    instance: DagsterInstance, jobs: list[dict[str, Any]]
) -> None:
    larger = {"container_config": {"resources": {"limits": {"memory": "12Gi"}}}}
    job = _launched(instance, jobs, larger)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["memory"] == "12Gi"
    with pytest.raises(Exception, match="volume_mounts"):
        _launched(instance, jobs, {"container_config": {"volume_mounts": []}})


# One thing said in several files


def test_pods_have_room_for_duckdb_and_python() -> None:
    settings = _settings()
    launcher = _instance_configuration()["run_launcher"]["config"]
    number, unit = re.fullmatch(r"([0-9.]+) ?([KMG])B", settings.memory_limit).groups()  # type: ignore[union-attr]
    duckdb_mb = float(number) * {"K": 1e-3, "M": 1, "G": 1000}[unit]
    pods = [
        _container_of(_named("Job", "cdm-setup"))["resources"],
        launcher["resources"],
        _values()["dagster-user-deployments"]["deployments"][0]["resources"],
    ]
    for resources in pods:
        assert duckdb_mb + BESIDE_DUCKDB_MB <= _mb(resources["limits"]["memory"])
    assert duckdb_mb + BESIDE_DUCKDB_MB <= _mb(launcher["resources"]["requests"]["memory"])


def _mb(quantity: str) -> float:
    number, unit = re.fullmatch(r"(\d+)([MG]i)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * {"Mi": 1.048576, "Gi": 1073.741824}[unit]


def _settings() -> Settings:
    return Settings.from_environment(_named("ConfigMap", "cdm-settings")["data"] | {"CDM_SNOWFLAKE_PRIVATE_KEY": ""})


def test_the_settings_can_be_read_and_allow_the_number_of_runs() -> None:
    settings = _settings()
    assert settings.engine == "snowflake"
    assert settings.landing_root.startswith("s3://")
    configured = _instance_configuration()["concurrency"]["runs"]["max_concurrent_runs"]
    assert configured == max_concurrent_runs(settings.engine, settings.max_concurrent_runs)


def test_the_platform_knows_every_setting_and_the_command_of_the_setup() -> None:
    named = set(_named("ConfigMap", "cdm-settings")["data"])
    named |= set(re.findall(r"CDM_\w+", (FOLDER.parent / "Dockerfile").read_text()))
    assert {name for name in named if name.startswith("CDM_")} <= set(KNOWN)
    program, name, *options = _container_of(_named("Job", "cdm-setup"))["command"]
    assert program == "cdm"
    typer.main.get_command(app).commands[name].make_context(name, options)  # type: ignore[attr-defined]


def test_every_name_that_a_pod_refers_to_is_declared_or_a_secret_that_the_site_makes() -> None:
    values, launcher = ChartValues.model_validate(_values()), _instance_configuration()["run_launcher"]["config"]
    declared = {(each["kind"], each["metadata"]["name"]) for each in _manifests()}
    text = (FOLDER / "settings.yaml").read_text()
    made_by_the_site = {
        ("Secret" if kind.startswith("secret") else "ConfigMap", name)
        for kind, name in re.findall(r"^# .*create (secret generic|configmap) ([\w-]+) ", text, re.MULTILINE)
    }
    assert made_by_the_site == {
        ("Secret", "cdm-secrets"),
        ("Secret", "cdm-dagster-storage"),
        ("Secret", "cdm-snowflake-key"),
        ("ConfigMap", "cdm-instance"),
    }
    referred = {
        ("ServiceAccount", launcher["service_account_name"]),
        ("ServiceAccount", values.global_.service_account_name),
    }
    referred |= {("ConfigMap", name) for name in (launcher["instance_config_map"], *launcher["env_config_maps"])}
    referred |= {("Secret", name) for name in (launcher["postgres_password_secret"], *launcher["env_secrets"])}
    referred |= set(_references([*values.pods(), *_manifests(), launcher["volumes"]]))
    assert referred <= declared | made_by_the_site


def _references(part: Any) -> Iterator[tuple[str, str]]:
    kinds = {"configMapRef": "ConfigMap", "configMap": "ConfigMap", "secretRef": "Secret", "secretKeyRef": "Secret"}
    if isinstance(part, list):
        for each in part:
            yield from _references(each)
    elif isinstance(part, dict):
        for name, value in part.items():
            if name in kinds:
                yield kinds[name], value["name"]
            elif name == "secretName":
                yield "Secret", value
            elif name == "claimName":
                yield "PersistentVolumeClaim", value
            else:
                yield from _references(value)


def test_database_of_dagster_and_ports_are_the_same_everywhere() -> None:
    values, data = ChartValues.model_validate(_values()), _named("ConfigMap", "cdm-settings")["data"]
    postgresql = values.postgresql
    assert (postgresql.postgresql_host, postgresql.postgresql_username, postgresql.postgresql_database) == (
        data["DAGSTER_PG_HOST"],
        data["DAGSTER_PG_USERNAME"],
        data["DAGSTER_PG_DB"],
    )
    web = values.dagster_webserver
    assert web.readiness_probe is not None
    assert web.readiness_probe["httpGet"]["port"] == web.service.port
    (server,) = values.code_servers.deployments
    ports = {
        name: _named("NetworkPolicy", name)["spec"]["ingress"][0]["ports"][0]["port"]
        for name in ("code-server", "viewers")
    }
    assert ports == {"code-server": server.port, "viewers": web.service.port}
    job = _named("Job", "cdm-setup")
    assert _container_of(job)["image"] == f"{server.image.repository}:{server.image.tag}"
    assert web.image == values.dagster_daemon.image == server.image


def test_the_chart_is_of_the_version_of_dagster() -> None:
    page = FOLDER.parents[1] / "docs" / "scale.md"
    for path in (FOLDER / "values.yaml", page):
        assert re.findall(r"helm upgrade .*--version (\S+)", path.read_text()) == [dagster.__version__], path.name


def test_no_secret_is_written_down() -> None:
    for path in FOLDER.iterdir():
        assert not re.search(r"://[^/\s:@]+:[^/\s@]+@", path.read_text()), f"{path.name}: a password in a URL"
    for name, value in _named("ConfigMap", "cdm-settings")["data"].items():
        is_secret = re.search("PASSWORD|KEY|TOKEN|SECRET|NOTIFY", name)
        assert not is_secret or value.startswith("file:"), f"{name} belongs into a Secret"
    assert not [each for each in _manifests() if each["kind"] == "Secret"]
