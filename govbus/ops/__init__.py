"""Running a city: the local stack, apply, status, the reference data, the demo."""
