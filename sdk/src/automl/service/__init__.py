"""Models in service: versions, caching, batching and events, whatever the wire."""

from automl.service.answers import Answer, Expired, Overloaded, Unknown
from automl.service.options import ServiceOptions
from automl.service.served import Served
from automl.service.service import PredictionService

__all__ = ["Answer", "Expired", "Overloaded", "PredictionService", "Served", "ServiceOptions", "Unknown"]
