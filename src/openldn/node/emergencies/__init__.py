"""Breaking the glass: reasons that are given here, and every case kept until it is reviewed."""
