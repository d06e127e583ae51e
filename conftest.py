"""The project's fixtures and options live in `lorafab.plugin`, which pyproject.toml loads by `-p`."""
