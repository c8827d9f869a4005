"""What answers requests: Envoy as the gateway, and model server processes as pods."""
