"""The door of citizens: who may see my data, and who saw them."""
