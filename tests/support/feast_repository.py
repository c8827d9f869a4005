"""A repository of Feast and what Feast itself makes of it; runs in an environment of its own, which has Feast.

    python tests/support/feast_repository.py FOLDER

The folder has the tables, as feast_repositories.py draws them, and asked.json: for each name what is asked of Feast.
The repository is written beside them, and NAME.parquet with what Feast answers.
"""

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, String

# The store in DuckDB is exact. That in Dask, the default, drops rows whose features are all too old or too new, and of
# features of one time does not always take the one that was created last: its second sorting is not stable.
SETTINGS = """\
project: taxis
provider: local
registry: data/registry.db
offline_store: {type: duckdb}
online_store: {path: data/online.db}
"""


def main(folder: Path) -> None:
    """Apply the repository, and ask it."""
    (folder / "feature_store.yaml").write_text(SETTINGS, encoding="utf-8")
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    place = Entity(name="place", join_keys=["place_id"], value_type=ValueType.STRING)
    raw = FileSource(
        path="stats.parquet",
        timestamp_field="seen",
        created_timestamp_column="written",
        field_mapping={"trips_raw": "trips"},
    )
    stats = FeatureView(
        name="driver_stats",
        entities=[driver],
        ttl=timedelta(hours=2),
        schema=[
            Field(name="driver_id", dtype=Int64),
            Field(name="trips", dtype=Int64),
            Field(name="rate", dtype=Float64),
        ],
        source=raw,
    )
    demand = FeatureView(
        name="demand",
        entities=[driver, place],
        schema=[
            Field(name="driver_id", dtype=Int64),
            Field(name="place_id", dtype=String),
            Field(name="level", dtype=Float64),
        ],
        source=FileSource(path="demand.parquet", timestamp_field="hour"),
    )
    prices = FeatureView(
        name="prices",
        ttl=timedelta(days=1),
        schema=[Field(name="fuel", dtype=Float64)],
        source=FileSource(path="prices.parquet", timestamp_field="day"),
    )

    @on_demand_feature_view(sources=[stats], schema=[Field(name="double", dtype=Float64)])
    def doubled(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"double": inputs["rate"] * 2})

    other = stats[["rate"]].with_name("second").with_join_key_map({"driver_id": "second_id"})
    service = FeatureService(name="ride", features=[stats[["trips"]].with_name("first"), other, demand])
    store = FeatureStore(repo_path=str(folder))
    store.apply([driver, place, stats, demand, prices, doubled, service])
    rows = pd.read_parquet(folder / "rows.parquet").rename(columns={"at": "event_timestamp"})
    for name, asked in json.loads((folder / "asked.json").read_text()).items():
        features = store.get_feature_service("ride") if asked["columns"] == ["ride"] else references(store, asked)
        answer = store.get_historical_features(
            entity_df=rows,
            features=features,
            full_feature_names=asked.get("full_names", False),
            filter_by_created_timestamp=asked.get("by_created", False),
        )
        answer.to_df().to_parquet(folder / f"{name}.parquet", index=False)


def references(store: FeatureStore, asked: dict[str, Any]) -> list[str]:
    """Every feature by its name; a view without one stands for all of its features."""
    every = [
        [name] if ":" in name else [f"{name}:{one.name}" for one in store.get_feature_view(name).features]
        for name in asked["columns"]
    ]
    return [one for names in every for one in names]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
