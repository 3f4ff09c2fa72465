"""gRPC as a plugin of the AutoML engine; `automl_grpc.plugin` is its entry module."""
