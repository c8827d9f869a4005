"""Any source to Parquet, the dataset fingerprint, and splits."""
