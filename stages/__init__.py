"""The vision half: one folder for each stage, and the library folders that several stages share.

A stage is started as `python -m stages.<name>`. dvc.yaml gives it its paths and params.yaml its values. To
understand a stage, read its `stage` module first, and then what that imports. A contract in pyproject.toml
lists the layers; docs/architecture.md draws them. Nothing in here knows DVC, Prefect or `darkroom`.
"""
