"""Parts of a wafer: lines of PEs and regions of them."""
