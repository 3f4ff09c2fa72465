from automl.tracking.mlflow_integration import MLflowTracker, MLflowConfig

# Configure MLflow
config = MLflowConfig(
    tracking_uri="http://mlflow-server:5000",
    experiment_name="production-automl",
    artifact_location="s3://my-bucket/mlflow-artifacts",
)

# Create tracker
tracker = MLflowTracker(config)

# Track optimization run
run_id = tracker.start_run(run_name="xgboost-optimization")

tracker.log_params({
    "max_depth": 8,
    "learning_rate": 0.1,
    "n_estimators": 1000,
})

tracker.log_metrics({
    "train_score": 0.95,
    "val_score": 0.92,
    "test_score": 0.91,
})

# Log trained model
tracker.log_model(
    model=trained_model,
    registered_model_name="production-classifier",
)

tracker.end_run()

# Get best run
best_run = tracker.get_best_run(metric="test_score")
