"""SBV-Z, simulated: fictitious people, and the questions a care provider may ask."""
