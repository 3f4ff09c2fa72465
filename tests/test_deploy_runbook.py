"""The runbook: a section for every alert and every remedy, and commands that are there."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from deployment import DEPLOY
from packages import ROOT

README = (DEPLOY / "README.md").read_text()
RULES = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule]
SOURCES = sorted((ROOT / "sdk/src/automl/doctor").glob("*.py")) + sorted(DEPLOY.rglob("*.yaml"))


def anchors() -> set[str]:
    heads = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", README, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_alert_links_to_its_section(alert: dict[str, Any]) -> None:
    section = alert["alert"].lower()
    assert section in anchors()
    assert alert["annotations"]["runbook"] == f"deploy/README.md#{section}"


def test_links_within_the_runbook_lead_somewhere() -> None:
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) - anchors() == set()


def test_remedies_link_to_sections() -> None:
    found = {link for path in SOURCES for link in re.findall(r"deploy/README\.md#([a-z0-9-]+)", path.read_text())}
    assert len(found) > 8
    assert found - anchors() == set()


def test_every_part_of_deploy_is_in_the_table() -> None:
    parts = {path.name for path in DEPLOY.iterdir()} - {"README.md", ".gitignore", "secrets", "models", "__pycache__"}
    table = "\n".join(line for line in README.splitlines() if line.startswith("|"))
    named = [part for part in parts if part not in table and not part.startswith("requirements")]
    assert named == []


def test_files_that_commands_name_are_here() -> None:
    blocks = "\n".join(re.findall(r"```\n(.*?)```", README, re.DOTALL))
    named = set(re.findall(r"(?<![\w/])deploy/[\w./-]+", blocks))
    assert len(named) > 5
    assert [path for path in named if not (ROOT / path).exists()] == []
