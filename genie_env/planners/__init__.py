"""Players that think ahead: they try actions in dreams that go on from where a game stands."""
