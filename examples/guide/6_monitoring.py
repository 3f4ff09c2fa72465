from automl.monitoring.metrics import MetricsCollector, DriftDetector, PerformanceMonitor

# Initialize metrics collector
metrics = MetricsCollector()

# Record requests
metrics.record_request(
    model_id="v1.2.3",
    latency=0.015,  # 15ms
    status="success",
    num_predictions=32,
)

# Setup drift detection
drift_detector = DriftDetector(window_size=10000)
drift_detector.set_reference_distribution(validation_predictions)

# Check for drift periodically
for prediction in production_predictions:
    drift_detector.add_prediction(prediction)
    
    if drift_detector.detect_prediction_drift()[0]:
        # Trigger retraining!
        trigger_retraining_pipeline()

# Monitor performance
perf_monitor = PerformanceMonitor()
perf_monitor.set_baseline(0.92)  # Baseline accuracy

# Check for degradation
degraded, current_score = perf_monitor.check_degradation()
if degraded:
    send_alert("Model performance degraded!")

# Export Prometheus metrics
metrics_text = metrics.export_metrics()
