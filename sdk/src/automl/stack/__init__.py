"""The stack as processes on one machine: started, watched and ended by `automl stack`."""
