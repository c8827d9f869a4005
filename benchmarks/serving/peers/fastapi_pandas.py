"""FastAPI as most tutorials write it: a pydantic record, a DataFrame, the pipeline's predict_proba.

python -m benchmarks.serving.peers.fastapi_pandas --model_dir FOLDER --http_port N
"""

import argparse
from pathlib import Path

import joblib
import pandas as pd
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Flight(BaseModel):
    """One row."""

    month: float
    weekday: float
    dep_minute: float
    arr_minute: float
    carrier: str
    origin: str
    dest: str
    distance: float
    temp: float
    dewp: float
    humid: float
    wind_dir: float
    wind_speed: float
    wind_gust: float
    precip: float
    pressure: float
    visib: float


class Flights(BaseModel):
    """A request."""

    instances: list[Flight]


def application(folder: Path) -> FastAPI:
    """The application; its path operation is a plain function, which FastAPI runs in a thread."""
    app = FastAPI()
    model = joblib.load(folder / "model.joblib")

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/predict")
    def predict(request: Flights) -> dict[str, list[list[float]]]:
        frame = pd.DataFrame([flight.model_dump() for flight in request.instances])
        return {"predictions": model.predict_proba(frame).tolist()}

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model_dir", type=Path, required=True)
    parser.add_argument("--http_port", type=int, required=True)
    arguments = parser.parse_args()
    uvicorn.run(
        application(arguments.model_dir), host="127.0.0.1", port=arguments.http_port, log_level="warning",
        access_log=False,
    )  # fmt: skip
