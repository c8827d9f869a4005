"""What a run will need, tried in seconds before anything is loaded."""
