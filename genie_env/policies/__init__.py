"""Policies that learned elsewhere: what they see and do, their files, and playing with those that read tokens."""
