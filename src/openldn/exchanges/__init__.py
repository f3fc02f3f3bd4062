"""Every exchange OpenLDN knows. To add one: write a file, add one line here."""
