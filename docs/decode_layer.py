"""Draw one decode layer of a run: `python docs/decode_layer.py RUN.h5` (needs matplotlib)."""

import sys
from pathlib import Path

import matplotlib
import numpy as np

from dieshot import open_run

matplotlib.use("Agg")
import matplotlib.pyplot as plt

BIN_CYCLES = 150
SM_SHOWN = 0


def main(path: str) -> None:
    """Write decode_layer.png beside this file."""
    with open_run(path) as run:
        table = run.operators_frame()
        layer = table[(table.phase == "decode") & (table.block == "layers") & (table.first_instance == 1)]
        layer = layer[layer.step == layer.step.min()]
        start_fs = int(layer.start_fs.min())
        stop_fs = int((layer.start_fs + layer.duration_fs).max())
        lines = {"tensor core, SM 0": f"chip0/sm{SM_SHOWN}/tensor", "copy engine, SM 0": f"chip0/sm{SM_SHOWN}/copy"}
        lines |= {"L2": "chip0/l2", "HBM channel 0": "chip0/hbm0/channel0/pins0", "NVLink egress": "chip0/link/egress"}
        heights = [1.3] + [1] * len(lines)
        figure, axes = plt.subplots(len(lines) + 1, 1, sharex=True, figsize=(11, 7), height_ratios=heights)
        for row in layer.itertuples():
            begin, width = (row.start_fs - start_fs) / 1e9, row.duration_fs / 1e9
            axes[0].barh(0, width, left=begin, edgecolor="white", color="#4878a8" if row.Index % 2 else "#88aacc")
            axes[0].text(begin + width / 2, 0, row.name, rotation=90, ha="center", va="center", fontsize=7)
        axes[0].set_yticks([])
        axes[0].set_ylabel("operator", rotation=0, ha="right")
        for axis, (label, component) in zip(axes[1:], lines.items(), strict=True):
            period = next(record.spec.clock_period_fs for record in run.components(component))
            window = run.cycles(component, start_fs // period, stop_fs // period)
            n = len(window.utilization) // BIN_CYCLES * BIN_CYCLES
            binned = window.utilization[:n].reshape(-1, BIN_CYCLES).mean(axis=1)
            axis.fill_between(np.arange(len(binned)) * BIN_CYCLES * period / 1e9, binned, step="post", color="#c8553d")
            axis.set_ylim(0, 1.05)
            axis.set_ylabel(label, rotation=0, ha="right", va="center")
        axes[-1].set_xlabel("µs since the layer began")
        figure.suptitle("Llama-3-70B on 8 x H100, one decode layer: utilization, mean of 150 cycles")
        figure.tight_layout()
        figure.savefig(Path(__file__).with_name("decode_layer.png"), dpi=110)


if __name__ == "__main__":
    main(sys.argv[1])
