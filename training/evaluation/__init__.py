"""How dreams are judged: held-out clips, figures with intervals, free play, theories of decay, reports and pictures.

The commands are :mod:`training.evaluate`, :mod:`training.diagnose` and :mod:`training.ablation`.
"""
