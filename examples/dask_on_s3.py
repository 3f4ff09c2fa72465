"""Learn from Parquet files in S3 on a Dask cluster, the table never being in one memory.

python examples/dask_on_s3.py [SECONDS [s3://BUCKET/FOLDER/*.parquet TARGET [SCHEDULER:8786]]]

Without a place it starts an S3 server of this machine (moto) and fills it; without a scheduler, workers of this machine.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd

from automl import AutoML
from automl.datasets.distributed import DaskDataLoader


@contextmanager
def sample_bucket() -> Iterator[str]:
    """Serve a bucket with four files on loopback, and give its place; workers find it by the environment."""
    import s3fs
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ.update(
        AWS_ENDPOINT_URL=f"http://{host}:{port}", AWS_ACCESS_KEY_ID="id", AWS_SECRET_ACCESS_KEY="secret",
        AWS_DEFAULT_REGION="us-east-1",
    )  # fmt: skip
    files = s3fs.S3FileSystem()
    files.mkdir("taxis")
    for part in range(4):
        random = np.random.default_rng(part)
        miles, hour = random.gamma(2.0, 2.0, 5000), random.integers(0, 24, 5000)
        fare = 3 + 2.5 * miles + 4 * (hour >= 20) + random.normal(0, 1, 5000)
        with files.open(f"taxis/{part}.parquet", "wb") as file:
            pd.DataFrame({"miles": miles, "hour": hour, "fare": fare}).to_parquet(file, index=False)
    try:
        yield "s3://taxis/*.parquet"
    finally:
        server.stop()


def fit(seconds: float, place: str, target: str, scheduler: str | None) -> None:
    with DaskDataLoader(scheduler, n_workers=None if scheduler else 2, threads_per_worker=1) as loader:
        ddf = loader.load_parquet(place)
        ddf = ddf[ddf[target].notnull()]  # on the workers, when it is read
        print(f"{len(ddf)} rows in {ddf.npartitions} partitions of {place}")
        model = AutoML(time_limit=seconds, max_trials=4).fit(ddf, target=target)
        print(model.leaderboard())
        print(f"{model.study_.metric} on all rows: {model.score(ddf):.4f}")


def main(seconds: str = "120", place: str | None = None, target: str = "fare", scheduler: str | None = None) -> None:
    if place is not None:
        fit(float(seconds), place, target, scheduler)
        return
    with sample_bucket() as bucket:
        fit(float(seconds), bucket, target, scheduler)


if __name__ == "__main__":
    main(*sys.argv[1:])
