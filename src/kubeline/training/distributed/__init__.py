"""XGBoost by several workers, each with its own part of the rows: processes of this step, or pods of a TrainJob."""
