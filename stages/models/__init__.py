"""The networks, one file a task."""
