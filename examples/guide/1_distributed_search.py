from automl.optimizers.ray_optimizer import RayTuneOptimizer, RayTuneSettings
from automl.core.engine import AutoMLEngine

# Configure Ray Tune
ray_settings = RayTuneSettings(
    num_cpus=-1,  # Use all available CPUs
    num_gpus=8,   # Use 8 GPUs
    ray_address="ray://ray-head:10001",  # Connect to Ray cluster
    num_samples=1000,  # Try 1000 configurations
    max_concurrent_trials=32,  # Run 32 trials in parallel
    scheduler="asha",  # Aggressive early stopping
    search_algorithm="optuna",  # Use Optuna for search
)

# Create optimizer
optimizer = RayTuneOptimizer(settings=ray_settings)

# Create engine with Ray optimizer
engine = AutoMLEngine(optimizer=optimizer)

# Run optimization - automatically distributed across cluster!
result = engine.fit(X_train, y_train)
