"""Forecast a panel: the sales of many shops a week ahead, from lags and rolling means, judged by later days.

A row is a shop on a day. What is known a week before goes in as columns, as ratios to the shop's own recent mean, and so does the
target: trees repeat what they saw, and a shop that grows leaves that range. `time=` has each model judged by days later than
those it learned from, and keeps the date itself out of the inputs. The last weeks are held out, and the forecast is compared
with that of the same weekday a week before.

python examples/forecasting.py
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from automl import AutoML

HORIZON = 7  # days ahead: no input may be younger than that
SHOPS, DAYS, HELD_OUT = 12, 200, 28


def make_panel(seed: int = 0) -> pd.DataFrame:
    """Return a row per shop and day: a level and a trend of its own, a week's rhythm, promotions that are planned ahead."""
    rng = np.random.default_rng(seed)
    rhythm = np.array([1.0, 0.9, 0.9, 1.0, 1.3, 1.6, 0.6])
    dates = pd.date_range("2025-01-06", periods=DAYS)
    shops = []
    for shop in range(SHOPS):
        promotion = rng.random(DAYS) < 0.1
        level = rng.uniform(50, 200) * (1 + rng.normal(0, 0.5) * np.arange(DAYS) / DAYS)
        sales = level * rhythm[dates.day_of_week] * (1 + 0.5 * promotion) * rng.normal(1, 0.08, DAYS)
        shops.append(pd.DataFrame({"shop": f"shop {shop}", "date": dates, "promotion": promotion, "sales": sales}))
    return pd.concat(shops, ignore_index=True)


def add_features(panel: pd.DataFrame) -> pd.DataFrame:
    """Add what was known `HORIZON` days before each row; each shop's own past only."""
    panel = panel.sort_values(["shop", "date"]).reset_index(drop=True)
    past = panel.groupby("shop")["sales"].shift(HORIZON)
    by_shop = past.groupby(panel["shop"])
    panel["recent"] = by_shop.rolling(28, min_periods=7).mean().to_numpy()
    for days in (0, 7, 14):
        panel[f"lag_{HORIZON + days}"] = by_shop.shift(days) / panel["recent"]
    panel["trend"] = by_shop.rolling(7).mean().to_numpy() / panel["recent"]
    panel["weekday"] = panel["date"].dt.day_name()
    panel["ratio"] = panel["sales"] / panel["recent"]
    return panel[panel["recent"].notna()]


def main(seconds: float = 20.0) -> None:
    panel = add_features(make_panel())
    last = panel["date"].max() - pd.Timedelta(days=HELD_OUT)
    train, later = panel[panel["date"] <= last], panel[panel["date"] > last]

    def fit(metric: str) -> AutoML:
        rows = train.drop(columns=["sales", "recent"])
        return AutoML(time_limit=seconds / 2, metric=metric).fit(
            rows, target="ratio", time="date", sample_weight=train["recent"].to_numpy()
        )

    def error(forecast: pd.Series) -> float:
        return float((later["sales"] - forecast).abs().mean())

    model = fit("mae")
    forecast, naive = model.predict(later) * later["recent"], later[f"lag_{HORIZON}"] * later["recent"]
    print(
        f"mean absolute error of {HELD_OUT} days: {error(forecast):.1f}, of the same day a week before: {error(naive):.1f}"
    )
    print("relies on:", {name: round(share, 2) for name, share in list(model.feature_importance().items())[:4]})

    # What to have in stock so that it suffices on nine days of ten.
    stock = fit("pinball:0.9").predict(later) * later["recent"]
    print(f"days whose sales are below the forecast quantile of 0.9: {(later['sales'] <= stock).mean():.0%}")
    # Shops that are not in the table yet: fit with groups="shop", which judges models by shops they have not seen.


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
