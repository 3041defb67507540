"""Backends: one folder for each way to dump and restore a task, and the list of them all."""
