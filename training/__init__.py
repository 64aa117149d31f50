"""Makes worlds: records gameplay, trains and measures the models, and exports bundles."""
