"""Run directories: their layout, checkpoints, tensors and locks. Every file is whole or absent."""
