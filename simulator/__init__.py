"""The discrete-event engine, its parameters, log, studies and command line."""
