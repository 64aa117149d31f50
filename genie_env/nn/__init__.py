"""Building blocks of the networks: attention, transformer blocks, quantisers."""
