"""What Grafana's dashboards ask Prometheus for."""

import json
from collections.abc import Iterator
from pathlib import Path


def asked_by(dashboard: Path) -> Iterator[str]:
    """The expressions of a dashboard's panels and variables."""
    document = json.loads(dashboard.read_text(encoding="utf-8"))
    for panel in document["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"]
    for variable in document["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]
