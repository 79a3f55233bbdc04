"""The labels that the compendium uses for the heart, as ACDC numbers them."""

BACKGROUND, RIGHT_VENTRICLE, MYOCARDIUM, LEFT_VENTRICLE = range(4)
STRUCTURES = ("right ventricle", "myocardium", "left ventricle")  # labels 1, 2, 3
