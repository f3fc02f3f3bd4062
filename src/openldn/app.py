"""The composition root: the only module that knows which implementation goes where."""
