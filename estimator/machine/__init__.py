"""Which CPU this is, how its CPUs lie in cores and sockets, its specification; imports no other room."""
