"""Requests and their predictions as Parquet."""
