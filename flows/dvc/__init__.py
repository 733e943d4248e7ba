"""The only package that imports DVC."""
