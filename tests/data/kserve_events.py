"""Events as a payload logger of KServe writes them."""

import json
from pathlib import Path
from typing import Any

V1 = {"instances": [{"x": 1.5, "city": "Oslo"}, {"x": None, "city": "Rome"}]}


V1_ANSWER = {"predictions": ["no", "yes"], "classes": ["no", "yes"], "probabilities": [[0.9, 0.1], [0.2, 0.8]]}


def event(identity: str, kind: str, body: Any, **more: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": identity,
        "type": f"org.kubeflow.serving.inference.{kind}",
        "source": "http://localhost:9081/",
        "time": "2024-05-01T12:00:00.123456789Z",
        "inferenceservicename": "trips",
        "datacontenttype": "application/json",
        "data": body,
        **more,
    }


def pair(identity: str, request: Any, response: Any) -> list[dict[str, Any]]:
    return [event(identity, "request", request), event(identity, "response", response)]


def write(path: Path, records: list[Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path
