"""The step `load`: the readers of `data`, and the types of columns by what will use them."""
