"""What a person says about clips of a world without actions, and the action map that follows from it."""
