"""Settings of hypothesis for tests that write files: the folder of a test serves all its examples."""

from hypothesis import HealthCheck, settings

in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
FUZZ = settings(in_one_folder, max_examples=300, derandomize=True, deadline=None)
LONG_FUZZ = settings(FUZZ, max_examples=400)
