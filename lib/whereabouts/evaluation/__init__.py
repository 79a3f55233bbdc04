"""What is asked of a trained network."""
