"""XGBoost or LightGBM by several workers, each with its own part of the rows: processes, or pods of a TrainJob."""
