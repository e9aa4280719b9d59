"""The numbers Armillary is held to, measured on the machine they are run on and printed as JSON. Never tests."""
