"""From operators to stages of a spatial pipeline: work, strips of tiles, routes, streams."""
