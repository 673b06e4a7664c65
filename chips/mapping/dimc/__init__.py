"""From operators to steps on digital in-memory cores."""
