"""The Open Inference Protocol (KServe v2): its messages, and its tensors as arrays."""
