"""AlphaNet: classifiers of rare classes as learnt combinations with those of their neighbours.

Source: Chang, Koushik, Tarr, Hebert and Wang, "Alpha Net: Adaptation with Composition in Classifier Space" (2020), and the
project "alphanet", without its defects.
"""

METHOD_VERSION = 1
"""Raise it when a change alters the numbers of a run: finished runs of the older version are then trained again."""
