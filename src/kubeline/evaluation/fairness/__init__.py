"""Whether groups of people, or of anything, are treated alike by a model: figures, intervals and checks of the gate."""
