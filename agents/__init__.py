"""Acts in worlds and in the real games they were learned from."""
