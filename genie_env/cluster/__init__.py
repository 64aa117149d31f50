"""Dreams and jobs on several machines, by Ray. A cluster's machines trust each other: Ray itself pickles."""
