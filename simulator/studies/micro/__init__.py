"""One part under one pattern: memory, array, SRAM, network, link, collective."""
