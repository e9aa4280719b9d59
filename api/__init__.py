"""How to ask: HTTP for people, programs and probes. Everything it changes is desired state in the store."""
