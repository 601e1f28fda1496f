"""Compatibility with the built-in k-means of Amazon SageMaker, without it: its formats, files and container contract."""
