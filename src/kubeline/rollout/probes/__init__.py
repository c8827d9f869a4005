"""What a rollout finds out beside the cluster's objects: smoke test, shadow comparison, metrics."""
