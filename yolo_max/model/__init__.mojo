"""What a network computes that the kernels know nothing of."""
