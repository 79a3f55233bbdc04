"""File formats as other people write them: read within limits, cross-checked, every fault named."""
