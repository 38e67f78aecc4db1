"""deploy/helm/values.yaml: against the image, Airflow's settings, and the official chart where it is at hand."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import compose_checks
import helm_chart
import pytest
import yaml
from compose_checks import RECSYNC_SETTINGS, SECRET, Deployment

from recsync.stages import POOLS

# Of the provider cncf.kubernetes, which the image apache/airflow comes with and .venv does not have.
KUBERNETES = {"kubernetes_executor": {"delete_worker_pods", "worker_pods_creation_batch_size"}}
HOME = "/opt/airflow"
CHART = os.environ.get("RECSYNC_HELM_CHART", "")


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    return dict(yaml.load(helm_chart.VALUES.read_text(), compose_checks._Loader))


def below(values: dict[str, Any], path: str) -> Any:
    for name in path.split("."):
        values = values[name]
    return values


KINDS = {"string": str, "boolean": bool, "integer": int, "array": list, "object": dict, "null": type(None)}


def test_every_key_is_one_of_the_chart_and_has_its_type(values: dict[str, Any]) -> None:
    recorded = json.loads((Path(__file__).parent / "helm_chart_keys.json").read_text())
    assert recorded["chart"] == helm_chart.CHART_VERSION
    assert f"--version {recorded['chart']}" in helm_chart.VALUES.read_text()
    keys = recorded["keys"]
    for path in helm_chart.used_keys(values):
        # What the chart leaves open is below one of its objects, such as config.
        within = next(p for p in (path, *parents(path)) if p in keys)
        if within == path:
            kinds = tuple(KINDS[kind] for kind in keys[path].split(" or "))
            assert isinstance(below(values, path), kinds), path
        else:
            assert keys[within] == "object", f"{path}: write helm_chart_keys.json anew, with the chart"


def parents(path: str) -> list[str]:
    names = path.split(".")
    return [".".join(names[:count]) for count in range(len(names) - 1, 0, -1)]


def test_every_setting_is_one_that_airflow_or_recsync_reads(values: dict[str, Any]) -> None:
    from airflow.configuration import conf
    from airflow.providers_manager import ProvidersManager

    ProvidersManager().initialize_providers_configuration()
    known = {section: set(found["options"]) for section, found in conf.configuration_description.items()}
    known |= {**KUBERNETES, "recsync": RECSYNC_SETTINGS}
    unknown = [
        f"{section}.{key}"
        for section, keys in values["config"].items()
        for key in keys
        if key not in known[section]
    ]
    assert unknown == []
    names = [each["name"] for each in (*values["env"], *values["workers"]["kubernetes"]["env"])]
    assert {name.removeprefix("AIRFLOW__RECSYNC__").lower() for name in names} <= {
        *RECSYNC_SETTINGS,
        "tmpdir",
    }


def test_the_image_is_the_one_of_the_dockerfile(values: dict[str, Any], deployment: Deployment) -> None:
    _, _, tag = deployment.services["airflow-worker"]["image"].partition(":")
    assert values["defaultAirflowTag"] == tag
    base = re.search(r"apache/airflow:([\d.]+)-", deployment.dockerfile)
    assert base is not None
    assert values["airflowVersion"] == base[1]


def test_pools_are_named_where_they_are_created(values: dict[str, Any], deployment: Deployment) -> None:
    """A task whose pool does not exist never starts."""
    assert values["config"]["recsync"]["pools"] == "True"
    script = dict(compose_checks.copies(deployment))["deploy/create_pools.py"]
    assert values["migrateDatabaseJob"]["args"][-1] == f"airflow db migrate && exec python {script}"
    parallelism = values["config"]["core"]["parallelism"]
    assert sum(pool.slots(parallelism) for pool in POOLS.values()) < parallelism


def test_heavy_tasks_find_their_pod_template_in_the_scheduler(values: dict[str, Any]) -> None:
    path = Path(values["config"]["recsync"]["heavy_pod_template"])
    (mount,) = values["scheduler"]["extraVolumeMounts"]
    (volume,) = values["scheduler"]["extraVolumes"]
    assert str(path.parent) == mount["mountPath"]
    assert volume["name"] == mount["name"]
    assert f"{path.name}: |" in values["extraConfigMaps"][volume["configMap"]["name"]]["data"]


def test_pods_of_tasks_spill_to_a_volume(values: dict[str, Any]) -> None:
    pods = values["workers"]["kubernetes"]
    (temporary,) = (each["value"] for each in pods["env"] if each["name"] == "TMPDIR")
    assert {mount["mountPath"]: mount["name"] for mount in pods["extraVolumeMounts"]} == {temporary: "tmp"}
    assert [volume["name"] for volume in pods["extraVolumes"]] == ["tmp"]
    assert {"name": "AIRFLOW__RECSYNC__TASKS_PER_WORKER", "value": "1"} in values["env"]


def test_no_secret_stands_in_the_file(values: dict[str, Any]) -> None:
    for path in helm_chart.used_keys(values):
        value = below_or_none(values, path)
        assert not (
            isinstance(value, str) and SECRET.search(path.rpartition(".")[2].upper())
        ) or path.endswith(("SecretName", "secretName", "jwtSecretName")), path
    # Nor a real account.
    assert not re.search(r"\d{12}", helm_chart.VALUES.read_text())


def below_or_none(values: dict[str, Any], path: str) -> Any:
    try:
        return below(values, path)
    except KeyError:  # an annotation with dots in its name
        return None


def test_connections_are_read_from_the_secrets_that_the_file_names(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3
    from airflow.sdk.module_loading import import_string
    from moto.server import ThreadedMotoServer

    # Not mock_aws: it empties moto's store, which the servers of other tests of this process share.
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        settings = values["config"]["secrets"]
        backend = import_string(settings["backend"])(**json.loads(settings["backend_kwargs"]))
        uri = "braze://:key@rest.iad-01.braze.com"
        boto3.client("secretsmanager").create_secret(
            Name="recsync/connections/braze_default", SecretString=uri
        )
        assert backend.get_conn_value("braze_default") == uri
        assert backend.get_variable("any") is None
    finally:
        server.stop()


@pytest.mark.skipif(not CHART, reason="RECSYNC_HELM_CHART names no unpacked chart; docs/deploy.md says how")
def test_the_official_chart_renders_the_file(values: dict[str, Any]) -> None:
    helm = pytest.importorskip("helm_python", reason="pip install helm-python-sdk")
    recorded = json.loads((Path(__file__).parent / "helm_chart_keys.json").read_text())["keys"]
    assert (
        helm_chart.known_keys(json.loads((Path(CHART) / "values.schema.json").read_text()), values)
        == recorded
    )
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(values)
        rendered = chart.render(values, name="recsync", namespace="recsync")
    objects = [
        each
        for name, text in rendered.items()
        if not name.endswith("NOTES.txt")
        for each in yaml.safe_load_all(text)
        if each
    ]
    named = {(each["kind"], each["metadata"]["name"]): each for each in objects}
    pods = {
        "all": named["ConfigMap", "recsync-airflow-config"]["data"]["pod_template_file.yaml"],
        "heavy": named["ConfigMap", "recsync-pod-templates"]["data"]["heavy.yaml"],
    }
    specs = {name: yaml.safe_load(text)["spec"] for name, text in pods.items()}
    bases = {name: spec["containers"][0] for name, spec in specs.items()}
    limits = {name: base["resources"]["limits"] for name, base in bases.items()}
    assert limits == {"all": {"memory": "1536Mi"}, "heavy": {"cpu": "2", "memory": "4Gi"}}
    disks = {
        name: [set(each) - {"name"} for each in spec["volumes"] if each["name"] == "tmp"]
        for name, spec in specs.items()
    }
    assert disks == {"all": [{"emptyDir"}], "heavy": [{"ephemeral"}]}
    # Otherwise the two are the same pod.
    for name, spec in specs.items():
        spec["volumes"] = [each for each in spec["volumes"] if each["name"] != "tmp"]
        del bases[name]["resources"]
    assert specs["all"] == specs["heavy"]
    assert ("ServiceAccount", specs["all"]["serviceAccountName"]) in named
    assert ("StatefulSet", "recsync-airflow-redis") not in named
    settings = named["ConfigMap", "recsync-airflow-config"]["data"]["airflow.cfg"]
    assert "pace_redis_url = pace_redis" in settings
    assert f"heavy_pod_template = {values['config']['recsync']['heavy_pod_template']}" in settings
