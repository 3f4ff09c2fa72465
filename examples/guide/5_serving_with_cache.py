from automl.serving.api import create_app, run_server
from automl.caching.redis_cache import RedisCache, PredictionCache

# Load production model
from automl.utils.serialization import load_model
model = load_model("production_model.pkl")

# Setup Redis cache
redis_cache = RedisCache(
    host="redis-cluster.example.com",
    port=6379,
    default_ttl=300,  # 5 minutes
)
pred_cache = PredictionCache(redis_cache)

# Create FastAPI app
app = create_app(
    model=model,
    model_id="v1.2.3",
    cache=pred_cache,
)

# Run with multiple workers for horizontal scaling
run_server(
    model=model,
    host="0.0.0.0",
    port=8000,
    workers=16,  # 16 worker processes
)
