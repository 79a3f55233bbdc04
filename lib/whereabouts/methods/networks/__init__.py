"""The network of each method, built from facts that a file of weights can hold."""
