"""From rows of a table to rows of numbers: learned once on the first block, kept with the model, applied again."""
