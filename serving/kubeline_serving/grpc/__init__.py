"""gRPC: the service of the Open Inference Protocol."""
