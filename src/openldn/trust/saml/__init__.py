"""SAML 2.0: assertions read, made and exchanged, for Zorgplatform and AORTA."""
