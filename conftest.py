"""The project's fixtures and options live in `lorafab.plugin`, which pyproject.toml loads by `-p`."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Without the plugin production steps would be plain tests."""
    if not config.pluginmanager.has_plugin("lorafab.plugin"):
        raise pytest.UsageError("lorafab.plugin is not loaded; run pytest with the addopts of pyproject.toml")
