"""AlphaNet: classifiers of rare classes as learnt combinations with those of their neighbours.

Source: Chang, Koushik, Tarr, Hebert and Wang, "Alpha Net: Adaptation with Composition in Classifier Space" (2020), and the
project "alphanet", without its defects.
"""
