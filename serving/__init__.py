"""The KServe model server for model packages: ``python -m serving --model_dir PATH --model_name NAME``."""
