"""Push: data are sent to one receiver, which takes or refuses them by its own rules.

The sender chooses what and to whom (gericht verzenden); nobody is asked. A message id makes that
sending the same twice has one effect.
"""
