"""Known bugs of controllers, put into the engine one by one: the simulation must catch each."""
