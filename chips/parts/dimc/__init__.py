"""Parts of a card of digital in-memory cores."""
