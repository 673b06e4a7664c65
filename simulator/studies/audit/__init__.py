"""Claims about inference chips, held against simulation, against physics and against each other."""
