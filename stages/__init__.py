"""The vision half: a folder for each stage, and the library folders that they share.

A stage is `python -m stages.<name>`, told its paths by dvc.yaml and its values by params.yaml: its `stage`
module first, then what that imports. The layers are a contract of pyproject.toml; docs/architecture.md
draws them. Nothing in here knows of DVC, of Prefect or of `darkroom`.
"""
