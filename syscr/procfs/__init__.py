"""What the kernel says of processes, their files and sockets, and of this node; read only."""
