"""What the administrator may choose, and what a wrong choice is told."""

import re
from pathlib import Path

import pytest
from workspace_operator.settings import (
    BadSetting,
    Cloud,
    NodeClass,
    NodeProvisioner,
    Probe,
    Settings,
    documented,
    environment_table,
)

ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    settings = Settings.from_environment({})
    assert settings == Settings()
    assert settings.node_provisioner is NodeProvisioner.KARPENTER
    assert settings.resync_seconds == 60
    assert settings.leader_election is True


def test_an_empty_value_counts_as_unset() -> None:
    assert Settings.from_environment({"ATELIER_CLOUD": "", "KUBECONFIG": ""}) == Settings()


def test_values_are_parsed_into_their_types(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        {
            "ATELIER_LEADER_ELECTION": "False",
            "ATELIER_CLOUD": "kwok",
            "ATELIER_PROBE": "readiness",
            "ATELIER_PROBE_INTERVAL_SECONDS": "5",
            "ATELIER_PRESET_DIRECTORY": str(tmp_path),
            "ATELIER_METRICS_PORT": "9000",
        }
    )
    assert settings.leader_election is False
    assert settings.cloud is Cloud.KWOK
    assert settings.probe is Probe.READINESS
    assert settings.probe_interval_seconds == 5
    assert settings.preset_directory == tmp_path
    assert settings.metrics_port == 9000


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("ATELIER_LEADER_ELECTION", "yes", "true or false"),
        ("ATELIER_CLOUD", "moon", "azure, aws, gcp, kwok"),
        ("ATELIER_NODE_PROVISIONER", "Karpenter", "karpenter, byo"),
        ("ATELIER_PROBE_INTERVAL_SECONDS", "0", "at least 1"),
        ("ATELIER_RESYNC_SECONDS", "1.5", "whole number"),
        ("ATELIER_PRESET_DIGESTS", "mistral", "preset=sha256:"),
        ("ATELIER_PRESET_DIGESTS", "a=sha256:12", "64 hex digits"),
        ("ATELIER_PRESET_DIGESTS", f"a=sha256:{'0' * 64},", "commas between"),
        ("ATELIER_TUNING_DIGESTS", "mistral", "preset=sha256:"),
        ("ATELIER_PLAIN_HTTP_REGISTRIES", "http://r.example", "host or host:port"),
        ("ATELIER_PLAIN_HTTP_REGISTRIES", "r.example/team", "host or host:port"),
        ("ATELIER_PLAIN_HTTP_REGISTRIES", "r.example,", "commas between"),
        ("ATELIER_HUB_ENDPOINT", "hub.example", "https://hub.example:8443"),
        ("ATELIER_HUB_ENDPOINT", "ftp://hub.example", "https://hub.example:8443"),
        ("ATELIER_HUB_ENDPOINT", "https://me:secret@hub.example", "without user"),
        ("ATELIER_HUB_ENDPOINT", "https://hub.example:99999", "https://hub.example:8443"),
        ("ATELIER_METRICS_PORT", "70000", "1 to 65535"),
        ("ATELIER_HEALTH_PORT", "-1", "1 to 65535"),
        ("ATELIER_PRESET_IMAGE", "x/{model}", "{preset} and {version}"),
        ("ATELIER_PRESET_IMAGE", "x/{preset", "{preset} and {version}"),
        ("ATELIER_PRESET_IMAGE", "x/{}", "{preset} and {version}"),
        ("ATELIER_PRESET_DIRECTORY", "/does/not/exist", "existing directory"),
        ("ATELIER_LOG_LEVEL", "loud", "debug, info, warning, error"),
        ("ATELIER_IMAGE_PULL_POLICY", "always", "Always, IfNotPresent, Never"),
    ],
)
def test_a_bad_value_is_refused_by_name_value_and_remedy(
    variable: str, value: str, remedy: str
) -> None:
    with pytest.raises(BadSetting) as refusal:
        Settings.from_environment({variable: value})
    assert str(refusal.value).startswith(f"{variable}={value!r}: ")
    assert remedy in str(refusal.value)
    assert refusal.value.variable == variable


def test_the_node_class_is_the_profile_with_overrides_on_top() -> None:
    aws = Settings.from_environment({"ATELIER_CLOUD": "aws"})
    assert aws.node_class == NodeClass(
        group="karpenter.k8s.aws", kind="EC2NodeClass", name="default"
    )
    named = Settings.from_environment(
        {"ATELIER_CLOUD": "aws", "ATELIER_NODE_CLASS_NAME": "gpu-nodes"}
    )
    assert named.node_class == NodeClass(
        group="karpenter.k8s.aws", kind="EC2NodeClass", name="gpu-nodes"
    )


def test_the_image_is_named_after_preset_and_version() -> None:
    assert Settings(version="1.2.3").image_for("mistral-7b") == "atelier/mistral-7b:1.2.3"
    fixed = Settings.from_environment({"ATELIER_PRESET_IMAGE": "registry.example/one:2"})
    assert fixed.image_for("mistral-7b") == "registry.example/one:2"


def test_architecture_lists_exactly_these_variables() -> None:
    chapter = ARCHITECTURE.read_text().split("## The contract between chart and operator")[1]
    listed = set()
    for line in chapter.split("\n## ")[0].splitlines():
        names = re.findall(r"`(_?[A-Z][A-Z_]+)`", line.split("|")[1]) if "|" in line else []
        listed |= {"ATELIER_NODE_CLASS" + name if name.startswith("_") else name for name in names}
    assert listed == {setting.metadata["variable"] for setting in documented()}


def test_help_shows_every_variable_with_its_default() -> None:
    table = environment_table()
    assert len(table.splitlines()) == len(documented())
    assert "ATELIER_LEADER_ELECTION" in table
    assert "[true]" in table


def test_a_preset_with_a_digest_is_pulled_by_it() -> None:
    first, second = (f"sha256:{digit * 64}" for digit in "ab")
    settings = Settings.from_environment(
        {
            "ATELIER_PRESET_IMAGE": "r.example.com/{preset}:1",
            "ATELIER_PRESET_DIGESTS": f"mistral-7b={first},tiny-mistral={second}",
        }
    )
    assert settings.image_for("tiny-mistral") == f"r.example.com/tiny-mistral:1@{second}"
    assert settings.image_for("another") == "r.example.com/another:1"


def test_a_tuning_image_with_a_digest_is_pulled_by_it() -> None:
    digest = f"sha256:{'c' * 64}"
    settings = Settings.from_environment({"ATELIER_TUNING_DIGESTS": f"tiny-mistral={digest}"})
    tagged = f"atelier/tiny-mistral-tuning:{settings.version}"
    assert settings.tuning_image_for("tiny-mistral") == f"{tagged}@{digest}"
    assert "@" not in settings.tuning_image_for("mistral-7b") + settings.image_for("tiny-mistral")


def test_only_named_registries_are_spoken_to_without_tls() -> None:
    named = {"ATELIER_PLAIN_HTTP_REGISTRIES": "registry.apps:5000,10.0.0.9"}
    settings = Settings.from_environment(named)
    for plain in ("registry.apps:5000/team/style:1", "10.0.0.9/style"):
        assert settings.speaks_plain_http(plain)
        assert not Settings().speaks_plain_http(plain)
    for other in (
        "registry.apps/style:1",
        "registry.apps:5001/style",
        "registry/style",
        "10.0.0.9",
    ):
        assert not settings.speaks_plain_http(other)


def test_who_may_reach_a_model_is_a_list_of_peers() -> None:
    found = Settings.from_environment({"ATELIER_MODEL_CLIENTS": '[{"ipBlock": {"cidr": "x"}}]'})
    assert found.model_clients == ({"ipBlock": {"cidr": "x"}},)
    assert Settings.from_environment({"ATELIER_MODEL_CLIENTS": "[]"}).model_clients == ()
    for wrong in ("{}", "[1]", "[{}]", '[{"namespace": "x"}]', "x"):
        with pytest.raises(BadSetting, match="ATELIER_MODEL_CLIENTS"):
            Settings.from_environment({"ATELIER_MODEL_CLIENTS": wrong})
