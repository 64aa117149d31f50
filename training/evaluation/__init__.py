"""How worlds are measured: held-out clips, free play, theories of decay, measurements with intervals, reports.

The commands are :mod:`training.evaluate`, :mod:`training.diagnose` and :mod:`training.ablation`.
"""
