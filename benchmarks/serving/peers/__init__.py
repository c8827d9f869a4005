"""The servers that ours is measured against; each is a program of its own."""
