"""What a study found and how far it can be trusted, as one HTML page: see `automl.Model.report`."""
