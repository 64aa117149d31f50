"""The two Gymnasium environments, over one batch of dreams."""
