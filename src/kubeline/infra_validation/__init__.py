"""The model server check: the real server answers recorded rows before a model may go on."""
