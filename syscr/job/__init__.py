"""What runs inside an allocation: starting or restoring one task (``run``), and the node worker."""
