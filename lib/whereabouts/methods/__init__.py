"""What the chapters compare: the names of the methods here, without torch, and in `networks` what each is."""
