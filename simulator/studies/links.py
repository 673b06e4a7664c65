"""The links of the catalog side by side: what one chip gets of each."""

from __future__ import annotations

from typing import Any

from dieshot.simulator.params import LinkParameters, find_document, list_names, resolve

FS = 10**15  # of a second, and fJ of a joule
MW = 1000


def links() -> list[dict[str, Any]]:
    """Return the figures of every link document by name.

    Each has name, technology, topology, max_chips; of one chip, one direction, `rate_bytes_per_s` (all its links); from
    chip to chip `hop_latency_s` and `energy_j_per_bit`; `laser_w` of a chip, sending or not.
    """
    return [_figures(resolve(find_document("links", name), LinkParameters).values) for name in list_names("links")]


def _figures(link: LinkParameters) -> dict[str, Any]:
    return {
        "name": link.name,
        "technology": link.technology,
        "topology": link.topology,
        "max_chips": link.max_chips,
        "rate_bytes_per_s": link.n_links * link.rate,
        "hop_latency_s": link.hop_latency / FS,
        "energy_j_per_bit": link.energy / FS,
        "laser_w": link.n_links * (link.laser_power or 0) / MW,
    }
