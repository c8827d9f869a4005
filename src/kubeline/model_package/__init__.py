"""The on-disk model: files, manifest, digests, signature, verification."""
