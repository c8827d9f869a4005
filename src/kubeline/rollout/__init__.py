"""What brings a blessed model to KServe."""
