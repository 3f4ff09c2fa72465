from automl.datasets.distributed import DaskDataLoader

# Connect to Dask cluster
loader = DaskDataLoader(
    scheduler_address="dask-scheduler:8786",
    n_workers=100,  # 100 workers
)

# Load data from S3 (works with petabyte-scale datasets!)
ddf = loader.load_parquet("s3://my-bucket/huge-dataset/*.parquet")

# Compute features on distributed cluster
ddf = ddf[ddf['column'] > 0]  # Filter
ddf['new_feature'] = ddf['a'] * ddf['b']  # Feature engineering

# Sample for prototyping
sample = loader.sample(ddf, frac=0.001)  # 0.1% sample

# Convert to arrays for sklearn (careful with memory!)
X, y = loader.to_sklearn_arrays(ddf, target_col='target')
