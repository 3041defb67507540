"""Slurm's own checkpoint commands (19.05 and before): argument lists, replies, and the adapter over them."""
