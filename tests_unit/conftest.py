"""The unit suite runs pytest inside pytest; the plugin for that is not loaded on the production line."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("pytester")
