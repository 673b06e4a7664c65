"""How many layers each pipeline stage gets."""


def spread_layers(n_layers: int, n_stages: int, layer_bytes: int, head_bytes: int, tail_bytes: int) -> list[int]:
    """Return the layers of each stage, at least one; head and tail are stored on the first and the last.

    As evenly as possible, the first stages taking the remainder. Where that makes the largest stage at least half a
    layer's bytes larger than it need be, layers move from the ends to the middle: but not where the busiest stage would
    become busier, counting layers and tail, as the embedding takes next to no time.
    """
    even = _levelled(n_layers, [n_layers] * n_stages)
    busy_bytes, stored_bytes = [0] * n_stages, [0] * n_stages
    stored_bytes[0] += head_bytes
    for extra_bytes in (busy_bytes, stored_bytes):
        extra_bytes[-1] += tail_bytes
    if not layer_bytes:
        return even
    least, caps = _least(n_layers, stored_bytes, layer_bytes)
    moved = _levelled(n_layers, caps)
    saved = _largest(even, stored_bytes, layer_bytes) - least
    busier = _largest(moved, busy_bytes, layer_bytes) > _largest(even, busy_bytes, layer_bytes)
    return even if 2 * saved < layer_bytes or busier else moved


def _largest(layers: list[int], extra_bytes: list[int], layer_bytes: int) -> int:
    return max(n * layer_bytes + extra for n, extra in zip(layers, extra_bytes, strict=True))


def _least(n_layers: int, extra_bytes: list[int], layer_bytes: int) -> tuple[int, list[int]]:
    """Return the least bytes that the largest stage can have, and how many layers fit each stage then."""
    sizes = sorted({extra + n * layer_bytes for extra in extra_bytes for n in range(1, n_layers + 1)})
    low, high = 0, len(sizes) - 1
    while low < high:
        middle = (low + high) // 2
        caps = _caps(sizes[middle], extra_bytes, layer_bytes)
        low, high = (low, middle) if min(caps) >= 1 and sum(caps) >= n_layers else (middle + 1, high)
    return sizes[low], _caps(sizes[low], extra_bytes, layer_bytes)


def _caps(size: int, extra_bytes: list[int], layer_bytes: int) -> list[int]:
    return [(size - extra) // layer_bytes for extra in extra_bytes]


def _levelled(n_layers: int, caps: list[int]) -> list[int]:
    """Return the most even layers that keep within the caps, the remainder in front."""
    layers = [1] * len(caps)
    for _ in range(n_layers - len(caps)):
        index = min((i for i, n in enumerate(layers) if n < caps[i]), key=layers.__getitem__)
        layers[index] += 1
    return layers
