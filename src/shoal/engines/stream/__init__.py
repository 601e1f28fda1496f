"""The embedded engine for streams: micro-batches, learning and labelling in one pass, checkpoints that survive kill -9."""
