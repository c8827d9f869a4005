"""Prepare the example data: which payments with a card are fraud?

    python -m examples.fraud.prepare        writes examples/fraud/data/payments.db

A SQLite file as a bank's database might be: `payments` as they came in, and `outcomes`, which are known 14 days later,
when a payment can no longer be disputed. Reports of fraud alone would be worse than none: until the genuine payments
are known as well, every label says fraud.
"""

import argparse
import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import yaml

from examples.fraud.payments import payments
from kubeline import publish

HERE = Path(__file__).parent
DATA = HERE / "data" / "payments.db"
# How a payment is seen by the model, in training and when it is made: one query.
QUERY: str = yaml.safe_load((HERE / "training.yaml").read_text(encoding="utf-8"))["source"]["query"]
_TIME = "%Y-%m-%d %H:%M:%S"


def prepare(file: Path = DATA, a_day: int = 200) -> Path:
    """Write the database, where it is not there yet, with so many payments on an average day."""
    if file.exists():
        return file
    with publish(file) as partial:
        write(partial, payments(a_day))
    return file


def write(file: Path, table: pd.DataFrame) -> None:
    """Write payments, as `payments` gives them, to a new database."""
    table = table.assign(**{name: table[name].dt.strftime(_TIME) for name in ("paid_at", "settled_at")})
    late = ["settled_at", "fraud"]
    with closing(sqlite3.connect(file)) as database:
        table.drop(columns=late).to_sql("payments", database, index=False)
        table[["payment", *late]].to_sql("outcomes", database, index=False)
        database.execute("CREATE INDEX of_card ON payments (card, paid_at)")
        database.execute("CREATE UNIQUE INDEX of_payment ON outcomes (payment)")
        database.commit()


def seen(file: Path, since: str, until: str) -> pd.DataFrame:
    """The payments of ``[since, until)`` as the model sees them, and what is known of them later.

    Returns:
        The columns of `QUERY`; ``paid_at`` and ``settled_at`` are ISO 8601 text.
    """
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
        window = "SELECT * FROM (" + QUERY + ") WHERE paid_at >= ? AND paid_at < ? ORDER BY paid_at"  # noqa: S608 (ours)
        return pd.read_sql(window, database, params=(since, until))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Prepare the fraud example.")
    parser.add_argument("--file", type=Path, default=DATA, help="where the SQLite file goes")
    print(f"the payments are in {prepare(parser.parse_args().file)}")
