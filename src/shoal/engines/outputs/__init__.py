"""Where the labels and dead letters of a running stream go, exactly once."""

from shoal.engines.outputs.dead_letters import DeadLetters
from shoal.engines.outputs.open import open_output
from shoal.engines.outputs.protocol import Output, Position

__all__ = ["DeadLetters", "Output", "Position", "open_output"]
