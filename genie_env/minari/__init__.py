"""Recordings and dreams written as Minari data sets, which offline learners read."""
