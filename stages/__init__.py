"""The vision half: one file a stage, and the library that they share.

A stage is `python -m stages.<name>`, told its paths by dvc.yaml and its values by params.yaml.
Nothing in here knows of DVC, of Prefect or of `darkroom`.
"""
