"""Card payments of January to August 2025, drawn by a seed: a made-up bank, with habits that are those of real ones.

Cards have a home country, and people pay by day, mostly at home. A stolen card is paid with several times within the
hour, often at night or abroad, and for goods that are easily sold. In August people are on holiday, and thieves have
changed their habits: they pay small amounts, by day, in the country of the card.
"""

from datetime import datetime

import numpy as np
import pandas as pd

FIRST, LAST = datetime(2025, 1, 1), datetime(2025, 9, 1)  # noqa: DTZ001 - UTC, as SQLite writes it
CHANGED = datetime(2025, 8, 1)  # noqa: DTZ001
SETTLED_DAYS = 14  # in which a payment can be disputed: what is not fraud by then is genuine
FRAUD_SHARE = 0.011

MERCHANTS = {
    "grocery": 18,
    "restaurant": 25,
    "fuel": 45,
    "online": 40,
    "electronics": 150,
    "travel": 220,
    "vouchers": 60,
}
_GENUINE = [0.34, 0.22, 0.14, 0.18, 0.04, 0.04, 0.04]
_STOLEN = [0.03, 0.02, 0.05, 0.25, 0.30, 0.10, 0.25]
_HOLIDAY = [0.24, 0.32, 0.14, 0.10, 0.02, 0.16, 0.02]
_COUNTRIES, _RESIDENTS = ["DE", "FR", "GB", "NL", "PL", "US"], [0.3, 0.2, 0.2, 0.12, 0.1, 0.08]
_BY_HOUR = np.array([1, 1, 1, 1, 1, 2, 6, 10, 14, 16, 18, 22, 26, 22, 18, 18, 20, 24, 26, 20, 14, 9, 5, 2], float)


def payments(a_day: int = 200, cards: int = 1_200, seed: int = 0) -> pd.DataFrame:
    """The payments, in order of their time.

    Args:
        a_day: how many there are on average, fraud included.
        cards: how many cards are paid with.
        seed: of all that is drawn.

    Returns:
        One row for each payment: ``payment`` (its id), ``card``, ``paid_at`` (UTC, whole seconds), ``amount``,
        ``merchant``, ``home_country``, ``shop_country``, ``fraud`` (``fraud`` or ``genuine``), and ``settled_at``, from
        when on that is known.
    """
    draw = np.random.default_rng(seed)
    homes = draw.choice(_COUNTRIES, cards, p=_RESIDENTS)
    total = a_day * (LAST - FIRST).days
    table = pd.concat([_genuine(draw, total, cards), _stolen(draw, int(total * FRAUD_SHARE), cards)])
    table["home_country"] = homes[table["card"]]
    elsewhere = np.asarray(_COUNTRIES)[draw.integers(len(_COUNTRIES), size=len(table))]
    table["shop_country"] = np.where(table.pop("abroad"), elsewhere, table["home_country"])
    table = table.sort_values(["paid_at", "card"], kind="stable", ignore_index=True)
    table["card"] = table["card"].map("c{:04d}".format)
    table.insert(0, "payment", table.index.map("p{:06d}".format))
    table["settled_at"] = table["paid_at"] + pd.Timedelta(days=SETTLED_DAYS)
    return table


def _genuine(draw: np.random.Generator, count: int, cards: int) -> pd.DataFrame:
    days = draw.integers((LAST - FIRST).days, size=count)
    hours = draw.choice(24, count, p=_BY_HOUR / _BY_HOUR.sum())
    paid_at = _times(days, hours * 3600 + draw.integers(3600, size=count))
    holiday = (paid_at >= CHANGED) & (draw.random(count) < 0.6)
    merchant = np.where(holiday, _merchants(draw, count, _HOLIDAY), _merchants(draw, count, _GENUINE))
    abroad = draw.random(count) < np.where(holiday, 0.6, 0.06)
    scale = np.where(holiday, 2.0, 1.0)
    return _rows(draw, draw.integers(cards, size=count), paid_at, merchant, scale, abroad, "genuine")


def _stolen(draw: np.random.Generator, count: int, cards: int) -> pd.DataFrame:
    """Stolen cards, each with 1 to 6 payments within an hour."""
    sizes = draw.integers(1, 7, size=count)
    sizes = sizes[: int(np.searchsorted(np.cumsum(sizes), count)) + 1]
    of = np.repeat(np.arange(len(sizes)), sizes)
    days, night = draw.integers((LAST - FIRST).days, size=len(sizes)), draw.random(len(sizes)) < 0.5
    abroad = draw.random(len(sizes)) < 0.55
    card = draw.integers(cards, size=len(sizes))
    changed = days >= (CHANGED - FIRST).days
    hours = np.where(night & ~changed, draw.integers(0, 6, size=len(sizes)), draw.integers(8, 22, size=len(sizes)))
    paid_at = _times(days[of], hours[of] * 3600 + draw.integers(3600, size=len(of)))
    merchant = np.where(changed[of], _merchants(draw, len(of), _GENUINE), _merchants(draw, len(of), _STOLEN))
    scale = np.where(changed[of], 0.5, 2.0)
    return _rows(draw, card[of], paid_at, merchant, scale, (abroad & ~changed)[of], "fraud")


def _rows(
    draw: np.random.Generator,
    card: np.ndarray,
    paid_at: np.ndarray,
    merchant: np.ndarray,
    scale: np.ndarray,
    abroad: np.ndarray,
    fraud: str,
) -> pd.DataFrame:
    usual = np.array([*MERCHANTS.values()], float)[merchant]
    amount = np.round(usual * scale * draw.lognormal(0, 0.6, size=len(card)), 2)
    names = np.array([*MERCHANTS])[merchant]
    columns = {"card": card, "paid_at": paid_at, "amount": amount, "merchant": names, "abroad": abroad, "fraud": fraud}
    return pd.DataFrame(columns)


def _merchants(draw: np.random.Generator, count: int, shares: list[float]) -> np.ndarray:
    return draw.choice(len(MERCHANTS), count, p=shares)


def _times(days: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    times: np.ndarray = np.datetime64(FIRST, "s") + (days * 86_400 + seconds).astype("timedelta64[s]")
    return times
