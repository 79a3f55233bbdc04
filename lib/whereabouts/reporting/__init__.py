"""Tables, figures and verdicts, each with where it came from on its face."""
